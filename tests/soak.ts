/**
 * `npm run soak`: whether a mesh that works for long holds more and more.
 *
 *     npm run soak                                12 rounds of 1 000 objects of 2 KiB, each created, edited and deleted
 *     npm run soak -- --rounds 30 --objects 2000
 *     npm run soak -- --warm-up 0                 without the eight rounds before the first that are not read
 *
 * Three zones over the real transport. After each round a collection is forced in each controller and what lives in its
 * heap is read: objects, and compiled code, which V8 keeps apart. The Theil-Sen slope of both together over the rounds from
 * the third on, with its upper bound, is held against 50 bytes an object; both are shown by themselves beside it. V8 goes
 * on to compile what is called seldom for tens of thousands of changes (in the first twelve rounds code alone is above the
 * bound), which would hide what grows and what does not: that is what the rounds before the first are for.
 */
import { parseArgs } from 'node:util'
import { WIDGETS, widget } from '../packages/mesh-controller/src/api-server/testing.ts'
import { theilSen } from '../packages/weir/testing/index.ts'
import { type Memory, MeshUnderTest } from './mesh.ts'
import { until } from './processes.ts'

const BYTES_PER_OBJECT_MAX = 50
const CALLERS = 8
const FIRST_ROUND = 3

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '12' },
    objects: { type: 'string', default: '1000' },
    'warm-up': { type: 'string', default: '8' },
  },
})
const rounds = Number(values.rounds)
const objects = Number(values.objects)
const warmUp = Number(values['warm-up'])
if (!Number.isInteger(rounds) || rounds < FIRST_ROUND + 2 || !(objects > 0)) {
  console.error(`--rounds needs at least ${FIRST_ROUND + 2}, --objects at least 1`)
  process.exit(2)
}
process.exitCode = await soak()

async function soak(): Promise<number> {
  const mesh = await MeshUnderTest.open(3)
  const readings = new Map(mesh.zones.map((zone) => [zone.name, [] as Memory[]]))
  try {
    await mesh.startAll()
    for (let round = 1 - warmUp; round <= rounds; round++) {
      await work(mesh)
      const cells: string[] = []
      for (const zone of mesh.zones) {
        const memory = await zone.memory()
        if (round > 0) readings.get(zone.name)!.push(memory)
        const { codeUsed, arrayBuffers, rss } = memory
        const parts = [objectBytes(memory), codeUsed, arrayBuffers].map(mebibytes).join(' + ')
        cells.push(`${zone.name} ${parts} MiB, RSS ${mebibytes(rss)}`)
      }
      const name = round > 0 ? `round ${String(round).padStart(2)}` : 'warm-up '
      console.log(`${name}: ${cells.join('   ')}`)
    }
    console.log('(objects + compiled code + buffers, after a forced collection)')
    return judge(readings)
  } finally {
    await mesh.close()
  }
}

async function work(mesh: MeshUnderTest): Promise<void> {
  const client = mesh.zones[0]!.cluster.client
  const note = 'x'.repeat(1_800)
  await each((at) => client.create(WIDGETS, widget(`w${at}`, { note, size: at })))
  await each((at) => client.mergePatch(WIDGETS, 'default', `w${at}`, { spec: { size: at + 1 } }))
  await each((at) => client.delete(WIDGETS, 'default', `w${at}`))
  for (const zone of mesh.zones) {
    await until(
      `${zone.name} is empty`,
      async () => (await zone.metric('mesh_objects')) === 0,
      120_000,
    )
  }
}

async function each(run: (at: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const caller = async () => {
    while (next < objects) await run(next++)
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
}

function objectBytes({ heapUsed, codeUsed }: Memory): number {
  return heapUsed - codeUsed
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(2)
}

function judge(readings: ReadonlyMap<string, readonly Memory[]>): number {
  let failed = 0
  for (const [zone, memories] of readings) {
    const held = slopeOf(memories.map(({ heapUsed }) => heapUsed))
    const live = slopeOf(memories.map(objectBytes))
    const code = slopeOf(memories.map(({ codeUsed }) => codeUsed))
    const good = held.upper <= BYTES_PER_OBJECT_MAX
    if (!good) failed++
    console.log(
      `${zone}: ${held.slope.toFixed(1)} bytes per object, upper bound ${held.upper.toFixed(1)}, at most ${BYTES_PER_OBJECT_MAX}: ${good ? 'held' : 'NOT HELD'}; objects alone ${live.slope.toFixed(1)}, upper bound ${live.upper.toFixed(1)}; compiled code ${code.slope.toFixed(1)}, upper bound ${code.upper.toFixed(1)}`,
    )
  }
  return failed === 0 ? 0 : 1
}

/** In bytes for each object, over the rounds from the third on. */
function slopeOf(bytes: readonly number[]): { slope: number; upper: number } {
  const points = bytes.map((y, index) => ({ x: index + 1, y })).filter(({ x }) => x >= FIRST_ROUND)
  const { slope, upper } = theilSen(points)
  return { slope: slope / objects, upper: upper / objects }
}
