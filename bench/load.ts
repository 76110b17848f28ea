/**
 * What a mesh does under load: steps of changes per second, more than it can take, bursts, and what is left after
 * rounds of creating, editing and deleting.
 */
import { sleep } from './children.ts'
import type { Context, Measure } from './measure.ts'
import { editText, widgetText } from './objects.ts'
import { cpuOf, mebibytes, megabytes, memoryOf, resetPeak } from './proc.ts'
import { drive, Tracker } from './tracker.ts'
import { Mesh, type MeshOptions } from './zones.ts'

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

/** A burst of 1 000 into an empty mesh, then 10 000 more; what that costs; then C starts again with the data. */
export async function bursts({ mesh: options, quick, say }: Context): Promise<Measure[]> {
  const mesh = await Mesh.open(options)
  try {
    const counts = quick ? [1_000, 1_000] : [1_000, 10_000]
    const measures = await fill(mesh, counts, say)
    return [...measures, ...(await restart(mesh, say))]
  } finally {
    await mesh.close()
  }
}

/** Sends bursts one after the other and reports times and peaks. */
export async function fill(
  mesh: Mesh,
  counts: readonly number[],
  say: Context['say'],
): Promise<Measure[]> {
  const measures: Measure[] = []
  const [a] = mesh.clusters
  const tracker = new Tracker(mesh.clusters)
  await tracker.open()
  let made = 0
  for (const count of counts) {
    tracker.expect('ADDED')
    const cpuBefore = mesh.controllers.map(({ pid }) => cpuOf(pid))
    const from = performance.now()
    const first = made
    made += count
    await drive(count, { parallel: PARALLEL }, (at) => a!.create(widgetText(`o-${first + at}`)))
    const whole = await tracker.settled(count, PATIENCE_MS)
    const tookMs = Math.max(tracker.lastAt(1), tracker.lastAt(2)) - from
    const cpu = mesh.controllers.map(({ pid }, at) => cpuOf(pid) - cpuBefore[at]!)
    const memory = mesh.controllers.map(({ pid }) => memoryOf(pid))
    say(
      `${count} creates: A ${Math.round(tracker.lastAt(0) - from)} ms, both peers ${Math.round(tookMs)} ms, counts ${tracker.counts.join(' ')}; CPU s ${cpu.map((each) => each.toFixed(1)).join(' ')}; peaks MiB ${memory.map(({ peak }) => mebibytes(peak)).join(' ')}`,
    )
    const large = count >= 10_000
    measures.push({
      name: `burst of ${count}: both peers have all`,
      value: whole ? tookMs / 1_000 : Number.POSITIVE_INFINITY,
      unit: 's',
      target: { most: large ? 30 : 3 },
      reference: large ? 'C 102-115 s with 9 missing, B never' : '18-145 s or more',
      note: `A's API server alone took ${((tracker.lastAt(0) - from) / 1_000).toFixed(1)} s`,
    })
    // On a machine with other work this is what can be compared.
    for (const [role, at] of [
      ['owner', 0],
      ['receiver', 1],
    ] as const) {
      measures.push({
        name: `burst of ${count}: CPU time of the ${role} for each object`,
        value: (cpu[at]! * 1_000) / count,
        unit: 'ms',
        reference: '-',
      })
    }
  }
  tracker.close()
  const peaks = mesh.controllers.map(({ pid }) => mebibytes(memoryOf(pid).peak))
  const names = ['A (owner)', 'B', 'C']
  const references = ['560 MB, peak 640', '284 MB', '324 MB, peak 367']
  for (const [at, peak] of peaks.entries()) {
    measures.push({
      name: `peak RSS with ${made} objects of 2 KiB: ${names[at]}`,
      value: peak,
      unit: 'MiB',
      target: { most: 150 },
      reference: references[at]!,
    })
  }
  return measures
}

