/**
 * The contract of a protocol as a synchronous state machine: sync now, later quic, gossip, discovery, and the
 * controller's replication.
 *
 * - No promise, timer, socket, file, clock or random source inside; the tidy test forbids the imports.
 * - All that must happen is called on `effects` before the call returns. Effects only record or send: calling back
 *   into the machine from an effect is an assertion, so an event never meets half a transition.
 * - Input from peers never throws: a violation is an effect (`close` with a code). A throw is a bug.
 * - A view in an event or an effect is valid during the call; who keeps it copies it.
 * - Equal seed, limits and events give equal effects: iterate in insertion order, break ties by id.
 */
import { assert, type Instant } from '../runtime/index.ts'

/** Names work that was asked for and whose answer comes back as an event. Never reused within a machine. */
export type Ticket = number & { readonly ticket: unique symbol }

/** Folds a word (an unsigned 32-bit integer) into the digest of a state. */
export type Fold = (word: number) => void

export interface Machine<Event, Effects> extends Disposable {
  handle(event: Event, now: Instant, effects: Effects): void
  /** The deadline has passed, or not yet: a spurious call must be harmless. */
  wake(now: Instant, effects: Effects): void
  /** When `wake` is wanted at the latest; `NEVER` for never. One number instead of timers to cancel. */
  readonly wakeAt: Instant
  /** Folds all state, in a fixed order. */
  digest(fold: Fold): void
}

/** Hands out tickets in ascending order. */
export class Tickets {
  #next = 1

  next(): Ticket {
    return this.#next++ as Ticket
  }
}

/** Guards a machine against being called from one of its own effects. */
export class Reentry {
  #inside = false

  enter<T>(run: () => T): T {
    assert(!this.#inside, 'a machine was called from one of its own effects')
    this.#inside = true
    try {
      return run()
    } finally {
      this.#inside = false
    }
  }
}
