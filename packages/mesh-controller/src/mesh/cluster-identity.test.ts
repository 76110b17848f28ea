/** A cluster that was replaced or restored: it is not believed, this is told, and a restart does what the docs say. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from 'weir-mesh/runtime'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import {
  findWidget,
  openCluster,
  type TestCluster,
  type TestClusterOptions,
  until,
  WIDGETS,
  widget,
  withCluster,
} from '../api-server/testing.ts'
import { type KubeClient, KubeError } from '../kube/index.ts'
import { ClusterIdentity } from './cluster-identity.ts'
import { OWNER_CLUSTER_ANNOTATION } from './markers.ts'
import type { ReplicationFaults } from './replication-options.ts'

const hourAgo = Object.freeze({ ...systemClock, wallMs: () => Date.now() - 3_600_000 })
const { signal } = new AbortController()

const has = async (client: KubeClient, name: string) =>
  (await findWidget(client, name)) !== undefined

/** Another server in the place of one that was closed. */
function inPlaceOf(cluster: TestCluster, options: TestClusterOptions = {}): Promise<TestCluster> {
  const { url, token, identity } = cluster.server
  return openCluster({ listen: new URL(url).host, token, identity, ...options })
}

/** Zone a loses its server, and another one takes its place; what `w1` and `w2` become in zone b is the test's affair. */
async function withAnother(
  options: {
    readonly sameUid: boolean
    readonly anew: TestClusterOptions
    readonly faults?: ReplicationFaults
  },
  run: (a: DirectZone, b: DirectZone, anew: TestCluster) => Promise<void>,
  before?: (a: KubeClient, b: KubeClient) => Promise<void>,
): Promise<void> {
  const mesh = await DirectMesh.open(2, options)
  let anew: TestCluster | undefined
  try {
    const [a, b] = mesh.zones as [DirectZone, DirectZone]
    for (const name of ['w1', 'w2']) await a.cluster.client.create(WIDGETS, widget(name))
    for (const name of ['w1', 'w2']) await until(name, () => has(b.cluster.client, name))
    await before?.(a.cluster.client, b.cluster.client)
    await a.cluster.server.close()
    anew = await inPlaceOf(a.cluster, options.anew)
    await anew.client.create(WIDGETS, widget('w1'))
    await run(a, b, anew)
  } finally {
    await mesh.zones[0]!.stop()
    await anew?.close()
    await mesh.close()
  }
}

const errorsIn = ({ lines }: DirectZone, text: string) =>
  lines.filter(
    (line) =>
      line.includes('"error"') && line.includes('is not believed any more') && line.includes(text),
  )

test('a cluster that was set up anew is told with what to do; after a restart it counts, and no zone deletes anything', () =>
  withAnother({ sameUid: false, anew: {} }, async (a, b, anew) => {
    await until('it is told', () => !a.replication.status.believed)
    assert.match(
      a.replication.problem ?? '',
      /^KUBE_CLUSTER_REPLACED: another cluster .* mend it, and this goes on by itself; .* restart this program: no zone deletes/,
    )
    assert.equal(errorsIn(a, 'KUBE_CLUSTER_REPLACED').length, 1)
    await b.cluster.client.create(WIDGETS, widget('of-b'))
    await until('nothing is written to it', () => a.replication.status.retrying > 0)
    assert.match(a.replication.status.failing, /^Widget default\/of-b: KUBE_CLUSTER_REPLACED/)
    assert.equal(await has(anew.client, 'of-b'), false)
    await a.stop()
    await anew.client.create(WIDGETS, widget('w3'))
    a.restart()
    await until('of-b', () => has(anew.client, 'of-b'))
    await until('w3', () => has(b.cluster.client, 'w3'))
    await until('complete', () => b.replication.status.zones[0]!.complete)
    await until('all is written', () => b.replication.status.pending === 0)
    assert.equal(b.counters.value('mesh_cluster_rebuilt_total'), 1)
    for (const name of ['w1', 'w2']) assert.ok(await has(b.cluster.client, name), name)
    const made = await b.cluster.client.get(WIDGETS, 'default', 'w3')
    const { cluster } = b.replication.status.zones[0]!
    assert.equal(made.metadata.annotations?.[OWNER_CLUSTER_ANNOTATION], cluster)
    assert.equal(a.replication.problem, undefined)
  }))

