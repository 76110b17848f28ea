/** Steps of changes per second, and more than the mesh can take. */
import { sleep } from './children.ts'
import { drive } from './drive.ts'
import type { Context, Measure } from './measure.ts'
import { editText, widgetText } from './objects.ts'
import { cpuOf } from './proc.ts'
import { Tracker } from './tracker.ts'
import { Mesh } from './zones.ts'

/** Requests that the bench has open at once when it sends as fast as it can. */
const PARALLEL = 16
const PATIENCE_MS = 30_000
/** After the last commit in A the others may be this far behind for a rate to count as sustained. */
const LAG_MS_MAX = 2_000

export async function sustained({ mesh: options, quick, say }: Context): Promise<Measure[]> {
  const seconds = quick ? 4 : 10
  const mesh = await Mesh.open(options)
  const measures: Measure[] = []
  const references: { readonly [rate: number]: string } = {
    100: '3.5 / 30 ms',
    200: '3.1 / 168 ms',
    300: '41 / 239 ms',
    400: '61 % lost',
  }
  let best = 0
  try {
    const [a] = mesh.clusters
    const tracker = new Tracker(mesh.clusters)
    await tracker.open()
    for (const rate of [100, 200, 300, 400]) {
      const count = rate * seconds
      const cpuBefore = mesh.controllers.map(({ pid }) => cpuOf(pid))
      tracker.expect('ADDED')
      const from = performance.now()
      await drive(count, { perSecond: rate }, (at) => a!.create(widgetText(`r${rate}-${at}`)))
      const whole = await tracker.settled(count, PATIENCE_MS)
      const tookMs = tracker.lastAt(0) - from
      const lagMs = Math.max(tracker.lastAt(1), tracker.lastAt(2)) - tracker.lastAt(0)
      const reached = (count * 1_000) / tookMs
      const cpu = mesh.controllers.map(({ pid }, at) => cpuOf(pid) - cpuBefore[at]!)
      const p50 = Math.max(tracker.latencies(1).p50, tracker.latencies(2).p50)
      const p99 = Math.max(tracker.latencies(1).p99, tracker.latencies(2).p99)
      const lost = count - Math.min(...tracker.counts)
      if (whole && lagMs <= LAG_MS_MAX && reached >= rate * 0.97) best = rate
      say(
        `${rate}/s (${reached.toFixed(0)} reached): p50 ${p50.toFixed(0)} p99 ${p99.toFixed(0)} ms, lag ${lagMs.toFixed(0)} ms, lost ${lost}, CPU s ${cpu.map((each) => each.toFixed(1)).join(' ')}`,
      )
      measures.push(
        { name: `${rate}/s: p50`, value: p50, unit: 'ms', reference: references[rate] ?? '' },
        { name: `${rate}/s: p99`, value: p99, unit: 'ms', reference: '' },
        {
          name: `${rate}/s: lost`,
          value: lost,
          unit: '',
          target: { most: 0 },
          reference: rate === 400 ? '61 %' : '0',
          worst: true,
        },
      )
      tracker.expect('DELETED')
      await drive(count, { parallel: PARALLEL }, (at) => a!.delete(`r${rate}-${at}`))
      await tracker.settled(count, PATIENCE_MS)
    }
    tracker.close()
    measures.push({
      name: 'sustained without loss, others at most 2 s behind',
      value: best,
      unit: 'changes/s',
      target: { least: 300 },
      reference: '300/s, at 400/s 61 % lost',
    })
    return [...measures, ...(await tooFast(mesh, quick ? 1_000 : 3_000, say))]
  } finally {
    await mesh.close()
  }
}

/** Creates, edits and deletes as fast as A's API server takes them; in the end all zones must hold the same. */
async function tooFast(mesh: Mesh, count: number, say: Context['say']): Promise<Measure[]> {
  const [a] = mesh.clusters
  const from = performance.now()
  await drive(count, { parallel: PARALLEL }, async (at) => {
    await a!.create(widgetText(`fast-${at}`))
    await a!.patch(`fast-${at}`, editText(at + 1))
    if (at % 3 === 0) await a!.delete(`fast-${at}`)
  })
  const sentMs = performance.now() - from
  const rate = Math.round((count * 7) / 3 / (sentMs / 1_000))
  const different = await untilEqual(mesh, 60_000)
  const tookMs = performance.now() - from
  say(`as fast as it goes: ${rate}/s offered, equal after ${Math.round(tookMs)} ms`)
  return [
    {
      name: `${Math.round((count * 7) / 3)} changes at once: objects that differ in the end`,
      value: different,
      unit: '',
      target: { most: 0 },
      reference: '87 % lost by gossip',
      worst: true,
      note: `offered at ${rate}/s`,
    },
  ]
}

/** @returns how many objects differ between A and the others once nothing changes any more. */
async function untilEqual(mesh: Mesh, patienceMs: number): Promise<number> {
  let different = Number.POSITIVE_INFINITY
  let movedAt = performance.now()
  while (true) {
    const [a, ...others] = await Promise.all(mesh.clusters.map((cluster) => cluster.contents()))
    let now = 0
    for (const other of others) {
      for (const [name, text] of a!) if (other.get(name) !== text) now++
      for (const name of other.keys()) if (!a!.has(name)) now++
    }
    if (now === 0) return 0
    if (now !== different) movedAt = performance.now()
    different = now
    if (performance.now() - movedAt > patienceMs) return different
    await sleep(500)
  }
}
