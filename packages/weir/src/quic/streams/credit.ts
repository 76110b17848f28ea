/**
 * Flow control of a connection, both directions.
 *
 * What the peer may send is memory that we must have: `ReceiveCredit` charges it before it is advertised and gives it
 * back as it is read. Its window is the sum of a first part and of the windows of open streams, so that one stream
 * that nobody reads does not keep others from their first bytes.
 */
import type { Account } from '../../bounds/index.ts'
import { Blocked } from './blocked.ts'

/** Memory: none of its own; its account is the credit of one connection. */
export class ReceiveCredit {
  readonly #account: Account
  #window: number
  #charged: number
  /** What was advertised as MAX_DATA. */
  #advertised: number
  /** Bytes that were read or thrown away. */
  #consumed = 0
  /** Sum over the streams of the highest offset that has arrived. */
  #arrived = 0

  /** @throws {WeirError} `LIMIT` when the first window cannot be charged. */
  constructor(account: Account, firstBytes: number) {
    account.require(firstBytes)
    this.#account = account
    this.#window = this.#charged = this.#advertised = firstBytes
  }

  get advertised(): number {
    return this.#advertised
  }

  get window(): number {
    return this.#window
  }

  /** Whether a MAX_DATA is due: half of the window was read since the last one. */
  get due(): boolean {
    return (this.#consumed + this.#window - this.#advertised) * 2 >= this.#window
  }

  /** Makes the window larger. @returns false when it cannot be charged. */
  grow(bytes: number): boolean {
    const wanted = Math.max(this.#advertised - this.#consumed, this.#window + bytes)
    const more = wanted - this.#charged
    if (more > 0 && this.#account.take(more) !== 'ok') return false
    if (more > 0) this.#charged = wanted
    this.#window += bytes
    return true
  }

  /** The window of a stream that has ended goes; what was advertised stays charged until it is used. */
  shrink(bytes: number): void {
    this.#window -= bytes
    this.#settle()
  }

  /** More bytes of some stream have arrived. @returns false when the peer had no credit for them. */
  arrive(bytes: number): boolean {
    this.#arrived += bytes
    return this.#arrived <= this.#advertised
  }

  consume(bytes: number): void {
    this.#consumed += bytes
    this.#settle()
  }

  /** The limit to advertise now. Needs no charge: the window was charged when it grew. */
  advertise(): number {
    const limit = this.#consumed + this.#window
    if (limit > this.#advertised) this.#advertised = limit
    return this.#advertised
  }

  close(): void {
    this.#account.give(this.#charged)
    this.#charged = 0
  }

  #settle(): void {
    const needed = Math.max(this.#advertised - this.#consumed, this.#window)
    if (needed >= this.#charged) return
    this.#account.give(this.#charged - needed)
    this.#charged = needed
  }
}

/** What we may send on all streams together. Memory: a few numbers. */
export class SendCredit {
  limit = 0
  used = 0
  readonly blocked = new Blocked()

  get left(): number {
    return this.limit - this.used
  }
}
