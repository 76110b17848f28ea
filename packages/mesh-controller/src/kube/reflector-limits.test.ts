import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until, WIDGETS, widget, withCluster } from '../api-server/testing.ts'
import type { LargeObject } from './metadata-scanner.ts'
import { expire, watch } from './reflector.fixture.ts'

test('an object above the cap is named, its siblings go on, and a relist does not take it for deleted', async () => {
  await withCluster(
    async (cluster) => {
      const { client } = cluster
      await client.create(WIDGETS, widget('a', { size: 1 }))
      await client.create(WIDGETS, widget('big', { size: 1 }))
      const large: LargeObject[] = []
      const { log, reflector } = watch(cluster, {
        onLarge: (object) => {
          large.push(object)
        },
      })
      await until('it is synced', () => reflector.synced)
      const note = 'x'.repeat(20_000)
      await client.mergePatch(WIDGETS, 'default', 'big', { spec: { note } })
      await client.create(WIDGETS, widget('b', { size: 2 }))
      await until('the sibling came', () => log.includes('added b 2'))
      assert.equal(large.length, 1)
      assert.equal(large[0]?.name, 'big')
      assert.equal(large[0]?.namespace, 'default')
      assert.ok((large[0]?.bytes ?? 0) > 20_000)
      await expire(cluster)
      await until('it was listed again', () => reflector.state.lists === 2 && large.length === 2)
      assert.ok(!log.some((line) => line.startsWith('deleted')))
      await client.delete(WIDGETS, 'default', 'big')
      await until('its delete came all the same', () => log.at(-1) === 'deleted big was 1')
      assert.equal(cluster.counters.value('kube_large_objects_total'), 3)
    },
    { kube: { objectBytesMax: 8_192 } },
  )
})

test('kube.cache: one object more than the plan is reported, and counted as not remembered', async () => {
  await withCluster(
    async (cluster) => {
      const { log, reflector } = watch(cluster)
      for (let size = 0; size < 5; size++)
        await cluster.client.create(WIDGETS, widget(`w${size}`, { size }))
      await until('all were reported', () => log.length === 5)
      assert.equal(reflector.state.objects, 4)
      assert.equal(reflector.state.notRemembered, 1)
      assert.equal(cluster.counters.value('kube_cache_refused_total'), 1)
      assert.equal(cluster.ledger.row(cluster.client.terms.cache).refused.cap, 1)
    },
    { kube: { objectsMax: 4 } },
  )
})

test('kube.cache-bytes: projections are charged, and one too many is not kept', async () => {
  await withCluster(
    async (cluster) => {
      const { log, reflector } = watch(cluster, { bytesOf: () => 1_000 })
      for (let size = 0; size < 4; size++)
        await cluster.client.create(WIDGETS, widget(`w${size}`, { size }))
      await until('all were reported', () => log.length === 4)
      assert.equal(reflector.state.objects, 3)
    },
    { kube: { cacheBytesMax: 3_900 } },
  )
})

test('kube.streams: one watch more than the plan is refused', async () => {
  await withCluster(
    async (cluster) => {
      watch(cluster)
      assert.throws(() => watch(cluster), { code: 'LIMIT' })
      await cluster.scope.close()
    },
    { kube: { streamsMax: 1 } },
  )
})
