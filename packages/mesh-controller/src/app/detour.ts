/**
 * While a configured peer has no session with us, its operations come through the others: their sessions begin anew, so
 * that they send what they have of it. The first time a second after it is missed, then at growing intervals, because a
 * zone that is down has nothing new to say.
 */
import { idKey, type NodeId } from 'weir-mesh/core'
import type { TopicSync } from 'weir-mesh/sync'

/** Steps to wait after the first, second, … detour. */
const WAITS = Object.freeze([1, 2, 4, 8, 16, 32, 60])

export class Detour {
  readonly #sync: Pick<TopicSync, 'peers' | 'refresh'>
  readonly #wanted: readonly string[]
  #missing = ''
  #taken = 0
  #wait = 0

  constructor(sync: Pick<TopicSync, 'peers' | 'refresh'>, wanted: readonly NodeId[]) {
    this.#sync = sync
    this.#wanted = Object.freeze(wanted.map((id) => idKey(id)))
  }

  /** Called about once a second. */
  step(): void {
    const live = [...this.#sync.peers()].filter((peer) => peer.live).map(({ peer }) => idKey(peer))
    const missing = this.#wanted.filter((key) => !live.includes(key))
    const all = missing.join('')
    if (all !== this.#missing) {
      // Somebody went or came: look closely again, after one quiet step.
      this.#missing = all
      this.#taken = 0
      this.#wait = 1
      return
    }
    if (missing.length === 0 || live.length === 0 || --this.#wait > 0) return
    this.#wait = WAITS[Math.min(this.#taken++, WAITS.length - 1)]!
    this.#sync.refresh()
  }
}
