import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './files.ts'
import { start } from './fixture.ts'

for (const [command, known] of [
  ['check', 'types, format, unused, lock, tidy'],
  ['build', 'weir, iroh, mesh-controller'],
] as const) {
  test(`${command} refuses a name that it does not know, and lists the ones it does`, async () => {
    const { code, stderr } = await start([join(ROOT, `tools/${command}.ts`), 'absent']).ended
    assert.match(stderr, new RegExp(`absent; there are ${known}\\.\\n$`))
    assert.equal(code, 1)
  })
}

test('check runs what it is asked for and says how it went', async () => {
  const { code, stdout } = await start([join(ROOT, 'tools/check.ts'), 'lock']).ended
  assert.match(stdout, /^ok lock \(\d+ ms\)\n$/)
  assert.equal(code, 0)
})