/** C ends and starts again while its API server keeps all objects. */
async function restart(mesh: Mesh, say: Context['say']): Promise<Measure[]> {
  const c = mesh.controllers[2]!
  const objects = (await c.status())?.objects ?? 0
  await c.stop()
  const [a, , cluster] = mesh.clusters
  await a!.create(widgetText('while-away'))
  await a!.delete('o-0')
  const from = performance.now()
  c.start()
  await mesh.joined()
  const caughtUpMs = performance.now() - from
  let there = false
  while (!there && performance.now() - from < caughtUpMs + 60_000) {
    const contents = await cluster!.contents()
    there = contents.has('while-away') && !contents.has('o-0')
    if (!there) await sleep(50)
  }
  const equalMs = performance.now() - from
  say(`restart of C with ${objects} objects: joined ${Math.round(caughtUpMs)} ms`)
  return [
    {
      name: `restart of C with ${objects} objects: caught up`,
      value: there ? Math.max(caughtUpMs, equalMs) / 1_000 : Number.POSITIVE_INFINITY,
      unit: 's',
      target: { most: 60 },
      reference: '7 of 40 starts die inside (200 objects)',
      note: `peak ${mebibytes(memoryOf(c.pid).peak)} MiB while catching up`,
    },
  ]
}

/** Five rounds of 2 000 objects, each created, edited and deleted. */
export async function churn({ mesh: options, quick, say }: Context): Promise<Measure[]> {
  const rounds = quick ? 2 : 5
  const count = quick ? 500 : 2_000
  const mesh = await Mesh.open({ ...options, hooks: true })
  try {
    const [a] = mesh.clusters
    await sleep(3_000)
    const before = mesh.controllers.map(({ pid }) => memoryOf(pid).rss)
    const tracker = new Tracker(mesh.clusters)
    await tracker.open()
    let complete = true
    for (let round = 0; round < rounds; round++) {
      for (const { pid } of mesh.controllers) resetPeak(pid)
      tracker.expect('ADDED')
      await drive(count, { perSecond: 400 }, (at) => a!.create(widgetText(`x-${at}`, round)))
      await drive(count, { perSecond: 400 }, (at) => a!.patch(`x-${at}`, editText(round + 1)))
      tracker.expect('DELETED')
      await drive(count, { perSecond: 400 }, (at) => a!.delete(`x-${at}`))
      complete = (await gone(mesh, say)) && complete
      const memory = mesh.controllers.map(({ pid }) => memoryOf(pid))
      say(
        `round ${round + 1}: ${memory.map(({ rss, peak }) => `${megabytes(rss)} (peak ${megabytes(peak)})`).join(' ')} MB`,
      )
    }
    tracker.close()
    await sleep(quick ? 2_000 : 15_000)
    const left = await Promise.all(mesh.clusters.map((cluster) => cluster.contents()))
    const rows = await Promise.all(mesh.controllers.map((controller) => controller.status()))
    const grown = mesh.controllers.map(({ pid }, at) => memoryOf(pid).rss - before[at]!)
    const now = mesh.controllers.map(({ pid }) => megabytes(memoryOf(pid).rss))
    for (const controller of mesh.controllers) controller.signal('SIGUSR2')
    await sleep(2_000)
    const collected = mesh.controllers.map(({ pid }, at) => memoryOf(pid).rss - before[at]!)
    const title = `${rounds} x ${count} created, edited, deleted`
    return [
      {
        name: `${title}: objects left in the three zones`,
        value: left.reduce((sum, each) => sum + each.size, 0),
        unit: '',
        target: { most: 0 },
        reference: '5 972 in B, 5 972 in C',
        worst: true,
        note: complete ? '' : 'not all deletes had arrived within 60 s',
      },
      {
        name: `${title}: rows left in the three controllers`,
        value: rows.reduce((sum, each) => sum + (each?.objects ?? Number.NaN), 0),
        unit: '',
        target: { most: 0 },
        reference: '-',
        worst: true,
      },
      {
        name: `${title}: RSS above the start, largest of three`,
        value: megabytes(Math.max(...grown)),
        unit: 'MB',
        target: { most: 10 },
        reference: 'A +88, B +82, C +68 MB (after 150 objects)',
        note: `now ${now.join(', ')} MB`,
      },
      {
        name: `${title}: the same after a forced collection`,
        value: megabytes(Math.max(...collected)),
        unit: 'MB',
        reference: '-',
      },
    ]
  } finally {
    await mesh.close()
  }
}

async function gone(mesh: Mesh, say: Context['say']): Promise<boolean> {
  const end = performance.now() + 60_000
  while (performance.now() < end) {
    const sizes = await Promise.all(
      mesh.clusters.map(async (cluster) => (await cluster.contents()).size),
    )
    if (sizes.every((size) => size === 0)) return true
    await sleep(250)
  }
  say('not all objects were gone after 60 s')
  return false
}

export type { MeshOptions }
