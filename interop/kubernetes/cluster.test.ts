/**
 * The controller against upstream API servers, which `build-apiserver.ts` builds; skipped by name without them, and in
 * `npm test`. One test after the other, on the same three zones: to start them takes longer than all that is tried.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { findKubectls } from '../../packages/mesh-controller/src/api-server/kubectl.fixture.ts'
import { sleep, until } from '../../tests/processes.ts'
import { type ApiAnswer, ApiUser } from './api-user.fixture.ts'
import { findBinaries } from './binaries.ts'
import { defineWidgets, RealZones, WIDGETS } from './real-zones.fixture.ts'

const binaries = process.env['WEIR_INTEROP_LONG']
  ? findBinaries()
  : 'it takes a minute or two: npm run interop runs it'
const skip = typeof binaries === 'string' ? binaries : false

let mesh: RealZones
/** What may do everything, by zone. */
let users: Readonly<Record<string, ApiUser>>

before(
  async () => {
    if (typeof binaries === 'string') return
    mesh = await RealZones.open({ binaries, define: false })
    const { server } = mesh.embedded
    users = Object.freeze({
      'zone-a': mesh.a.admin,
      'zone-b': mesh.b.admin,
      'zone-c': new ApiUser(server.url, server.identity.certificate, { token: server.token }),
    })
  },
  { timeout: 120_000 },
)

after(async () => {
  users?.['zone-c']?.close()
  await mesh?.close()
})

const ZONES = Object.freeze(['zone-a', 'zone-b', 'zone-c'])

function widget(name: string, spec: object, more: object = {}): object {
  return {
    apiVersion: 'demo.weir.example/v1',
    kind: 'Widget',
    metadata: { name, namespace: 'default' },
    spec,
    ...more,
  }
}

const read = (zone: string, name: string): Promise<ApiAnswer> =>
  users[zone]!.ask('GET', `${WIDGETS}/${name}`)

/** Waits until every zone has it. @returns after how many ms each saw it */
async function seen(
  what: string,
  name: string,
  holds: (answer: ApiAnswer) => boolean,
  zones: readonly string[] = ZONES,
): Promise<string> {
  const start = performance.now()
  const took = await Promise.all(
    zones.map(async (zone) => {
      await until(`${zone}: ${what}`, async () => holds(await read(zone, name)), 30_000, 2)
      return `${zone} ${Math.round(performance.now() - start)} ms`
    }),
  )
  return `${what}: ${took.join(', ')}`
}

const size = (wanted: number) => (answer: ApiAnswer) =>
  answer.status === 200 && answer.body.spec.size === wanted
const gone = (answer: ApiAnswer) => answer.status === 404

function zone(name: string) {
  return mesh.zones[ZONES.indexOf(name)]!
}

const joined = (name: string) =>
  until(`${name} is well`, async () => (await mesh.problem(zone(name))) === '', 60_000)

test('a kind that a cluster does not have yet is waited for', {
  skip,
  timeout: 90_000,
}, async () => {
  await defineWidgets(mesh.a.admin)
  for (const each of mesh.zones) mesh.start(each)
  await until('zone-b misses the kind', async () =>
    /install its CustomResourceDefinition/.test(await mesh.problem(zone('zone-b'))),
  )
  await defineWidgets(mesh.b.admin)
  for (const name of ZONES) await joined(name)
})

test('what kubectl creates, edits and deletes crosses both ways', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const found = (await findKubectls()).at(-1)
  if (!found) return t.skip('kubectl is not installed here')
  const kubectl = (from: string, args: readonly string[], input = '') =>
    new Promise<void>((resolve, reject) => {
      const child = execFile(
        found.path,
        ['--kubeconfig', join(mesh.folder, `${from}.admin`), ...args],
        { timeout: 30_000, env: { PATH: process.env['PATH'], HOME: mesh.folder, LANG: 'C' } },
        (error) => (error ? reject(error) : resolve()),
      )
      child.stdin!.end(input)
    })
  for (const from of ZONES) {
    const name = `kubectl-${from}`
    await kubectl(from, ['create', '-f', '-'], JSON.stringify(widget(name, { size: 1 })))
    t.diagnostic(await seen(`created in ${from}`, name, size(1)))
    await kubectl(from, ['apply', '-f', '-'], JSON.stringify(widget(name, { size: 2 })))
    t.diagnostic(await seen(`applied in ${from}`, name, size(2)))
    await kubectl(from, ['patch', 'widget', name, '--type=merge', '-p', '{"spec":{"size":3}}'])
    t.diagnostic(await seen(`patched in ${from}`, name, size(3)))
    await kubectl(from, ['delete', 'widget', name])
    t.diagnostic(await seen(`deleted in ${from}`, name, gone))
  }
})

