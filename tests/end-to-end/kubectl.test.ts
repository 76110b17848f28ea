/** What a user does with kubectl in one zone is seen with kubectl in the others. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  findKubectls,
  type Kubectl,
} from '../../packages/mesh-controller/src/api-server/kubectl.fixture.ts'
import { MeshUnderTest, type ZoneUnderTest } from '../mesh.ts'
import { until } from '../processes.ts'

const MISSING = 'kubectl is not installed here'

let mesh: MeshUnderTest | undefined
let kubectl: Kubectl | undefined

before(async () => {
  kubectl = (await findKubectls())[0]
  if (!kubectl) return
  mesh = await MeshUnderTest.open(3)
  await mesh.startAll()
})
after(() => mesh?.close())

/** Runs kubectl against a zone. @returns standard output. */
function run(zone: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const kubeconfig = join(mesh!.folder, `${zone}.kubeconfig`)
    const env = { PATH: process.env['PATH'], HOME: mesh!.folder, LANG: 'C' }
    const child = execFile(
      kubectl!.path,
      ['--kubeconfig', kubeconfig, ...args],
      { timeout: 60_000, env },
      (error, out, err) => (error ? reject(new Error(`${args.join(' ')}: ${err}`)) : resolve(out)),
    )
    child.stdin!.on('error', () => {})
    child.stdin!.end(input)
  })
}

/** What `kubectl get` shows of a widget, empty when there is none. */
const show = (zone: string, path: string) =>
  run(zone, ['get', 'widget', 'w1', '--ignore-not-found', '-o', `jsonpath={${path}}`])

const seen = (zone: string, path: string, value: string) =>
  until(
    `${zone} shows ${path} = '${value}'`,
    async () => (await show(zone, path)) === value,
    20_000,
    200,
  )

const manifest = (size: number) =>
  JSON.stringify({
    apiVersion: 'demo.weir.example/v1',
    kind: 'Widget',
    metadata: { name: 'w1', annotations: { 'example.com/team': 'blue' } },
    spec: { size },
  })

test('create, apply, patch and delete in one zone arrive in the two others', async (context) => {
  if (!kubectl) return context.skip(MISSING)
  context.diagnostic(`kubectl ${kubectl.version}`)
  const others = ['zone-b', 'zone-c']
  const everywhere = (path: string, value: string) =>
    Promise.all(others.map((zone) => seen(zone, path, value)))
  await run('zone-a', ['create', '-f', '-'], manifest(1))
  await everywhere('.spec.size', '1')
  await everywhere('.metadata.annotations.example\\.com/team', 'blue')
  await everywhere('.metadata.labels.mesh\\.weir/owner-zone', 'zone-a')
  await run('zone-a', ['apply', '-f', '-'], manifest(2))
  await everywhere('.spec.size', '2')
  await run('zone-a', ['patch', 'widget', 'w1', '--type', 'merge', '-p', '{"spec":{"size":3}}'])
  await everywhere('.spec.size', '3')
  await run('zone-a', ['delete', 'widget', 'w1', '--wait=false'])
  await everywhere('.spec.size', '')
})

test('a replica that is edited or deleted by hand is put back, and the owner keeps its own', async (context) => {
  if (!kubectl) return context.skip(MISSING)
  await run('zone-b', ['create', '-f', '-'], manifest(7))
  await seen('zone-c', '.spec.size', '7')
  const uid = await show('zone-c', '.metadata.uid')
  await run('zone-c', ['patch', 'widget', 'w1', '--type', 'merge', '-p', '{"spec":{"size":9}}'])
  await seen('zone-c', '.spec.size', '7')
  await run('zone-c', ['delete', 'widget', 'w1', '--wait=false'])
  await until('a replica is made again', async () => {
    const now = await show('zone-c', '.metadata.uid')
    return now !== '' && now !== uid
  })
  assert.equal(await show('zone-b', '.spec.size'), '7')
  await run('zone-b', ['delete', 'widget', 'w1', '--wait=false'])
  await seen('zone-c', '.spec.size', '')
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends a controller in order while changes are on their way`, async (context) => {
    if (!kubectl) return context.skip(MISSING)
    const [zone] = mesh!.zones as [ZoneUnderTest]
    const changes = Array.from({ length: 8 }, (_, at) =>
      run(
        'zone-a',
        ['create', '-f', '-'],
        manifest(at).replace('"w1"', `"${signal.toLowerCase()}-${at}"`),
      ),
    )
    assert.equal(await zone.stop(signal), 0)
    await Promise.all(changes)
    assert.match(zone.err, new RegExp(`the controller ends.*${signal}`))
    assert.doesNotMatch(zone.err, /did not close in time/)
    mesh!.start(zone)
    await until('all are in zone-c', async () => {
      const names = await run('zone-c', ['get', 'widgets', '-o', 'name'])
      return names.split('\n').filter((name) => name.includes(signal.toLowerCase())).length === 8
    })
  })
}

test('a watch of kubectl in one zone shows what another one does', async (context) => {
  if (!kubectl) return context.skip(MISSING)
  const args = ['--kubeconfig', join(mesh!.folder, 'zone-c.kubeconfig'), 'get', 'widgets', '-w']
  const watch = execFile(kubectl.path, args, { env: { HOME: mesh!.folder } })
  let out = ''
  watch.stdout!.on('data', (text: string) => (out += text))
  try {
    await run('zone-b', ['create', '-f', '-'], manifest(5))
    await until('the watch shows it', () => /^w1\s+5/m.test(out))
  } finally {
    const ended = once(watch, 'close')
    watch.kill('SIGTERM')
    await ended
  }
})
