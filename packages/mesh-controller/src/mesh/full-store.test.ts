/** A store that has no room for the log of its own zone: it is told, nothing goes round, and less of it mends it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { until, WIDGETS, widget } from '../api-server/testing.ts'

const STORE_BYTES = 1024 * 1024
const OBJECT_BYTES = 30_000

// With a short queue the snapshot waited for ever for room that only another one could make, and so did the watch with
// the news of what was deleted. With a long one it seemed written while its end still waited: the next one was asked for
// at once, twenty times in four seconds, each sent to all zones.
for (const [queue, publishBytesMax, count] of [
  ['short', 2_300_000, 60],
  ['long', 4 * 1024 * 1024, 45],
] as const) {
  test(`objects that do not fit into the store are told, and travel when some are deleted, with a ${queue} queue`, async () => {
    const mesh = await DirectMesh.open(2, {
      storeBytesMax: STORE_BYTES,
      limits: { publishBytesMax },
    })
    try {
      const [a, b] = mesh.zones as [DirectZone, DirectZone]
      await until('both ready', () => !a.replication.problem && !b.replication.problem)
      const extra = { text: 'x'.repeat(OBJECT_BYTES) }
      for (let at = 0; at < count; at++)
        await a.cluster.client.create(WIDGETS, widget(`w${at}`, { extra }))
      await until('it is told', () => /^OWN_LOG_FULL: .*memory/.test(a.replication.problem ?? ''))
      assert.equal(a.replication.status.snapshots, 1)
      for (let at = 5; at < count; at++) await a.cluster.client.delete(WIDGETS, 'default', `w${at}`)
      await until('the rest is there', async () => {
        const { items } = await b.cluster.client.list(WIDGETS, { namespace: 'default' })
        return items.length === 5
      })
      await until('all is well', () => a.replication.problem === undefined)
      await until('it is written', () => a.replication.status.queued === 0)
    } finally {
      await mesh.close()
    }
  })
}
