/**
 * Runs asynchronous calls one after the other, in the order in which they were made.
 *
 * Memory: one entry of its term per call that waits or runs; one more is refused with `LIMIT`.
 */
import { type Account, limitError } from '../bounds/index.ts'
import { WeirError } from '../runtime/index.ts'

export class CallQueue {
  readonly #account: Account
  /** The end of the last call; the next one waits for it. */
  #tail: Promise<void> = Promise.resolve()
  #closed = false

  constructor(account: Account) {
    this.#account = account
  }

  /** @throws {WeirError} `CLOSED` after `close`, `LIMIT` when too many wait; otherwise what the call throws. */
  async run<T>(call: () => T | Promise<T>): Promise<T> {
    if (this.#closed) throw new WeirError('CLOSED', 'the store is closed')
    const admission = this.#account.take(0, 1)
    if (admission !== 'ok') throw limitError(this.#account, admission, 1)
    const result = this.#tail.then(call)
    const ended = () => this.#account.give(0, 1)
    this.#tail = result.then(ended, ended)
    return result
  }

  /** Takes no more calls, and resolves when those before have ended. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#tail
    this.#account[Symbol.dispose]()
  }
}
