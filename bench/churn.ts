/** What is left after rounds of creating, editing and deleting. */
import { sleep } from './children.ts'
import { drive } from './drive.ts'
import type { Context, Measure } from './measure.ts'
import { editText, widgetText } from './objects.ts'
import { megabytes, memoryOf, resetPeak } from './proc.ts'
import { Tracker } from './tracker.ts'
import { Mesh } from './zones.ts'

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
