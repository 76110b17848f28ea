/**
 * What the topics of a node do for each other: they share the pools of bytes, and what one of them holds for a peer that
 * does not go on must not be missing to the others for ever.
 *
 * Memory: a link for each open topic, part of `sync.topics`.
 */
import { type Instant, NEVER } from '../runtime/index.ts'

/** A topic, as the others see it. */
export interface PoolMember {
  /** Since when the oldest of its unfinished frames is there; NEVER without one. */
  readonly unfinishedSince: Instant
  /** Ends the session with that frame if it takes long. @returns whether it did. */
  yieldFrame(): boolean
  /** Leaves to the store what waits for peers. @returns whether anything did. */
  shed(): boolean
}

interface Place {
  readonly member: PoolMember
  previous: Place | undefined
  next: Place | undefined
}

export class SharedPools {
  #first: Place | undefined

  /** @returns what takes the topic out again. */
  join(member: PoolMember): Disposable {
    const place: Place = { member, previous: undefined, next: this.#first }
    if (this.#first) this.#first.previous = place
    this.#first = place
    return { [Symbol.dispose]: () => this.#leave(place) }
  }

  /** For who finds the pool of frames full. @returns whether there is more room now. */
  yieldFrame(): boolean {
    let oldest: PoolMember | undefined
    let since: Instant = NEVER
    for (let place = this.#first; place; place = place.next) {
      const { member } = place
      if (member.unfinishedSince >= since) continue
      since = member.unfinishedSince
      oldest = member
    }
    return oldest?.yieldFrame() ?? false
  }

  /** For who finds the pool of queues full with nothing of its own in it. @returns whether there is more room now. */
  shed(): boolean {
    let shed = false
    for (let place = this.#first; place; place = place.next) {
      if (place.member.shed()) shed = true
    }
    return shed
  }

  #leave(place: Place): void {
    const { previous, next } = place
    if (previous) previous.next = next
    else if (this.#first === place) this.#first = next
    if (next) next.previous = previous
    place.previous = place.next = undefined
  }
}
