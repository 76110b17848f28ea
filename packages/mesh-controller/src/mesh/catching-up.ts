/**
 * Zones whose log is read from its begin: what they want is written here when that has come to the present.
 *
 * A log tells the past. A zone that starts again, or is new, would make objects for a moment that were deleted long ago, and
 * turn others through all that they have been. The present is what anybody was known to have when the reading began. Who
 * claims more than there is holds up nothing for long: when nothing more of the log comes for a moment, and after
 * some seconds in any case, it counts as come.
 *
 * Memory: a place for each zone, at most as many as are bound.
 */
import { addMs, type Instant, NEVER } from 'weir-mesh/runtime'
import type { Zone } from './zone.ts'

/** Between two frames of a session under way there are a few ms. */
export const REST_MS = 200
export const LONGEST_MS = 5_000

interface Reading {
  /** Up to here, it is the past. */
  readonly height: number
  readonly begun: Instant
  /** When the last operation was read. */
  last: Instant
  /** When to look again: it need not move with each operation. */
  lookAt: Instant
}

export class CatchingUp {
  readonly #readings = new Map<Zone, Reading>() // tidy: containers: an entry per bound zone at most

  /** The log of a zone is read for the first time. */
  begin(zone: Zone, height: number, now: Instant): void {
    zone.catchingUp = true
    this.#readings.set(zone, { height, begun: now, last: now, lookAt: addMs(now, REST_MS) })
  }

  /** Another operation of it was read. */
  read(zone: Zone, now: Instant): void {
    const reading = this.#readings.get(zone)
    if (!reading) return
    reading.last = now
    if (zone.lastSeq + 1 >= reading.height) reading.lookAt = now
  }

  get lookAt(): Instant {
    let earliest = NEVER
    for (const { lookAt } of this.#readings.values()) if (lookAt < earliest) earliest = lookAt
    return earliest
  }

  /** Takes out the zones that have come to the present. */
  *arrived(now: Instant): IterableIterator<Zone> {
    for (const [zone, reading] of this.#readings) {
      if (reading.lookAt > now) continue
      const { height, last, begun } = reading
      const at = Math.min(addMs(last, REST_MS), addMs(begun, LONGEST_MS)) as Instant
      if (zone.lastSeq + 1 < height && at > now) reading.lookAt = at
      else {
        this.#readings.delete(zone)
        zone.catchingUp = false
        yield zone
      }
    }
  }
}
