/**
 * The bytes of one JSON text that is not complete yet, in one buffer that grows by doubling.
 *
 * Memory: the buffer, charged by its capacity to `account` before it is made; a large one is given back with its text.
 */
import type { Account, Admission } from 'weir-mesh/bounds'

const FIRST_BYTES = 4096
const KEEP_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)

export class HeldBytes implements Disposable {
  readonly #account: Account
  #buffer: Buffer = NOTHING
  #length = 0

  constructor(account: Account) {
    this.#account = account
  }

  get length(): number {
    return this.#length
  }

  /** A view of what is held, valid until the next call. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Makes room for as much at once, so that nothing is copied twice. @returns `ok`, or what stood in the way. */
  reserve(bytes: number): Admission {
    return bytes > this.#buffer.length ? this.#resize(bytes) : 'ok'
  }

  /** Appends a copy. @returns `ok`, or what stood in the way; then nothing was appended. */
  append(bytes: Buffer): Admission {
    const wanted = this.#length + bytes.length
    if (wanted > this.#buffer.length) {
      const admission = this.#grow(wanted)
      if (admission !== 'ok') return admission
    }
    bytes.copy(this.#buffer, this.#length)
    this.#length = wanted
    return 'ok'
  }

  /** Forgets what is held. */
  clear(): void {
    this.#length = 0
    if (this.#buffer.length > KEEP_BYTES) this.#release()
  }

  [Symbol.dispose](): void {
    this.#length = 0
    this.#release()
  }

  #grow(wanted: number): Admission {
    const most = this.#account.term.payloadBytesMax
    if (wanted > most) {
      // The account refuses and counts it; asking keeps the figures in one place.
      return this.#account.take(wanted - this.#buffer.length)
    }
    let capacity = Math.max(this.#buffer.length, FIRST_BYTES)
    while (capacity < wanted) capacity *= 2
    return this.#resize(Math.min(capacity, most))
  }

  #resize(capacity: number): Admission {
    const admission = this.#account.take(capacity - this.#buffer.length)
    if (admission !== 'ok') return admission
    const buffer = Buffer.allocUnsafeSlow(capacity)
    this.#buffer.copy(buffer, 0, 0, this.#length)
    this.#buffer = buffer
    return 'ok'
  }

  #release(): void {
    this.#account.give(this.#buffer.length)
    this.#buffer = NOTHING
  }
}
