import assert from 'node:assert/strict'
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ROOT } from './files.ts'
import { folder, start } from './fixture.ts'

const PASSING = "import { test } from 'node:test'; test('passes', () => {})"
const FAILING = "import { test } from 'node:test'; test('fails', () => { throw new Error('no') })"

/** A checkout with the test command and the given test files. */
function checkout(t: TestContext, files: Record<string, string>): string {
  const path = folder(t, { 'package.json': '{ "type": "module" }', ...files })
  for (const file of ['tools/test.ts', 'tools/files.ts']) cpSync(join(ROOT, file), join(path, file))
  return path
}

test('passing tests end with the summary of the runner and code 0', async (t) => {
  const cwd = checkout(t, { 'packages/a/src/a.test.ts': PASSING, 'sim/b.test.ts': PASSING })
  const { code, stdout, stderr } = await start(['tools/test.ts'], { cwd }).ended
  assert.match(stdout, /ℹ tests 2\n(ℹ .*\n)*ℹ pass 2\nℹ fail 0\n(ℹ .*\n)*ℹ duration_ms [\d.]+\s*$/)
  assert.equal(stderr, '')
  assert.equal(code, 0)
})

test('one failing test is code 1', async (t) => {
  const cwd = checkout(t, { 'packages/a.test.ts': PASSING, 'packages/b.test.ts': FAILING })
  const { code, stdout } = await start(['tools/test.ts'], { cwd }).ended
  assert.match(stdout, /ℹ pass 1\nℹ fail 1\n/)
  assert.equal(code, 1)
})

test('no test file is code 1 and says so', async (t) => {
  const cwd = checkout(t, { 'packages/a.test.ts': PASSING })
  const { code, stderr } = await start(['tools/test.ts', 'absent'], { cwd }).ended
  assert.equal(stderr, 'No test file matches: absent\n')
  assert.equal(code, 1)
})

test('a file without a test is code 1 and is named', async (t) => {
  const cwd = checkout(t, { 'packages/a.test.ts': PASSING, 'packages/b.test.ts': 'export {}' })
  const { code, stdout } = await start(['tools/test.ts'], { cwd }).ended
  assert.match(stdout, /✖ packages\/b\.test\.ts holds no test/)
  assert.equal(code, 1)
})

test('arguments choose files by a part of their path, and tests by name', async (t) => {
  const cwd = checkout(t, { 'packages/a.test.ts': PASSING, 'packages/b.test.ts': FAILING })
  const byPath = await start(['tools/test.ts', 'ges/a'], { cwd }).ended
  assert.match(byPath.stdout, /ℹ tests 1\n/)
  assert.equal(byPath.code, 0)
  const byName = await start(['tools/test.ts', '--name', 'passes'], { cwd }).ended
  assert.match(byName.stdout, /ℹ fail 0\n/)
  assert.equal(byName.code, 0)
})

test('tests run with forced collection, the source condition and the assertions', async (t) => {
  const cwd = checkout(t, {
    'packages/a.test.ts': `import { test } from 'node:test'
      test('flags', () => {
        if (typeof gc !== 'function') throw new Error('gc')
        if (!process.execArgv.includes('--conditions=weir-source')) throw new Error('condition')
        if (process.env.WEIR_ASSERT !== '1') throw new Error('assert')
      })`,
  })
  assert.equal((await start(['tools/test.ts'], { cwd }).ended).code, 0)
})

test('SIGTERM ends the files that run', async (t) => {
  const cwd = checkout(t, {
    'packages/a.test.ts': `import { test } from 'node:test'
      test('hangs', async () => { console.log('pid', process.pid, 'hangs'); await new Promise((r) => setTimeout(r, 60_000)) })`,
  })
  const running = start(['tools/test.ts'], { cwd })
  await running.said('hangs')
  running.child.kill('SIGTERM')
  const { code, stdout } = await running.ended
  assert.notEqual(code, 0)
  const pid = Number(/pid (\d+) hangs/.exec(stdout)?.[1])
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

for (const [what, left] of [
  ['leaves something open', 'setInterval(() => {}, 1_000)'],
  ['goes on without a pause', 'setTimeout(() => { for (;;) {} })'],
] as const) {
  test(`a file that ${what} ends the run, and is named`, async (t) => {
    const cwd = checkout(t, {
      'packages/a.test.ts': `${PASSING}; ${left}`,
      'packages/b.test.ts': PASSING,
    })
    const args = ['tools/test.ts', '--file-timeout', '1']
    const { code, stdout } = await start(args, { cwd }).ended
    assert.match(stdout, /✖ packages\/a\.test\.ts did not end within 1 s/)
    assert.equal(code, 1)
  })
}

for (const [name, what] of [
  ['--file-timeout', 'seconds'],
  ['--concurrency', 'a number of files'],
] as const) {
  test(`a value of ${name} that is none is code 1 and says so`, async (t) => {
    const cwd = checkout(t, { 'packages/a.test.ts': PASSING })
    const { code, stderr } = await start(['tools/test.ts', name, 'x'], { cwd }).ended
    assert.equal(stderr, `${name} takes ${what}, not 'x'\n`)
    assert.equal(code, 1)
  })
}

test('with a concurrency of 1 the files run one after the other', async (t) => {
  const stamp = "import { appendFileSync } from 'node:fs'; appendFileSync('log', 'begin\\n')"
  const end = "process.on('exit', () => appendFileSync('log', 'end\\n'))"
  const file = `${PASSING}; ${stamp}; ${end}; setTimeout(() => {}, 300)`
  const cwd = checkout(t, { 'packages/a.test.ts': file, 'packages/b.test.ts': file })
  const { code } = await start(['tools/test.ts', '--concurrency', '1'], { cwd }).ended
  assert.equal(code, 0)
  assert.equal(readFileSync(join(cwd, 'log'), 'utf8'), 'begin\nend\nbegin\nend\n')
})
