/** Bursts, what they cost, and a start with all their objects. */
import { sleep, until } from './children.ts'
import { drive } from './drive.ts'
import type { Context, Measure } from './measure.ts'
import { editText, widgetText } from './objects.ts'
import { cpuOf, mebibytes, memoryOf } from './proc.ts'
import { Tracker } from './tracker.ts'
import { Mesh, type MeshOptions } from './zones.ts'

/** Requests that the bench has open at once when it sends as fast as it can. */
const PARALLEL = 16
const PATIENCE_MS = 30_000

/**
 * In the order in which the reference was measured: 150 objects come and go, then 1 000 at once, then 10 000 more; then C
 * starts again with the data. And 1 000 into a mesh that has done nothing yet.
 */
export async function bursts({ mesh: options, quick, say }: Context): Promise<Measure[]> {
  const measures = await intoFresh(options, say)
  const mesh = await Mesh.open(options)
  try {
    await comeAndGo(mesh, quick ? 25 : 150)
    measures.push(...(await fill(mesh, quick ? [1_000, 1_000] : [1_000, 10_000], say)))
    return [...measures, ...(await restart(mesh, say))]
  } finally {
    await mesh.close()
  }
}

async function intoFresh(options: MeshOptions, say: Context['say']): Promise<Measure[]> {
  const mesh = await Mesh.open(options)
  try {
    const [whole] = await fill(mesh, [1_000], (text) => say(`into a fresh mesh: ${text}`))
    const { target: _, ...measure } = whole!
    return [{ ...measure, name: `${measure.name}, of controllers that start with it` }]
  } finally {
    await mesh.close()
  }
}

/** Objects are created, edited and deleted at 5/s. */
async function comeAndGo(mesh: Mesh, count: number): Promise<void> {
  const [a] = mesh.clusters
  const each = (send: (at: number) => Promise<unknown>) => drive(count, { perSecond: 5 }, send)
  await each((at) => a!.create(widgetText(`first-${at}`)))
  await each((at) => a!.patch(`first-${at}`, editText(at + 1)))
  await each((at) => a!.delete(`first-${at}`))
  await until(
    'the first objects are gone',
    async () => {
      const contents = await Promise.all(mesh.clusters.map((cluster) => cluster.contents()))
      return contents.every(({ size }) => size === 0)
    },
    60_000,
    250,
  )
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
  const wanted = [...(await a!.contents()).keys()]
  let there = false
  while (!there && performance.now() - from < caughtUpMs + 60_000) {
    const contents = await cluster!.contents()
    there = contents.size === wanted.length && wanted.every((name) => contents.has(name))
    if (!there) await sleep(50)
  }
  const equalMs = performance.now() - from
  const [, writes] = /^weir_mesh_applied_total (\d+)$/m.exec(await c.metrics()) ?? []
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
    {
      name: `restart of C with ${objects} objects: writes to its API server`,
      value: writes === undefined ? Number.NaN : Number(writes),
      unit: '',
      target: { most: 2 },
      reference: '-',
      worst: true,
      note: 'one object was made and one deleted meanwhile',
    },
  ]
}
