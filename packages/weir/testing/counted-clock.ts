/** A clock that counts the timers that were started and have neither fired nor been cancelled. */
import type { Clock, Instant, Timer } from '../src/runtime/index.ts'

export class CountedClock implements Clock {
  readonly #inner: Clock
  #timers = 0

  constructor(inner: Clock) {
    this.#inner = inner
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers
  }

  now(): Instant {
    return this.#inner.now()
  }

  wallMs(): number {
    return this.#inner.wallMs()
  }

  start(delayMs: number, fire: () => void): Timer {
    let waiting = true
    const end = () => {
      if (waiting) this.#timers--
      waiting = false
    }
    this.#timers++
    const timer = this.#inner.start(delayMs, () => {
      end()
      fire()
    })
    const cancel = () => {
      end()
      timer.cancel()
    }
    return { cancel, [Symbol.dispose]: cancel }
  }
}
