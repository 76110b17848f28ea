/**
 * Time as a value that is passed in, so that the simulator and the tests can own it.
 *
 * `now` is monotonic and starts anywhere; `wallMs` is for people and for file names, never for deadlines.
 */
import { performance } from 'node:perf_hooks'

/** Microseconds on a monotonic clock; virtual in the simulator. */
export type Instant = number & { readonly instant: unique symbol }

export const instant = (microseconds: number): Instant => microseconds as Instant
export const NEVER = Number.POSITIVE_INFINITY as Instant
export const addMs = (at: Instant, ms: number): Instant => (at + ms * 1000) as Instant
export const msBetween = (from: Instant, to: Instant): number => (to - from) / 1000

/** A timer that was started; cancelling twice, or after it fired, does nothing. */
export interface Timer extends Disposable {
  cancel(): void
}

export interface Clock {
  now(): Instant
  /** Milliseconds since 1970; may jump. */
  wallMs(): number
  /** Calls `fire` once after `delayMs`, unless cancelled. Timers belong to a Scope: call `scope.timer`. */
  start(delayMs: number, fire: () => void): Timer
}

// Node turns longer delays into 1 ms, which would fire at once instead of in a month; they are waited for in steps.
const DELAY_MS_MAX = 2 ** 31 - 1

export const systemClock: Clock = Object.freeze({
  now: () => instant(Math.round(performance.now() * 1000)),
  wallMs: () => Date.now(),
  start: (delayMs: number, fire: () => void): Timer => new SystemTimer(delayMs, fire),
})

/** One object beside Node's own: each idle connection has a timer. */
class SystemTimer implements Timer {
  readonly #fire: () => void
  #leftMs: number
  #handle: NodeJS.Timeout

  constructor(delayMs: number, fire: () => void) {
    this.#fire = fire
    this.#leftMs = Math.max(delayMs, 0)
    this.#handle = this.#wait()
  }

  static ring(timer: SystemTimer): void {
    if (timer.#leftMs > 0) timer.#handle = timer.#wait()
    else timer.#fire()
  }

  cancel(): void {
    clearTimeout(this.#handle)
  }

  [Symbol.dispose](): void {
    this.cancel()
  }

  #wait(): NodeJS.Timeout {
    const stepMs = Math.min(this.#leftMs, DELAY_MS_MAX)
    this.#leftMs -= stepMs
    return setTimeout(SystemTimer.ring, stepMs, this)
  }
}
