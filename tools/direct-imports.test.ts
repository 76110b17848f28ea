import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { directImports } from './direct-imports.ts'

const INDEX = `
  export { one, two as deux } from './numbers.js'
  export { Three } from './deep/three.js'
  export { stays } from 'elsewhere'
  export const own = 1`

function distOf(t: TestContext): string {
  const dist = mkdtempSync(join(tmpdir(), 'weir-direct-'))
  t.after(() => rmSync(dist, { recursive: true, force: true }))
  mkdirSync(join(dist, 'a'))
  writeFileSync(join(dist, 'a/index.js'), INDEX)
  return dist
}

function direct(t: TestContext, text: string): string {
  const dist = distOf(t)
  return directImports(text, join(dist, 'b/module.js'), dist)
}

test('an import from an index leads to the modules that hold the names', (t) => {
  assert.equal(
    direct(t, `import { one, deux as zwei, Three } from '../a/index.js'\nconsole.log(one)`),
    `import { one as one } from '../a/numbers.js'; import { two as zwei } from '../a/numbers.js'; ` +
      `import { Three as Three } from '../a/deep/three.js'\nconsole.log(one)`,
  )
})

test('what is passed on from an index leads there as well', (t) => {
  assert.equal(
    direct(t, `export { one, deux as zwei } from '../a/index.js'\nexport const two = 2`),
    `export { one as one } from '../a/numbers.js'; export { two as zwei } from '../a/numbers.js'\nexport const two = 2`,
  )
})

test('the index of a folder that stays is left alone', (t) => {
  const dist = distOf(t)
  const text = `import { one } from '../a/index.js'`
  assert.equal(directImports(text, join(dist, 'b/module.js'), dist, ['a']), text)
})

test('each statement is judged by itself, and lines keep their numbers', (t) => {
  const text = `import {\n  own\n} from '../a/index.js'\nimport { one } from '../a/index.js'\nimport 'node:fs'`
  assert.equal(
    direct(t, text),
    `import {\n  own\n} from '../a/index.js'\nimport { one as one } from '../a/numbers.js'\nimport 'node:fs'`,
  )
})

for (const text of [
  `import { own, one } from '../a/index.js'`,
  `import { stays } from '../a/index.js'`,
  `import * as a from '../a/index.js'`,
  `export * from '../a/index.js'`,
  `import '../a/index.js'`,
  `import { one } from '../a/numbers.js'`,
  `import { one } from 'weir-mesh/index.js'`,
  `import { one } from '../../outside/index.js'`,
]) {
  test(`what cannot be told apart stays as it is: ${text}`, (t) => {
    assert.equal(direct(t, text), text)
  })
}

test('from a module beside the index the import is relative to it', (t) => {
  const dist = distOf(t)
  const text = `import { one } from './index.js'`
  const path = join(dist, 'a/beside.js')
  assert.equal(directImports(text, path, dist), `import { one as one } from './numbers.js'`)
})
