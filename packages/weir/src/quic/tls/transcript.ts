/**
 * The hash of all handshake messages so far (RFC 8446 section 4.4.1).
 *
 * Memory: one native hash object, whatever the length of the messages; none after `end`.
 */
import { createHash, type Hash } from 'node:crypto'
import { assert } from '../../runtime/index.ts'
import { HASH_BYTES } from '../crypto/hkdf.ts'
import { MessageType } from './messages.ts'

export class Transcript {
  #hash: Hash | undefined = createHash('sha256')

  add(message: Uint8Array): void {
    assert(this.#hash, 'a transcript is used after its end')
    this.#hash.update(message)
  }

  digest(): Uint8Array {
    assert(this.#hash, 'a transcript is used after its end')
    return this.#hash.copy().digest()
  }

  /** A HelloRetryRequest follows: the first ClientHello is replaced by its hash. */
  restart(): void {
    const digest = this.digest()
    this.#hash = createHash('sha256')
    this.add(Uint8Array.of(MessageType.messageHash, 0, 0, HASH_BYTES))
    this.add(digest)
  }

  end(): void {
    this.#hash = undefined
  }
}
