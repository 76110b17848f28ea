/**
 * One line per change, in plain text: what was done in the zone of an object, and after how long the others had it.
 *
 * Memory: `demo.changes`, one entry per object that was changed lately.
 */
import { type Account, BoundedMap } from 'weir-mesh/bounds'
import type { SeenEvent, ZoneView } from './demo-view.ts'

const DONE = Object.freeze({ added: 'created', modified: 'edited ', deleted: 'deleted' })

/** Follows all zones until disposed. */
export function follow(
  views: readonly ZoneView[],
  account: Account,
  print: (line: string) => void,
): Disposable {
  const changedAt = new BoundedMap<string, number>(account, {
    evict: 'lru',
    bytesOf: (key) => 2 * key.length,
  })
  const line = (zone: string, event: SeenEvent) => {
    const now = performance.now()
    const { name, type } = event
    const seen = event.projection ?? event.previous?.projection
    const owner = seen?.owner ?? zone
    const key = `${owner}/${name}`
    if (owner === zone) changedAt.set(key, now)
    const from = changedAt.get(key)
    const what = event.projection ? ` size ${event.projection.size}, ${event.projection.color}` : ''
    const after =
      owner === zone
        ? ''
        : ` (from ${owner}${from === undefined ? '' : `, ${Math.round(now - from)} ms later`})`
    print(`${new Date().toISOString().slice(11, 23)} ${zone} ${DONE[type]} ${name}${what}${after}`)
  }
  const listeners = views.map((view) => view.listen((event) => line(view.zone, event)))
  return {
    [Symbol.dispose]() {
      for (const listener of listeners) listener[Symbol.dispose]()
      changedAt[Symbol.dispose]()
    },
  }
}
