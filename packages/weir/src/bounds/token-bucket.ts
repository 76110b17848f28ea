/** A rate with a burst: how often something that costs us may be asked for. Holds two numbers. */
import { assert, type Clock, type Instant, msBetween } from '../runtime/index.ts'

export interface TokenBucketOptions {
  /** Tokens that come back per second. */
  readonly perSecond: number
  /** Tokens that may be saved up, and the start value. */
  readonly burst: number
}

export class TokenBucket {
  readonly #clock: Clock
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #at: Instant

  constructor(clock: Clock, options: TokenBucketOptions) {
    assert(options.perSecond > 0 && options.burst > 0, 'a token bucket needs a rate and a burst')
    this.#clock = clock
    this.#perSecond = options.perSecond
    this.#burst = options.burst
    this.#tokens = options.burst
    this.#at = clock.now()
  }

  /** Takes tokens when they are there. */
  take(tokens = 1): boolean {
    this.#refill()
    if (this.#tokens < tokens) return false
    this.#tokens -= tokens
    return true
  }

  /** Milliseconds until this many tokens are there; 0 when they are. */
  waitMs(tokens = 1): number {
    this.#refill()
    const missing = tokens - this.#tokens
    return missing <= 0 ? 0 : Math.ceil((missing / this.#perSecond) * 1000)
  }

  #refill(): void {
    const now = this.#clock.now()
    const gained = (msBetween(this.#at, now) / 1000) * this.#perSecond
    this.#tokens = Math.min(this.#tokens + gained, this.#burst)
    this.#at = now
  }
}
