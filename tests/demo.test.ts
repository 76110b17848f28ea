/** `npm start`, with real processes: what it shows, and that nothing is left whatever ends it. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { below, isAlive, Program, type Row, until } from './processes.ts'

const DEMO = fileURLToPath(new URL('../packages/mesh-controller/bin/demo.js', import.meta.url))
const FOLLOWING = /One line per change/

/** Where the demos of one test write. It goes with the test, so that one that fails leaves nothing to the next. */
class Place implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'weir-demo-test-'))

  start(...args: string[]): Program {
    return this.run(process.execPath, ['--conditions=weir-source', DEMO, ...args])
  }

  run(command: string, args: readonly string[]): Program {
    return new Program(command, args, { TMPDIR: this.path })
  }

  /** All that there is. */
  get names(): string[] {
    return readdirSync(this.path).sort()
  }

  [Symbol.dispose](): void {
    // What was killed a moment ago may still write.
    rmSync(this.path, { recursive: true, maxRetries: 5 })
  }
}

const controllerOf = (zone: string, rows: readonly Row[]) =>
  rows.find(({ command }) => command.includes(`${zone}/config.yaml`))!

/** No process: neither those that were seen nor others of the group. So no socket either. */
async function nothingRuns(program: Program, rows: readonly Row[]): Promise<void> {
  await until(
    'all processes are gone',
    () => !program.groupIsAlive && !rows.some(({ pid }) => isAlive(pid)),
    30_000,
  )
}

async function nothingLeft(place: Place, program: Program, rows: readonly Row[]): Promise<void> {
  await nothingRuns(program, rows)
  assert.deepEqual(place.names, [])
}

test('killed with -9 its children end, and the next start removes the folder', async () => {
  using place = new Place()
  const foreign = 'weir-demo-1-abcdef' // pid 1 lives
  const file = 'weir-demo-999999999-abcdef'
  mkdirSync(join(place.path, foreign))
  writeFileSync(join(place.path, file), 'a file is no folder of a demo')
  using killed = place.start()
  const rows = await killed.has(6)
  await killed.says(/All zones are up/, 90_000)
  process.kill(killed.pid, 'SIGKILL')
  await killed.ended
  await nothingRuns(killed, rows)
  assert.equal(place.names.length, 3)

  using next = place.start('--once')
  await next.says(/Removed what 1 killed demo had left/)
  next.signalGroup('SIGINT')
  assert.equal(await next.ended, 130, next.err)
  assert.deepEqual(place.names, [foreign, file])
})

test('with --once it shows the main job in order, ends with 0, and leaves nothing', async () => {
  using place = new Place()
  using demo = place.start('--once')
  // Looked for from the start on: a fifth of a second after all have joined the story kills one of the six.
  const rows = await demo.has(6)
  const folder = join(place.path, place.names[0]!)
  assert.match(folder, new RegExp(`weir-demo-${demo.pid}-`))
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  for (const zone of ['zone-a', 'zone-b', 'zone-c']) {
    assert.equal(statSync(join(folder, zone)).mode & 0o777, 0o700)
    for (const name of ['key', 'kubeconfig', 'config.yaml', 'api/identity.json']) {
      assert.equal(statSync(join(folder, zone, name)).mode & 0o777, 0o600, name)
    }
  }
  assert.equal(await demo.ended, 0, demo.err)
  assert.equal(demo.err, '')
  let at = 0
  for (const step of [
    /Plan of zone-a/,
    /accounts +[\d.]+ MiB/,
    /kubectl --kubeconfig \S+zone-a\/kubeconfig get widgets -w/,
    /zone-a +http:\/\/127\.0\.0\.1:\d+\/readyz +http:\/\/127\.0\.0\.1:\d+\/metrics/,
    /created hello: zone-b after [\d.]+ ms, zone-c after [\d.]+ ms/,
    /edited +hello: zone-b after [\d.]+ ms, zone-c after [\d.]+ ms/,
    /deleted hello: zone-b after [\d.]+ ms, zone-c after [\d.]+ ms/,
    /killed the controller of zone-c \(pid \d+\) with SIGKILL/,
    /created late-1 and late-2, deleted early: zone-b after/,
    /zone-c came back and caught up in \d+ ms/,
  ]) {
    const found = demo.out.slice(at).search(step)
    assert.notEqual(found, -1, `${step} is not at its place:\n${demo.out}`)
    at += found + 1
  }
  assert.ok(!demo.out.includes('\u001b'), 'escape sequences without a terminal')
  await nothingLeft(place, demo, rows)
})

test('after that it prints a line per change, starts a crashed controller again, and Ctrl-C ends it with 0', async () => {
  using place = new Place()
  using demo = place.start()
  await demo.says(FOLLOWING, 90_000)
  const before = await demo.has(6)
  const killed = controllerOf('zone-b', before)
  process.kill(killed.pid, 'SIGKILL')
  await demo.says(
    new RegExp(
      `the controller of zone-b \\(pid ${killed.pid}\\) was ended by SIGKILL; its last words:\\n +\\S+ info`,
    ),
  )
  const rows = [...before, ...(await demo.has(6))]
  const words = demo.out.length
  demo.signalGroup('SIGINT')
  assert.equal(await demo.ended, 0, demo.err)
  assert.doesNotMatch(demo.out.slice(words), /ended with|ended by SIG(KILL|TERM)|last words/)
  assert.match(demo.out, /ended by SIGINT/)
  assert.equal(demo.err, '')
  await nothingLeft(place, demo, rows)
})

test('SIGTERM to npm ends all, a child that does not end included', async () => {
  using place = new Place()
  using npm = place.run('npm', ['start'])
  await npm.says(FOLLOWING, 90_000)
  const rows = below(npm.pid)
  assert.ok(rows.length >= 8, 'with-node, the demo, six children')
  process.kill(controllerOf('zone-a', rows).pid, 'SIGSTOP')
  process.kill(npm.pid, 'SIGTERM')
  await npm.ended
  await nothingLeft(place, npm, rows)
})

test('a second Ctrl-C kills by pid what does not end', async () => {
  using place = new Place()
  using demo = place.start()
  await demo.says(/All zones are up/)
  const rows = below(demo.pid)
  process.kill(controllerOf('zone-a', rows).pid, 'SIGSTOP')
  demo.signalGroup('SIGINT')
  // On a slow machine the 4.5 s may be over before the line is seen: then it has killed without being asked twice.
  await until(
    'the first is heard',
    () => /ended by SIGINT/.test(demo.out + demo.err) || !demo.running,
  )
  if (demo.running) demo.signalGroup('SIGINT')
  assert.equal(await demo.ended, 130)
  await nothingLeft(place, demo, rows)
})

test('a child that crashes ends it with the zone, the step and the last words', async () => {
  using place = new Place()
  using demo = place.start('--once')
  const rows = await demo.has(6)
  process.kill(controllerOf('zone-b', rows).pid, 'SIGKILL')
  assert.equal(await demo.ended, 1)
  assert.match(demo.err, /^demo: DEMO_FAILED: zone-\w did not [\w ]+: DEMO_CHILD_ENDED: /)
  assert.match(demo.err, /the controller of zone-b \(pid \d+\) was ended by SIGKILL/)
  await nothingLeft(place, demo, rows)
})

test('it tells what it cannot do', async () => {
  using place = new Place()
  using demo = place.start('--twice')
  assert.equal(await demo.ended, 2)
  assert.match(demo.err, /--twice/)
  using help = place.start('--help')
  assert.equal(await help.ended, 0)
  assert.match(help.out, /--once/)
})
