import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until, WIDGETS, widget, withCluster } from '../api-server/testing.ts'
import { expire, watch } from './reflector.fixture.ts'
import { compareResourceVersions } from './resource-version.ts'

test('what only a list shows to be gone, went after all that was written to it unseen', async () => {
  await withCluster(async (cluster) => {
    const { client } = cluster
    await client.create(WIDGETS, widget('w', { size: 1 }))
    const { reflector, events } = watch(cluster)
    await until('it is synced', () => reflector.synced)
    await client.create(WIDGETS, widget('other', { size: 3 }))
    await until('the watch is open', () => events.length === 2)
    let answered = ''
    await expire(cluster, async () => {
      // Whoever wrote this knows its version from the answer, and must not take the deletion for older.
      const written = await client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 2 } })
      answered = written.metadata.resourceVersion ?? ''
      await client.delete(WIDGETS, 'default', 'w')
    })
    await until('it was listed again', () => events.length === 3)
    const deleted = events[2]
    assert.equal(deleted?.type, 'deleted')
    assert.equal(deleted.object, undefined)
    assert.ok(compareResourceVersions(deleted.resourceVersion, answered) > 0)
  })
})
