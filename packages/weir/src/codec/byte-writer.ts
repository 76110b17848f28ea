/**
 * A byte array that grows while it is written, up to a cap.
 *
 * The base of the postcard and the CBOR writer. `finish` gives bytes of exact size that belong to the caller.
 *
 * Memory: at most twice what was written and never above `bytesMax`; lives as long as one encoding.
 */
import { assert } from '../runtime/index.ts'
import { encodeLimit } from './errors.ts'

export interface ByteWriterOptions {
  /** Most bytes that may be written; more is `ENCODE_LIMIT`. Default 2^31 - 1. */
  readonly bytesMax?: number
  /** Bytes reserved at the start; the exact size, when known, saves every copy. Default 128. */
  readonly sizeHint?: number
}

export class ByteWriter {
  protected bytes: Uint8Array
  protected offset = 0
  readonly #bytesMax: number

  constructor(options: ByteWriterOptions = {}) {
    this.#bytesMax = options.bytesMax ?? 0x7fffffff
    this.bytes = new Uint8Array(Math.min(options.sizeHint ?? 128, this.#bytesMax))
  }

  /** Bytes written so far. */
  get length(): number {
    return this.offset
  }

  /** Appends the bytes as they are. */
  raw(part: Uint8Array): this {
    const { length } = part
    const start = this.reserve(length)
    const { bytes } = this
    // A call into native code costs more than a short loop.
    if (length > 64) bytes.set(part, start)
    else for (let at = 0; at < length; at++) bytes[start + at] = part[at]!
    return this
  }

  /** Appends one byte. */
  byte(value: number): this {
    // Reserving may replace the array, so it comes first.
    const start = this.reserve(1)
    this.bytes[start] = value
    return this
  }

  /** Makes room for `length` more bytes and gives where they start. */
  protected reserve(length: number): number {
    const start = this.offset
    const wanted = start + length
    if (wanted > this.bytes.length) this.#grow(wanted)
    this.offset = wanted
    return start
  }

  #grow(wanted: number): void {
    if (wanted > this.#bytesMax) {
      throw encodeLimit('encoded bytes', this.#bytesMax, this.offset, wanted - this.offset)
    }
    const capacity = Math.min(this.#bytesMax, Math.max(wanted, this.bytes.length * 2, 64))
    const larger = new Uint8Array(capacity)
    larger.set(this.bytes.subarray(0, this.offset))
    this.bytes = larger
  }

  /** What was written. The writer is empty afterwards and keeps nothing. */
  finish(): Uint8Array {
    const { bytes, offset } = this
    assert(offset <= bytes.length, 'more bytes counted than written')
    this.bytes = new Uint8Array(0)
    this.offset = 0
    return offset === bytes.length ? bytes : bytes.slice(0, offset)
  }
}
