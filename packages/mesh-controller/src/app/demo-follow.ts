/**
 * One line per change, in plain text: what was done in the zone of an object, and after how long the others had it. What
 * is done to a replica by hand is told apart: its version stays that of its owner, and the controller undoes it.
 *
 * Memory: `demo.changes`, one entry per object that was changed lately, and per replica that was changed by hand.
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
    const what = event.projection ? ` size ${event.projection.size}, ${event.projection.color}` : ''
    const after = owner === zone ? '' : ` (${cause(zone, owner, key, event, now)})`
    print(`${new Date().toISOString().slice(11, 23)} ${zone} ${DONE[type]} ${name}${what}${after}`)
  }
  const cause = (zone: string, owner: string, key: string, event: SeenEvent, now: number) => {
    const later = (from: number | undefined) =>
      from === undefined ? '' : `, ${Math.round(now - from)} ms later`
    const here = event.projection
    const there = views.find((view) => view.zone === owner)?.get(event.name)
    const mark = `${zone}/${key}`
    const changed = changedAt.get(mark)
    const same = here?.size === there?.size && here?.color === there?.color
    if (same) changedAt.delete(mark)
    if (changed !== undefined && same && here) return `put back${later(changed)}`
    const byHand =
      event.type === 'deleted'
        ? there !== undefined
        : event.type === 'modified' && here?.version === event.previous?.projection.version
    if (!byHand) return `from ${owner}${later(changedAt.get(key))}`
    changedAt.set(mark, now)
    return `by hand; ${owner} owns it`
  }
  const listeners = views.map((view) => view.listen((event) => line(view.zone, event)))
  return {
    [Symbol.dispose]() {
      for (const listener of listeners) listener[Symbol.dispose]()
      changedAt[Symbol.dispose]()
    },
  }
}
