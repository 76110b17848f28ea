/** Objects that are large beside the room there is for them: each waits for its turn, and none for ever. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { until, WIDGETS, widget } from '../api-server/testing.ts'

const large = (name: string, bytes: number) => widget(name, { extra: { text: 'x'.repeat(bytes) } })

// All but one failed at once, and were tried again together after a delay that grew: twelve took 50 s.
test('writes that are too large to run together run one after the other, and none fails for it', async () => {
  const mesh = await DirectMesh.open(2, { storeBytesMax: 32 * 1024 * 1024 })
  try {
    const [a, b] = mesh.zones as [DirectZone, DirectZone]
    await until('both ready', () => !a.replication.problem && !b.replication.problem)
    await b.stop()
    for (let at = 0; at < 8; at++) await a.cluster.client.create(WIDGETS, large(`w${at}`, 900_000))
    await a.cluster.client.create(WIDGETS, large('small', 10))
    await until('all are published', () => a.replication.status.ownObjects === 9)
    b.restart()
    await until('all are there', () => {
      const { zones, pending } = b.replication.status
      return zones[0]?.objects === 9 && !zones[0].catchingUp && pending === 0
    })
    const { items } = await b.cluster.client.list(WIDGETS, { namespace: 'default', limit: 1 })
    assert.equal(items.length, 1)
    assert.deepEqual(
      b.lines.filter((line) => line.includes('could not be written')),
      [],
    )
    assert.equal(b.counters.value('mesh_applied_total'), 9)
  } finally {
    await mesh.close()
  }
})

// The list ended with its first page when that was too large, and all that was not listed was deleted elsewhere.
test('a snapshot of pages that are too large lists all the same, and nothing is deleted elsewhere', async () => {
  const mesh = await DirectMesh.open(2, { storeBytesMax: 32 * 1024 * 1024 })
  try {
    const [a, b] = mesh.zones as [DirectZone, DirectZone]
    await until('both ready', () => !a.replication.problem && !b.replication.problem)
    for (let at = 0; at < 7; at++) await a.cluster.client.create(WIDGETS, large(`w${at}`, 900_000))
    await until('all are there', () => b.replication.status.objects === 7)
    await a.stop()
    a.restart()
    await until('the snapshot is written', () => a.replication.status.snapshots === 1)
    await until(
      'it has come',
      () =>
        b.replication.status.zones[0]?.incarnation === 2 && b.replication.status.zones[0].complete,
    )
    assert.equal(b.replication.status.zones[0]?.objects, 7)
  } finally {
    await mesh.close()
  }
})
