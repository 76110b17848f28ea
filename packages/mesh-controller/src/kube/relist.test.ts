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

// It went round without a pause, with a whole list each time: a server forgets so fast when more changes than it keeps.
test('a server that says 410 to each watch is listed again after waits that grow', async () => {
  for (const [first, lists] of [
    [60_000, 1],
    [5, 12],
  ] as const) {
    await withCluster(async (cluster) => {
      cluster.faults = ({ path, watch: watches }) =>
        watches && path.endsWith('/widgets') ? { status: 410 } : undefined
      const { reflector } = watch(cluster, { backoffMs: { first, most: 60_000 } })
      await until('it has watched', () => reflector.state.watches > 0)
      await new Promise((resolve) => setTimeout(resolve, 1000))
      assert.ok(reflector.state.lists <= lists, `${reflector.state.lists} lists`)
    })
  }
})
