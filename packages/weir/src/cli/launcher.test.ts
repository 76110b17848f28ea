import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { planMemory, term } from '../bounds/index.ts'
import { flagsGiven, launch, launched } from './index.ts'

const PROGRAM = join(import.meta.dirname, 'launcher.fixture.ts')
const FLAGS = Object.freeze(['--conditions=weir-source', '--max-semi-space-size=9'])

function inFolder<T>(run: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'weir-launcher-'))
  try {
    return run(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function runProgram(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return inFolder((folder) => {
    const child = spawnSync(process.execPath, [...FLAGS, PROGRAM, ...args], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: folder, ...env },
    })
    assert.equal(child.stderr, '')
    assert.deepEqual(readdirSync(folder), [], 'the config file was left behind')
    return { code: child.status, pid: child.pid, told: JSON.parse(child.stdout) }
  })
}

const replaceable = typeof (process as { execve?: unknown }).execve === 'function'

test('a process is replaced by one with the flags of the plan, its config and its arguments', {
  skip: replaceable ? false : 'this platform has no execve',
}, () => {
  const { code, pid, told } = runProgram(['replace', 'b c'])
  assert.equal(code, 7)
  assert.equal(told.pid, pid)
  assert.deepEqual(told.config, { from: pid })
  assert.equal(told.again, undefined)
  assert.deepEqual(told.args, ['replace', 'b c'])
  assert.ok(told.execArgv.includes('--conditions=weir-source'))
  assert.match(
    told.execArgv.join(' '),
    /--max-old-space-size=\d+ --max-semi-space-size=4 --disable-warning=\w+$/,
  )
  assert.ok(!told.execArgv.includes('--max-semi-space-size=9'))
})

test('where a process cannot be replaced a child runs in its place, with its exit code', () => {
  const { code, pid, told } = runProgram(['spawn'])
  assert.equal(code, 7)
  assert.notEqual(told.pid, pid)
  assert.deepEqual(told.config, { from: pid })
  assert.match(told.execArgv.join(' '), /--max-old-space-size=\d+/)
})

test('a child that runs in the place of its parent gets its signals', async () => {
  const child = spawn(process.execPath, [...FLAGS, PROGRAM, 'spawn', 'wait'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  assert.equal(code, 9)
})

test('nothing is replaced when a parent has given the flags, or when the plan has none', () => {
  const given = runProgram(['replace'], { WEIR_FLAGS: 'given' })
  assert.equal(given.told.config, undefined)
  assert.equal(given.told.pid, given.pid)
  const library = runProgram(['library'])
  assert.equal(library.told.config, undefined)
  assert.equal(library.told.pid, library.pid)
})

test('a parent that gives the flags gives the allocator too, unless the environment has its own', () => {
  assert.deepEqual(flagsGiven({ HOME: '/home/a', MALLOC_ARENA_MAX: '2' }), {
    HOME: '/home/a',
    MALLOC_ARENA_MAX: '2',
    MALLOC_MMAP_THRESHOLD_: '8192',
    MALLOC_TRIM_THRESHOLD_: '131072',
    WEIR_FLAGS: 'given',
  })
})

test('a temporary folder that cannot be written to is told by a code', async () => {
  const before = process.env['TMPDIR']
  const flags = process.env['WEIR_FLAGS']
  process.env['TMPDIR'] = '/dev/null/nowhere'
  delete process.env['WEIR_FLAGS']
  try {
    const terms = [term({ name: 'test.a', why: 'a test' })]
    const plan = planMemory(terms, { limitBytes: 2 ** 28, floorBytes: 2 ** 20 })
    await assert.rejects(launch({ plan, config: {}, execve: false }), { code: 'LAUNCH_FAILED' })
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
    if (flags !== undefined) process.env['WEIR_FLAGS'] = flags
  }
})

test('a config that is none of the launcher is read, and its folder stays', () => {
  inFolder((folder) => {
    const path = join(folder, 'config.json')
    writeFileSync(path, '{"mine":true}')
    process.env['WEIR_LAUNCHED_CONFIG'] = path
    assert.deepEqual(launched(), { mine: true })
    assert.ok(existsSync(path))
  })
})