test('a status travels through its subresource, and bookkeeping stays where it is', {
  skip,
  timeout: 60_000,
}, async () => {
  const created = await users['zone-a']!.must('POST', WIDGETS, widget('s', { size: 1 }))
  await users['zone-a']!.must('PATCH', `${WIDGETS}/s/status`, {
    status: { phase: 'Ready', count: 3 },
  })
  const ready = (answer: ApiAnswer) => answer.body.status?.phase === 'Ready'
  await seen('the status', 's', ready)
  const { metadata, status } = (await read('zone-b', 's')).body
  assert.deepEqual(status, { phase: 'Ready', count: 3 })
  assert.notEqual(metadata.uid, created.body.metadata.uid)
  assert.equal(metadata.generation, 1)
  assert.equal(metadata.labels['mesh.weir/owner-zone'], 'zone-a')
  for (const { manager } of metadata.managedFields) assert.equal(manager, 'weir-mesh-controller')
  await users['zone-a']!.must('PATCH', `${WIDGETS}/s/status`, {
    status: { phase: 'Gone', count: null },
  })
  await seen(
    'the next status',
    's',
    (answer) => answer.body.status?.phase === 'Gone' && !('count' in answer.body.status),
  )
})

test('a replica that is edited or deleted by hand is put back', {
  skip,
  timeout: 60_000,
}, async (t) => {
  await users['zone-a']!.must('POST', WIDGETS, widget('r', { size: 1 }))
  await seen('it is there', 'r', size(1))
  await users['zone-b']!.must('PATCH', `${WIDGETS}/r`, { spec: { size: 99, color: 'blue' } })
  t.diagnostic(
    await seen(
      'put back after an edit',
      'r',
      (answer) => size(1)(answer) && answer.body.spec.color === 'red',
    ),
  )
  await users['zone-b']!.must('PATCH', `${WIDGETS}/r`, {
    metadata: { labels: { 'mesh.weir/owner-zone': null } },
  })
  const marked = (answer: ApiAnswer) =>
    answer.body.metadata?.labels?.['mesh.weir/owner-zone'] === 'zone-a'
  t.diagnostic(await seen('marked again', 'r', marked, ['zone-b']))
  const { uid } = (await read('zone-b', 'r')).body.metadata
  await users['zone-b']!.must('DELETE', `${WIDGETS}/r`)
  t.diagnostic(
    await seen(
      'put back after a delete',
      'r',
      (answer) => size(1)(answer) && answer.body.metadata.uid !== uid,
      ['zone-b'],
    ),
  )
  await users['zone-a']!.must('DELETE', `${WIDGETS}/r`)
  await seen('deleted by its owner', 'r', gone)
})

test('an object that is too large stays, is told, and nothing else stops', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const note = 'x'.repeat(1_000_000)
  await users['zone-a']!.must('POST', WIDGETS, widget('large', { size: 1, note }))
  t.diagnostic(await seen('1 MB', 'large', size(1)))
  await users['zone-a']!.must('PATCH', `${WIDGETS}/large`, {
    spec: { size: 2, note: `${note}${'y'.repeat(200_000)}` },
  })
  await until('zone-a tells it', async () => {
    const { tooLarge } = await mesh.status(zone('zone-a'))
    return tooLarge.length === 1
  })
  await until('an Event tells it', async () => {
    const { body } = await users['zone-a']!.ask('GET', '/api/v1/namespaces/default/events')
    return body.items.some(
      (event: { reason: string; involvedObject: { name: string } }) =>
        event.reason === 'TooLarge' && event.involvedObject.name === 'large',
    )
  })
  await users['zone-a']!.must('POST', WIDGETS, widget('beside', { size: 1 }))
  await seen('another one crosses', 'beside', size(1))
  await users['zone-a']!.must('PATCH', `${WIDGETS}/large`, { spec: { size: 3, note: 'small' } })
  await seen('it is small again', 'large', size(3))
})

