import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from 'weir-mesh/runtime'
import { type TestCluster, until, WIDGETS, widget, withCluster } from '../api-server/testing.ts'
import type { JsonObject, KubeClient } from '../kube/index.ts'
import { ClusterIdentity } from './cluster-identity.ts'
import { Snapshotter, type SnapshotterOptions } from './snapshotter.ts'

/** A snapshotter of one widget. `collection` says what the watch knows. */
async function setUp(
  { client, scope, heartbeats }: TestCluster,
  identity: ClusterIdentity,
  collection: SnapshotterOptions['collection'],
) {
  await client.create(WIDGETS, widget('w1'))
  await identity.learn(scope.signal)
  const events: string[] = []
  const snapshotter = new Snapshotter({
    scope,
    client,
    random: seededRandom(1),
    heartbeat: scope.own('pulse', heartbeats.register('snapshot', { deadlineMs: 1_000 })),
    cluster: identity,
    resources: () => [{ name: 'demo.weir.example/Widget', ref: WIDGETS, namespaces: ['default'] }],
    collection,
    count: () => 1,
    dispatch: ({ type }) => void events.push(type),
    inRoom: async (act) => act(),
    inRoomOfBegin: async (act) => act(),
    kept: async () => {},
    unsent: () => [],
    takeStale: () => undefined,
  })
  snapshotter.request()
  return { snapshotter, events }
}

const known = (listed: boolean) => ({
  namespace: 'default',
  listed,
  problem: '',
  refused: false,
  version: '',
})

test('a snapshot does not end with what the watch has not listed yet, although it could be listed', () =>
  withCluster(async (cluster) => {
    let listed = false
    const identity = new ClusterIdentity(cluster.client, cluster.scope.log)
    const { snapshotter, events } = await setUp(cluster, identity, () => known(listed))
    await until('it waits', () => snapshotter.held !== '')
    assert.match(snapshotter.held, /^widgets in the namespace default are not listed yet/)
    assert.equal(snapshotter.running, false)
    assert.deepEqual(events, ['snapshot-begin', 'snapshot-flush'])
    listed = true
    snapshotter.listed()
    await until('it was written', () => snapshotter.written === 1)
    assert.deepEqual(events.slice(-2), ['snapshot-item', 'snapshot-end'])
    assert.equal(snapshotter.held, '')
    assert.deepEqual(snapshotter.missing, [])
  }))

test('a snapshot does not end when another cluster answers since it began', () =>
  withCluster(async (cluster) => {
    let asked = 0
    const uids = ['one', 'one', 'two', 'one', 'one']
    const client = { get: async () => ({ metadata: { name: 'kube-system', uid: uids[asked++] } }) }
    const identity = new ClusterIdentity(client as unknown as KubeClient, cluster.scope.log)
    const { snapshotter, events } = await setUp(cluster, identity, () => known(true))
    await until('it was written', () => snapshotter.written === 1)
    assert.deepEqual(events, [
      'snapshot-begin',
      'snapshot-item',
      'snapshot-abort',
      'snapshot-begin',
      'snapshot-item',
      'snapshot-end',
    ])
    assert.equal(asked, 5)
  }))

// The snapshot began anew for ever: one page is the least that can be asked for.
test('an object that is larger alone than an answer may be is passed over, and one that no zone could read is left out', () =>
  withCluster(
    async (cluster) => {
      const { client } = cluster
      let deep: JsonObject = {}
      for (let level = 0; level < 140; level++) deep = { deep }
      const many = Array.from({ length: 20_000 }, () => 0)
      for (const [name, extra] of [
        ['w0', { text: 'x'.repeat(200_000) }],
        ['w2', { text: 'x'.repeat(200_000) }],
        ['w3', deep],
        ['w4', { many }],
        ['w9', { text: 'x'.repeat(200_000) }],
      ] as const) {
        // The answer to it is too large as well.
        await client.create(WIDGETS, widget(name, { extra })).catch(() => {})
      }
      const identity = new ClusterIdentity(client, cluster.scope.log)
      const { snapshotter, events } = await setUp(cluster, identity, () => known(true))
      await until('it was written', () => snapshotter.written === 1)
      assert.deepEqual(events, ['snapshot-begin', 'snapshot-item', 'snapshot-end'])
    },
    { kube: { responseBytesMax: 100_000 } },
  ))
