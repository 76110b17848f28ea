/**
 * Notices when the event loop stood still: while it does nothing answers, not even the readiness check, so the stall
 * is told afterwards, for long enough that the next probe sees it.
 *
 * Memory: one timer.
 */
import { type Clock, type Counter, type Instant, msBetween, type Scope } from '../runtime/index.ts'

/** How often the loop is looked at. */
const INTERVAL_MS = 500
/** A delay from which on it is a stall. */
export const STALL_MS = 2_000
/** How long a stall shows in the readiness check. */
const SHOWN_MS = 10_000

export class LoopWatch {
  readonly #clock: Clock
  readonly #scope: Scope
  readonly #stalls: Counter
  #last: Instant
  #delayMs = 0
  #stalledAt: Instant | undefined
  #stalledMs = 0

  constructor(scope: Scope) {
    this.#scope = scope
    this.#clock = scope.clock
    this.#stalls = scope.counters.counter(
      'event_loop_stalls_total',
      `Times that the event loop stood still for ${STALL_MS} ms or longer.`,
    )
    this.#last = this.#clock.now()
    scope.every('event loop watch', INTERVAL_MS, () => this.#look())
  }

  /** How late the last look was. */
  get delayMs(): number {
    return this.#delayMs
  }

  problem(): string | undefined {
    // A probe may come before the timer that is late.
    this.#look()
    if (this.#stalledAt === undefined) return undefined
    const agoMs = msBetween(this.#stalledAt, this.#clock.now())
    if (agoMs > SHOWN_MS) return undefined
    return `stood still for ${this.#stalledMs} ms, ${Math.round(agoMs / 1000)} s ago`
  }

  #look(): void {
    const now = this.#clock.now()
    this.#delayMs = Math.max(Math.round(msBetween(this.#last, now) - INTERVAL_MS), 0)
    this.#last = now
    if (this.#delayMs < STALL_MS) return
    this.#stalledAt = now
    this.#stalledMs = this.#delayMs
    this.#stalls.add()
    this.#scope.log.error('the event loop stood still', { forMs: this.#delayMs })
  }
}
