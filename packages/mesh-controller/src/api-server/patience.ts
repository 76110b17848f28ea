/**
 * Cuts the connection of a client that takes nothing of its answer for too long: what waits for it is charged to
 * memory that all share, and would be held for as long as it likes.
 *
 * Memory: one timer for each answer that something waits for.
 */
import type { ServerResponse } from 'node:http'
import { type Clock, type Instant, msBetween, type Timer } from 'weir-mesh/runtime'

export interface PatienceOptions {
  readonly clock: Clock
  /** A client that takes nothing for this long is cut. */
  readonly stuckMs: number
  /** Called before a connection is cut. */
  onStuck(): void
}

export class Patience {
  readonly #response: ServerResponse
  readonly #options: PatienceOptions
  /** When the client took something last, or was given something to take; undefined while nothing waits for it. */
  #since: Instant | undefined
  #timer: Timer | undefined
  #over = false

  constructor(response: ServerResponse, options: PatienceOptions) {
    this.#response = response
    this.#options = options
    const over = () => {
      this.#over = true
      this.#since = undefined
      this.#timer?.cancel()
    }
    response.once('finish', over)
    response.once('close', over)
  }

  /** There is something for the client to take. */
  waits(): void {
    if (this.#over || this.#since !== undefined) return
    this.#since = this.#options.clock.now()
    // One that still runs for an earlier piece looks at the time when it fires.
    this.#timer ??= this.#options.clock.start(this.#options.stuckMs, () => this.#look())
  }

  /** The client took something. @param more whether something still waits for it. */
  took(more: boolean): void {
    this.#since = more && !this.#over ? this.#options.clock.now() : undefined
  }

  #look(): void {
    const { clock, stuckMs, onStuck } = this.#options
    this.#timer = undefined
    if (this.#since === undefined) return
    const leftMs = stuckMs - msBetween(this.#since, clock.now())
    if (leftMs > 0) this.#timer = clock.start(leftMs, () => this.#look())
    else {
      onStuck()
      this.#response.destroy()
    }
  }
}
