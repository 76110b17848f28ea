/** What objects have cost is given back when they are gone: the short form of `npm run soak`, exact instead of by trend. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WIDGETS, widget } from '../../packages/mesh-controller/src/api-server/testing.ts'
import { MeshUnderTest } from '../mesh.ts'
import { until } from '../processes.ts'

const ROUNDS = 4
const OBJECTS = 120

/** Terms that hold nothing when nothing is there and nothing moves. */
const EMPTY = Object.freeze([
  'core.verify-jobs',
  'kube.cache',
  'mesh.applies',
  'mesh.objects',
  'mesh.publish-queue',
  'mesh.snapshot-chunk',
  'mesh.too-large',
  'sync.buffers',
  'sync.deliver',
  'sync.held',
  'sync.ingest',
  'sync.live',
  'sync.locks',
  'sync.publishes',
])
/** Terms whose number of entries is that of zones and peers, whatever has happened. */
const STEADY = Object.freeze([
  'core.verifier-keys',
  'mesh.zones',
  'store.logs',
  'sync.logs',
  'sync.peers',
  'sync.targets',
  'transport.connections',
])

test('after rounds of creates, edits and deletes in three zones every account is as before', async () => {
  const mesh = await MeshUnderTest.open(3)
  try {
    await mesh.startAll()
    const name = (at: number) => `w${at}`
    const note = 'x'.repeat(2_000)
    let steady: number[][] = []
    for (let round = 1; round <= ROUNDS; round++) {
      // Each zone owns a third of the objects.
      const each = async (run: (client: Client, at: number) => Promise<unknown>) => {
        await Promise.all(
          mesh.zones.map(async ({ cluster }, zone) => {
            for (let at = zone; at < OBJECTS; at += 3) await run(cluster.client, at)
          }),
        )
      }
      type Client = (typeof mesh.zones)[0]['cluster']['client']
      await each((client, at) => client.create(WIDGETS, widget(name(at), { note, size: round })))
      await each((client, at) =>
        client.mergePatch(WIDGETS, 'default', name(at), { spec: { size: round + 1 } }),
      )
      for (const zone of mesh.zones) {
        await until(
          `${zone.name} has all`,
          async () => (await zone.metric('mesh_objects')) === OBJECTS,
        )
      }
      await each((client, at) => client.delete(WIDGETS, 'default', name(at)))
      const now: number[][] = []
      for (const zone of mesh.zones) {
        const entries = (term: string) => zone.metric(`memory_term_entries\\{term="${term}"\\}`)
        for (const term of EMPTY) {
          await until(`${zone.name}: ${term} is empty after round ${round}`, async () => {
            return (await entries(term)) === 0
          })
        }
        now.push(await Promise.all(STEADY.map(entries)))
        assert.equal((await zone.cluster.client.list(WIDGETS)).items.length, 0)
      }
      if (round === 1) steady = now
      else assert.deepEqual(now, steady, `${STEADY.join(', ')} after round ${round}`)
    }
  } finally {
    await mesh.close()
  }
})
