/** Five changes per second: how long after the commit in A the others have it. */
import type { Change } from './cluster.ts'
import { drive } from './drive.ts'
import type { Context, Measure } from './measure.ts'
import { editText, widgetText } from './objects.ts'
import { Tracker } from './tracker.ts'
import { Mesh } from './zones.ts'

const PER_SECOND = 5

interface Kind {
  readonly name: string
  readonly type: Change['type']
  readonly reference: string
}

const KINDS: readonly Kind[] = Object.freeze([
  { name: 'creates', type: 'ADDED', reference: '13.3 s / 27.8 s; unwedged 3.4 / 6.2 ms' },
  { name: 'edits', type: 'MODIFIED', reference: '48.4 s / 62.9 s; unwedged 4.3 / 8.6 ms' },
  { name: 'deletes', type: 'DELETED', reference: '95 of 150 lost; unwedged 3.9 / 8.4 ms' },
])

export async function latency({ mesh: options, quick, say }: Context): Promise<Measure[]> {
  const count = quick ? 25 : 150
  const mesh = await Mesh.open(options)
  const measures: Measure[] = []
  try {
    const [a] = mesh.clusters
    const tracker = new Tracker(mesh.clusters)
    await tracker.open()
    // The code is compiled as it runs: what is measured is the mesh after its first minute, not its first second.
    tracker.expect('ADDED')
    await drive(100, { parallel: 4 }, (at) => a!.create(widgetText(`warm-${at}`)))
    await tracker.settled(100)
    tracker.expect('DELETED')
    await drive(100, { parallel: 4 }, (at) => a!.delete(`warm-${at}`))
    await tracker.settled(100)
    for (const { name, type, reference } of KINDS) {
      tracker.expect(type)
      await drive(count, { perSecond: PER_SECOND }, (at) => {
        const object = `object-${at}`
        if (type === 'ADDED') return a!.create(widgetText(object))
        return type === 'MODIFIED' ? a!.patch(object, editText(at + 1)) : a!.delete(object)
      })
      const whole = await tracker.settled(count)
      if (!whole) say(await missingText(mesh))
      const [, b, c] = [0, 1, 2].map((to) => tracker.latencies(to))
      const p50 = Math.max(b!.p50, c!.p50)
      const p99 = Math.max(b!.p99, c!.p99)
      say(`${name}: ${p50.toFixed(1)} / ${p99.toFixed(1)} ms, ${whole ? 'none' : 'some'} lost`)
      const title = `${count} ${name} at ${PER_SECOND}/s`
      measures.push(
        { name: `${title}: p50`, value: p50, unit: 'ms', target: { most: 10 }, reference },
        { name: `${title}: p99`, value: p99, unit: 'ms', target: { most: 100 }, reference: '' },
        {
          name: `${title}: lost`,
          value: count - Math.min(...tracker.counts),
          unit: '',
          target: { most: 0 },
          reference: type === 'DELETED' ? '95' : '0',
          worst: true,
        },
      )
    }
    tracker.close()
    return measures
  } finally {
    await mesh.close()
  }
}

/** What a change that was not seen has left: a zone that differs, or nothing, when only the watch has missed it. */
async function missingText({ clusters }: Mesh): Promise<string> {
  const [a, ...others] = await Promise.all(clusters.map((cluster) => cluster.contents()))
  const differing = others.map((other, at) => {
    const names = [...new Set([...a!.keys(), ...other.keys()])]
    return `${clusters[at + 1]!.zone}: ${names.filter((name) => a!.get(name) !== other.get(name))}`
  })
  return `some were not seen; objects that differ in ${differing.join('; in ')}`
}
