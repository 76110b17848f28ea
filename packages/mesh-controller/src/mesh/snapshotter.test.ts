import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from 'weir-mesh/runtime'
import { until, WIDGETS, widget, withCluster } from '../api-server/testing.ts'
import { ClusterIdentity } from './cluster-identity.ts'
import { Snapshotter } from './snapshotter.ts'

test('a snapshot does not end with what the watch has not listed yet, although it could be listed', () =>
  withCluster(async (cluster) => {
    const { client, scope, heartbeats } = cluster
    await client.create(WIDGETS, widget('w1'))
    const identity = new ClusterIdentity(client, scope.log)
    await identity.learn(scope.signal)
    let listed = false
    const events: string[] = []
    const snapshotter = new Snapshotter({
      scope,
      client,
      random: seededRandom(1),
      heartbeat: scope.own('pulse', heartbeats.register('snapshot', { deadlineMs: 1_000 })),
      cluster: identity,
      resources: () => [
        { name: 'demo.weir.example/Widget', ref: WIDGETS, namespaces: ['default'] },
      ],
      collection: (_resource, namespace) => ({
        namespace,
        listed,
        problem: '',
        refused: false,
        version: '',
      }),
      count: () => 1,
      dispatch: ({ type }) => void events.push(type),
      room: async () => {},
      roomForBegin: async () => {},
      takeStale: () => undefined,
    })
    snapshotter.request()
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