test('a controller that was killed catches up', { skip, timeout: 60_000 }, async (t) => {
  await users['zone-a']!.must('POST', WIDGETS, widget('kept', { size: 1 }))
  await users['zone-a']!.must('POST', WIDGETS, widget('goes', { size: 1 }))
  await seen('both are there', 'goes', size(1))
  await zone('zone-b').stop('SIGKILL')
  await users['zone-a']!.must('DELETE', `${WIDGETS}/goes`)
  await users['zone-b']!.must('POST', WIDGETS, widget('born-meanwhile', { size: 7 }))
  const start = performance.now()
  mesh.start(zone('zone-b'))
  await seen('the deleted one goes', 'goes', gone)
  await seen('the new one comes', 'born-meanwhile', size(7))
  t.diagnostic(`caught up ${Math.round(performance.now() - start)} ms after its start`)
})

test('an API server that is killed, with a compacted etcd, is listed again', {
  skip,
  timeout: 90_000,
}, async (t) => {
  await users['zone-a']!.must('POST', WIDGETS, widget('before', { size: 1 }))
  await seen('it is there', 'before', size(1))
  // Not there before the first.
  const relists = (await zone('zone-a').metric('kube_relists_total')) || 0
  await mesh.a.killApiserver()
  await until('it is told', async () => (await mesh.problem(zone('zone-a'))) !== '')
  await users['zone-b']!.must('POST', WIDGETS, widget('while-away', { size: 5 }))
  // Its watch must have missed something.
  await mesh.a.remove('demo.weir.example/widgets/default/before')
  await mesh.a.compact()
  mesh.a.startApiserver()
  await mesh.a.ready()
  const start = performance.now()
  await seen('what came from the others', 'while-away', size(5))
  await seen('what was deleted unseen', 'before', gone)
  await joined('zone-a')
  t.diagnostic(`well ${Math.round(performance.now() - start)} ms after the server was ready`)
  assert.ok((await zone('zone-a').metric('kube_relists_total')) > relists, 'a 410 was answered')
})

test('a token that is worth nothing any more is replaced by that of the file', {
  skip,
  timeout: 60_000,
}, async (t) => {
  await mesh.replaceAccount()
  await mesh.renewToken()
  await users['zone-b']!.must('POST', WIDGETS, widget('after-token', { size: 1 }))
  t.diagnostic(await seen('with the new token', 'after-token', size(1)))
})

test('a lost permission is told by its name, and what waited is written when it is back', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const path = '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings'
  const binding = (await users['zone-b']!.must('GET', `${path}/weir-mesh-controller`)).body
  await users['zone-b']!.must('DELETE', `${path}/weir-mesh-controller`)
  await sleep(200)
  await users['zone-a']!.must('POST', WIDGETS, widget('forbidden', { size: 1 }))
  await until('zone-b tells it', async () =>
    /cannot create resource/.test(JSON.stringify(await mesh.status(zone('zone-b')))),
  )
  assert.equal((await read('zone-c', 'forbidden')).status, 200)
  const { roleRef, subjects } = binding
  await users['zone-b']!.must('POST', path, {
    metadata: { name: 'weir-mesh-controller' },
    roleRef,
    subjects,
  })
  t.diagnostic(await seen('allowed again', 'forbidden', size(1)))
  await joined('zone-b')
})

test('a burst crosses', { skip, timeout: 90_000 }, async (t) => {
  await burst(t, Number(process.env['WEIR_KUBE_BURST'] ?? 100))
})

async function burst(t: TestContext, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, at) => `burst-${at}`)
  const start = performance.now()
  const each = async (run: (name: string) => Promise<unknown>) => {
    const rest = names.values()
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (const name of rest) await run(name)
      }),
    )
  }
  const left = async (zoneName: string) => {
    const { body } = await users[zoneName]!.ask('GET', WIDGETS)
    return body.items.filter((item: { metadata: { name: string } }) =>
      item.metadata.name.startsWith('burst-'),
    ).length
  }
  const all = async (what: string, wanted: number) => {
    await Promise.all(
      ['zone-b', 'zone-c'].map((name) =>
        until(`${name}: ${what}`, async () => (await left(name)) === wanted, 80_000, 200),
      ),
    )
    t.diagnostic(`${what}: ${Math.round(performance.now() - start)} ms`)
  }
  await each((name) =>
    users['zone-a']!.must('POST', WIDGETS, widget(name, { size: 1, note: 'n'.repeat(1_500) })),
  )
  t.diagnostic(`written: ${Math.round(performance.now() - start)} ms`)
  await all(`${count} came`, count)
  await each((name) => users['zone-a']!.must('DELETE', `${WIDGETS}/${name}`))
  await all(`${count} went`, 0)
}
