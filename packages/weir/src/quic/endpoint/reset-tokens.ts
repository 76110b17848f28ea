/**
 * The reset tokens that peers have given for the ids we use, so that a datagram that leads nowhere is one look-up and
 * not a question to every connection (RFC 9000 section 10.3.1).
 *
 * Tokens are looked up by a keyed hash: how long it takes says nothing of how near a guess was.
 *
 * Memory: an entry of `quic.reset-tokens` for each connection whose peer gave one.
 */
import { createHmac } from 'node:crypto'
import { type Account, BoundedMap } from '../../bounds/index.ts'

const TOKEN_BYTES = 16

export class ResetTokens<T> implements Disposable {
  readonly #targets: BoundedMap<string, T>
  readonly #key: Uint8Array

  /** @param key a secret of this endpoint. */
  constructor(account: Account, key: Uint8Array) {
    this.#targets = new BoundedMap(account)
    this.#key = key
  }

  /** Without room, or with the token of another one, this connection ends by its silence and not by a reset. */
  add(token: string, target: T): void {
    const key = this.#hash(Buffer.from(token, 'latin1'))
    if (!this.#targets.has(key)) this.#targets.set(key, target)
  }

  delete(token: string, target: T): void {
    const key = this.#hash(Buffer.from(token, 'latin1'))
    if (this.#targets.peek(key) === target) this.#targets.delete(key)
  }

  /** Whom the token at the end of a datagram resets. */
  find(datagram: Uint8Array): T | undefined {
    if (this.#targets.size === 0) return undefined
    return this.#targets.peek(this.#hash(datagram.subarray(datagram.length - TOKEN_BYTES)))
  }

  [Symbol.dispose](): void {
    this.#targets[Symbol.dispose]()
  }

  #hash(token: Uint8Array): string {
    const digest = createHmac('sha256', this.#key).update(token).digest()
    return digest.toString('latin1', 0, TOKEN_BYTES)
  }
}
