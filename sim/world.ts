/**
 * Virtual time for machines: one heap of events, one seed, one digest of all that happened.
 *
 * Nothing here waits: a run of minutes takes milliseconds, and the same seed gives the same run.
 */
import { Digest } from 'weir-mesh/machine'
import { type Instant, instant, type Random, seededRandom } from 'weir-mesh/runtime'
import { EventHeap } from './event-heap.ts'

/**
 * Events and effects that may come without time passing. A burst of frames that a store in memory answers at once has a
 * few hundred; what needs thousands goes round and round, and in a real process nobody else gets a turn.
 */
const STILL_MAX = 3_000

export class World {
  readonly random: Random
  readonly digest = new Digest()
  readonly #heap = new EventHeap()
  #now = 0
  #steps = 0
  #still = 0
  #stillMost = 0
  /** Called after each event: what must hold at every step. */
  check: () => void = () => {}

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  get now(): Instant {
    return instant(this.#now)
  }

  get steps(): number {
    return this.#steps
  }

  /** The most events and effects that came without time passing. */
  get stillMost(): number {
    return this.#stillMost
  }

  /** An effect was asked for: one event must not ask for ever either. */
  effect(): void {
    this.#still++
    if (this.#still > this.#stillMost) this.#stillMost = this.#still
    if (this.#still > STILL_MAX)
      throw new Error(`${this.#still} events and effects at ${this.#now / 1000} ms: no time passes`)
  }

  /** Runs something after a delay in milliseconds. */
  after(ms: number, run: () => void): void {
    this.at(this.#now + Math.round(ms * 1000), run)
  }

  /** Runs something at a time in microseconds. */
  at(at: number, run: () => void): void {
    this.#heap.push(Math.max(at, this.#now), run)
  }

  /** Whether something happens with this chance, out of 1. */
  chance(share: number): boolean {
    return this.random.below(1_000_000) < share * 1_000_000
  }

  /** A number of milliseconds in [least, most). */
  ms(least: number, most: number): number {
    return least + (this.random.below(1 << 16) / (1 << 16)) * (most - least)
  }

  /** Handles events until there are none, or none before a time in milliseconds. @returns whether none is left. */
  run(untilMs: number): boolean {
    const end = untilMs * 1000
    for (let event = this.#heap.peek(); event; event = this.#heap.peek()) {
      if (event.at > end) {
        this.#now = end
        return false
      }
      this.#heap.pop()
      if (event.at > this.#now) this.#still = 0
      this.#now = event.at
      this.#steps++
      this.effect()
      this.digest.fold(event.at >>> 0)
      event.run()
      this.check()
    }
    return true
  }
}