test('a cluster that was restored from a copy is told with what to do; a restart makes the copy count', () =>
  withAnother({ sameUid: true, anew: { clock: hourAgo } }, async (a, b) => {
    await until('it is told', () => !a.replication.status.believed)
    assert.match(
      a.replication.problem ?? '',
      /^KUBE_REWOUND: .*restored from a copy.*restart.*deletes in the other zones.*bring back/,
    )
    assert.equal(errorsIn(a, 'KUBE_REWOUND').length, 1)
    for (const name of ['w1', 'w2']) assert.ok(await has(b.cluster.client, name), name)
    await a.stop()
    a.restart()
    await until('w2 is gone', async () => !(await has(b.cluster.client, 'w2')))
    assert.ok(await has(b.cluster.client, 'w1'))
    assert.equal(a.replication.problem, undefined)
  }))

test('a restored cluster whose versions have grown past the old ones is still not believed', () =>
  withAnother({ sameUid: true, anew: { clock: hourAgo } }, async (a, b, anew) => {
    await until('it is told', () => !a.replication.status.believed)
    await anew.server.close()
    const later = await inPlaceOf(a.cluster)
    try {
      await later.client.create(WIDGETS, widget('w4'))
      const failures = a.counters.value('kube_watch_failures_total')
      await until(
        'it was asked again',
        () => a.counters.value('kube_watch_failures_total') > failures + 1,
      )
      for (const name of ['w1', 'w2']) assert.ok(await has(b.cluster.client, name), name)
      assert.equal(await has(b.cluster.client, 'w4'), false)
      assert.match(a.replication.problem ?? '', /^KUBE_REWOUND/)
    } finally {
      await a.stop()
      await later.close()
    }
  }))

test('an address that leads to another cluster for a while changes nothing, and then all goes on', () =>
  withCluster(async (first) => {
    let answering = first.client
    const client = { get: (...call: Parameters<KubeClient['get']>) => answering.get(...call) }
    const identity = new ClusterIdentity(client as KubeClient, first.scope.log)
    await identity.learn(signal)
    await withCluster(async (second) => {
      answering = second.client
      await assert.rejects(identity.check(signal), { code: 'KUBE_CLUSTER_REPLACED' })
      await assert.rejects(identity.checkWatch(signal), { code: 'KUBE_CLUSTER_REPLACED' })
      assert.match(identity.doubt, /KUBE_CLUSTER_REPLACED/)
    })
    answering = first.client
    await identity.checkWatch(signal)
    assert.equal(identity.doubt, '')
  }))

test('versions that went back are doubted for good, whoever has seen it', () =>
  withCluster(async ({ client, scope }) => {
    const identity = new ClusterIdentity(client, scope.log)
    await identity.learn(signal)
    identity.checkVersion('', '5')
    identity.checkVersion('5', '5')
    identity.noteFailure(new KubeError('KUBE_GONE', 'is no doubt'))
    await identity.check(signal)
    assert.throws(() => identity.checkVersion('10', '9'), { code: 'KUBE_REWOUND' })
    await assert.rejects(identity.check(signal), { code: 'KUBE_REWOUND' })
    await assert.rejects(identity.checkWatch(signal), { code: 'KUBE_REWOUND' })
    assert.match(identity.doubt, /from resourceVersion 10 to 9/)
  }))

test('a watch is not held up by an identity that cannot be asked for', () =>
  withCluster(async (cluster) => {
    const identity = new ClusterIdentity(cluster.client, cluster.scope.log)
    await identity.learn(signal)
    cluster.faults = () => ({ status: 403 })
    await identity.checkWatch(signal)
    await assert.rejects(identity.check(signal), { code: 'KUBE_FORBIDDEN' })
  }))

test('a snapshot that is due before any watch has seen it is not written from a restored cluster', async () => {
  let held = false
  const faults = { watch: () => (held ? new Promise<void>(() => {}) : undefined) }
  const restored = { sameUid: true, anew: { clock: hourAgo }, faults }
  const text = 'x'.repeat(20_000)
  await withAnother(
    restored,
    async (a, b) => {
      assert.equal(a.replication.status.believed, true)
      a.replication.shortenLog()
      await until('it is told', () => !a.replication.status.believed)
      assert.equal(a.replication.status.snapshots, 1)
      for (const name of ['w1', 'w2']) assert.ok(await has(b.cluster.client, name), name)
    },
    async (a, b) => {
      for (let at = 0; at < 20; at++) await a.create(WIDGETS, widget(`gone-${at}`, { note: text }))
      for (let at = 0; at < 20; at++) await a.delete(WIDGETS, 'default', `gone-${at}`)
      await until('deleted', async () => !(await has(b, 'gone-19')))
      held = true
    },
  )
})
