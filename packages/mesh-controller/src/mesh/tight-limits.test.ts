/**
 * Two zones with tight limits, objects of 100 bytes to 900 kB, and API servers that are slow and fail: whatever the order,
 * both end with the objects of both.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Random, seededRandom } from 'weir-mesh/runtime'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { until, WIDGETS, widget } from '../api-server/testing.ts'

const SEEDS = Object.freeze([1, 2])
/** A receiver of this mesh without sync loses what does not fit, so the stores are large; the logs are short. */
const STORE_BYTES = 32 * 1024 * 1024
const LOG_BYTES = 2_500_000
/** What one zone may have, so that both fit with what was superseded. */
const LIVE_BYTES = 1_600_000
const CHANGES = 100
const SIZES = Object.freeze([100, 2_000, 30_000, 54_000, 250_000, 900_000])

/** An API server that is slow at times, and fails one request in eight for as long as it is asked to. */
function disturb({ cluster }: DirectZone, random: Random, ends: () => boolean): void {
  cluster.faults = ({ watch, path }) => {
    if (ends() || !path.includes('/widgets')) return undefined
    const drawn = random.below(32)
    if (drawn < 2) return watch ? { cutAfter: 3 } : { status: 500 }
    if (drawn < 3) return { hangUp: true }
    if (drawn < 4) return watch ? { status: 410 } : { status: 409 }
    return drawn < 10 ? { delayMs: random.below(20) } : undefined
  }
}

/** Objects that a user of one zone makes, changes and deletes; sizes by name. */
async function change(zone: DirectZone, random: Random, sizes: Map<string, number>): Promise<void> {
  const { client } = zone.cluster
  const name = `${zone.name}-${random.below(20)}`
  const size = sizes.get(name)
  const kept = await (async () => {
    if (size !== undefined && random.below(4) === 0) {
      await client.delete(WIDGETS, 'default', name)
      return undefined
    }
    const wanted = SIZES[random.below(SIZES.length)]!
    let live = 0
    for (const [other, bytes] of sizes) if (other !== name) live += bytes
    if (live + wanted > LIVE_BYTES) return size
    const spec = { extra: { text: String.fromCharCode(97 + random.below(26)).repeat(wanted) } }
    if (size === undefined) await client.create(WIDGETS, widget(name, spec))
    else await client.mergePatch(WIDGETS, 'default', name, { spec })
    return wanted
  })().catch(() => 'unknown' as const)
  if (kept === 'unknown') {
    // It failed, before or after it was done: counted as a middling one.
    sizes.set(name, size ?? 30_000)
  } else if (kept === undefined) sizes.delete(name)
  else sizes.set(name, kept)
}

async function contents(zone: DirectZone): Promise<Record<string, string>> {
  const { items } = await zone.cluster.client.list(WIDGETS, { namespace: 'default' })
  const spec = (each: (typeof items)[0]) => {
    const { text } = (each['spec'] as { extra: { text: string } }).extra
    return `${text.length} ${text[0]}`
  }
  return Object.fromEntries(items.map((each) => [each.metadata.name, spec(each)]))
}

for (const seed of SEEDS) {
  test(`with tight limits and servers that fail, both zones end with the same objects, seed ${seed}`, async () => {
    const random = seededRandom(seed)
    let ended = false
    const mesh = await DirectMesh.open(2, {
      storeBytesMax: STORE_BYTES,
      limits: { publishBytesMax: 2_300_000, appliesMax: 4, pendingMax: 4, logBytesMax: LOG_BYTES },
    })
    try {
      const zones = mesh.zones as [DirectZone, DirectZone]
      for (const zone of zones) disturb(zone, random, () => ended)
      const sizes = zones.map(() => new Map<string, number>())
      for (let at = 0; at < CHANGES; at++) {
        const which = random.below(2)
        await change(zones[which]!, random, sizes[which]!)
        if (random.below(20) === 0) {
          await zones[which]!.stop()
          zones[which]!.restart()
        }
      }
      ended = true
      await until('both are the same', async () => {
        if (zones.some(({ replication }) => replication.problem !== undefined)) return false
        const [a, b] = await Promise.all(zones.map(contents))
        return (
          JSON.stringify(Object.entries(a!).sort()) === JSON.stringify(Object.entries(b!).sort())
        )
      })
      const made = Object.keys(await contents(zones[0]))
      assert.ok(made.some((name) => name.startsWith('zone-a')))
      assert.ok(made.some((name) => name.startsWith('zone-b')))
      await until('nothing is left to do', () =>
        zones.every(({ replication: { status } }) => status.pending === 0 && status.queued === 0),
      )
    } finally {
      await mesh.close()
    }
  })
}
