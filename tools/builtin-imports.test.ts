import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinImports } from './builtin-imports.ts'

test('names of a built-in module are taken from the process', () => {
  assert.equal(
    builtinImports(`import { a, b as c } from 'node:fs'\nimport { d } from './d.js'\na(c, d)`),
    `const { a: a, b: c } = globalThis.process.getBuiltinModule('node:fs')\nimport { d } from './d.js'\na(c, d)`,
  )
})

for (const text of [
  `import 'node:fs'`,
  `import fs from 'node:fs'`,
  `import * as fs from 'node:fs'`,
  `import { a } from 'fs-extra'`,
  `export { a } from 'node:fs'`,
  `const { a } = await import('node:fs')`,
]) {
  test(`everything else stays as it is: ${text}`, () => assert.equal(builtinImports(text), text))
}

test('what is called so does the same', async () => {
  const text = builtinImports(
    `import { basename as last } from 'node:path'\nexport const a = last('b/c')`,
  )
  const { a } = (await import(`data:text/javascript,${encodeURIComponent(text)}`)) as { a: string }
  assert.equal(a, 'c')
})
