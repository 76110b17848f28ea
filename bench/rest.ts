/** Start, rest and stop: what three controllers cost when nothing happens. */
import { sleep, until } from './children.ts'
import type { Context, Measure } from './measure.ts'
import { cpuOf, mebibytes, megabytes, memoryOf } from './proc.ts'
import { Mesh } from './zones.ts'

const SETTLE_MS = 5_000

export async function rest({ mesh: options, quick, say }: Context): Promise<Measure[]> {
  const mesh = await Mesh.prepare(options)
  try {
    const from = performance.now()
    for (const controller of mesh.controllers) controller.start()
    const [first] = mesh.controllers
    await until('ready', () => first!.ready(), 180_000, 20)
    const readyMs = performance.now() - from
    await mesh.joined()
    const joinedMs = performance.now() - from
    say(`joined after ${Math.round(joinedMs)} ms`)
    await sleep(SETTLE_MS)
    const seconds = quick ? 10 : 60
    const cpuBefore = mesh.controllers.map(({ pid }) => cpuOf(pid))
    const callsBefore = await callsOf(mesh)
    await sleep(seconds * 1_000)
    const cpu = mesh.controllers.map(({ pid }, at) => (cpuOf(pid) - cpuBefore[at]!) / seconds)
    const calls = (await callsOf(mesh)) - callsBefore
    const memory = mesh.controllers.map(({ pid }) => memoryOf(pid))
    const most = memory.reduce((a, b) => (a.rss > b.rss ? a : b))
    const stops = await Promise.all(mesh.controllers.map((controller) => controller.stop()))
    return [
      {
        name: 'start: ready',
        value: readyMs,
        unit: 'ms',
        target: { most: 1_000 },
        reference: '100 ms',
      },
      {
        name: 'start: all three zones joined',
        value: joinedMs,
        unit: 'ms',
        target: { most: 2_000 },
        reference: '210 ms',
        note: 'three processes start at once on two cores',
      },
      {
        name: 'RSS at rest, largest of three',
        value: megabytes(most.rss),
        unit: 'MB',
        target: { most: 90 },
        reference: '29.7-30.1 MB',
        note: `of it ${megabytes(most.anonymous)} MB anonymous, the rest pages of node and the binding`,
      },
      {
        name: `CPU at idle, ${seconds} s, most of three`,
        value: Math.max(...cpu) * 100,
        unit: '%',
        target: { most: 1 },
        reference: '0.5 %',
      },
      {
        name: `API calls at idle, ${seconds} s, all three`,
        value: calls,
        unit: 'calls',
        target: { most: 0 },
        reference: '0',
        worst: true,
        note: 'a watch that is renewed after 300 to 600 s counts as one',
      },
      {
        name: 'SIGTERM: exit, longest of three',
        value: Math.max(...stops),
        unit: 'ms',
        target: { most: 5_000 },
        reference: 'no handler',
      },
      {
        name: 'RSS at rest, largest of three, in MiB',
        value: mebibytes(most.rss),
        unit: 'MiB',
        reference: '28.5 MiB',
      },
    ]
  } finally {
    await mesh.close()
  }
}

async function callsOf(mesh: Mesh): Promise<number> {
  let sum = 0
  for (const cluster of mesh.clusters) {
    for (const count of Object.values(await cluster.requests())) sum += count
  }
  return sum
}
