/** `npm start`, with real processes: what it shows, and that nothing is left whatever ends it. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { below, isAlive, isFree, Program, type Row, until } from './processes.ts'

const DEMO = fileURLToPath(new URL('../packages/mesh-controller/bin/demo.js', import.meta.url))
/** A place for the folders of these demos only. */
const base = mkdtempSync(join(tmpdir(), 'weir-demo-test-'))
after(() => rmSync(base, { recursive: true }))

const start = (...args: string[]) =>
  new Program(process.execPath, ['--conditions=weir-source', DEMO, ...args], { TMPDIR: base })

const folders = () => readdirSync(base).filter((name) => name.startsWith('weir-demo-'))
const alive = (rows: readonly Row[]) => rows.filter(({ pid }) => isAlive(pid))
const controllerOf = (zone: string, rows: readonly Row[]) =>
  rows.find(({ command }) => command.includes(`${zone}/config.yaml`))!
const FOLLOWING = /One line per change/

async function nothingLeft(rows: readonly Row[]): Promise<void> {
  await until('all processes are gone', () => alive(rows).length === 0, 10_000)
}

test('killed with -9 its children end, and the next start removes the folder', async () => {
  const foreign = join(base, `weir-demo-1-abcdef`) // pid 1 lives
  const link = join(base, 'weir-demo-999999999-abcdef')
  mkdirSync(foreign)
  writeFileSync(link, 'a file is no folder of a demo')
  using killed = start()
  await killed.says(/All zones are up/)
  const rows = below(killed.pid)
  assert.equal(rows.length, 6, `${killed.out}${killed.err}${JSON.stringify(rows)}`)
  process.kill(killed.pid, 'SIGKILL')
  await killed.ended
  await nothingLeft(rows)
  assert.equal(folders().length, 3)

  using next = start('--once')
  await next.says(/Removed what 1 killed demo had left/)
  assert.equal(await next.ended, 0, next.err)
  assert.deepEqual(folders().sort(), ['weir-demo-1-abcdef', 'weir-demo-999999999-abcdef'])
  rmSync(foreign, { recursive: true })
  rmSync(link)
})

test('with --once it shows the main job in order, ends with 0, and leaves nothing', async () => {
  using demo = start('--once')
  await demo.says(/All zones are up/)
  const rows = below(demo.pid)
  assert.equal(rows.length, 6)
  const folder = join(base, folders()[0]!)
  assert.match(folder, new RegExp(`weir-demo-${demo.pid}-`))
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  for (const zone of ['zone-a', 'zone-b', 'zone-c']) {
    assert.equal(statSync(join(folder, zone)).mode & 0o777, 0o700)
    for (const file of ['key', 'kubeconfig', 'config.yaml', 'api/identity.json']) {
      assert.equal(statSync(join(folder, zone, file)).mode & 0o777, 0o600, file)
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
  await nothingLeft(rows)
  const ports = [...demo.out.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => Number(port))
  assert.ok(ports.length >= 6)
  for (const port of ports) {
    // The three of a zone follow each other or lie near: the API, the mesh (UDP) and the status.
    for (const near of [port - 2, port - 1, port]) assert.ok(await isFree(near), `${near}`)
  }
  assert.deepEqual(folders(), [])
})

test('after that it prints a line per change, starts a crashed controller again, and Ctrl-C ends it with 0', async () => {
  using demo = start()
  await demo.says(FOLLOWING, 90_000)
  const before = below(demo.pid)
  const killed = controllerOf('zone-b', before)
  process.kill(killed.pid, 'SIGKILL')
  await demo.says(
    new RegExp(
      `the controller of zone-b \\(pid ${killed.pid}\\) was ended by SIGKILL; its last words:\\n +\\S+ info`,
    ),
  )
  await until('six children again', () => below(demo.pid).length === 6)
  const rows = [...before, ...below(demo.pid)]
  const words = demo.out.length
  demo.signalGroup('SIGINT')
  assert.equal(await demo.ended, 0, demo.err)
  assert.doesNotMatch(demo.out.slice(words), /ended with|ended by SIG(KILL|TERM)|last words/)
  assert.match(demo.out, /ended by SIGINT/)
  assert.equal(demo.err, '')
  await nothingLeft(rows)
  assert.deepEqual(folders(), [])
})

test('SIGTERM to npm ends all, a child that does not end included', async () => {
  using npm = new Program('npm', ['start'], { TMPDIR: base })
  await npm.says(FOLLOWING, 90_000)
  const rows = below(npm.pid)
  assert.ok(rows.length >= 8, 'with-node, the demo, six children')
  process.kill(controllerOf('zone-a', rows).pid, 'SIGSTOP')
  process.kill(npm.pid, 'SIGTERM')
  await npm.ended
  await nothingLeft(rows)
  assert.deepEqual(folders(), [])
})

test('a second Ctrl-C kills by pid what does not end', async () => {
  using demo = start()
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
  await nothingLeft(rows)
  assert.deepEqual(folders(), [])
})

test('a child that crashes ends it with the zone, the step and the last words', async () => {
  using demo = start('--once')
  let victim: Row | undefined
  await until(
    'a controller runs',
    () => (victim = controllerOf('zone-b', below(demo.pid))) !== undefined,
    30_000,
    10,
  )
  const rows = below(demo.pid)
  process.kill(victim!.pid, 'SIGKILL')
  assert.equal(await demo.ended, 1)
  assert.match(demo.err, /^demo: DEMO_FAILED: zone-\w did not [\w ]+: DEMO_CHILD_ENDED: /)
  assert.match(demo.err, /the controller of zone-b \(pid \d+\) was ended by SIGKILL/)
  await nothingLeft(rows)
  assert.deepEqual(folders(), [])
})

test('it tells what it cannot do', async () => {
  using demo = start('--twice')
  assert.equal(await demo.ended, 2)
  assert.match(demo.err, /--twice/)
  using help = start('--help')
  assert.equal(await help.ended, 0)
  assert.match(help.out, /--once/)
})
