/** Delays between attempts: they double from the first to the last, each with full jitter over its upper half. */
import type { Random } from './random.ts'

export interface BackoffOptions {
  /** Delay after the first failure, in ms. Default 200. */
  readonly firstMs?: number
  /** The delay never exceeds this, in ms. Default 30 000. */
  readonly mostMs?: number
}

export class Backoff {
  readonly #random: Random
  readonly #firstMs: number
  readonly #mostMs: number
  #failures = 0

  constructor(random: Random, options: BackoffOptions = {}) {
    this.#random = random
    this.#firstMs = options.firstMs ?? 200
    this.#mostMs = options.mostMs ?? 30_000
  }

  get failures(): number {
    return this.#failures
  }

  /** The delay before the next attempt; each call counts as one more failure. */
  next(): number {
    const ceiling = Math.min(this.#firstMs * 2 ** Math.min(this.#failures, 30), this.#mostMs)
    this.#failures++
    const half = Math.ceil(ceiling / 2)
    return half + this.#random.below(ceiling - half + 1)
  }

  /** An attempt succeeded: the next failure starts again at the first delay. */
  reset(): void {
    this.#failures = 0
  }
}
