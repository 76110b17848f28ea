/**
 * Bytes in their order, in one buffer that grows by doubling up to its cap and is let go when it is empty.
 *
 * Memory: at most `bytesMax`, which the owner has charged; many small writes cost no more than one large one.
 */
import { assert } from '../runtime/index.ts'

const FIRST_BYTES = 1024

export class ByteRing {
  #buffer: Uint8Array | undefined
  #head = 0
  #length = 0
  bytesMax: number

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get length(): number {
    return this.#length
  }

  push(bytes: Uint8Array): void {
    const needed = this.#length + bytes.length
    assert(needed <= this.bytesMax, `${needed} bytes do not fit into a ring of ${this.bytesMax}`)
    if (bytes.length === 0) return
    if (!this.#buffer || this.#buffer.length < needed) this.#grow(needed)
    const buffer = this.#buffer!
    const tail = (this.#head + this.#length) % buffer.length
    const first = Math.min(bytes.length, buffer.length - tail)
    buffer.set(first === bytes.length ? bytes : bytes.subarray(0, first), tail)
    if (first < bytes.length) buffer.set(bytes.subarray(first), 0)
    this.#length = needed
  }

  /** Up to `bytesMax` bytes from the front, in memory of their own. */
  shift(bytesMax: number): Uint8Array {
    const length = Math.min(bytesMax, this.#length)
    const taken = new Uint8Array(length)
    if (length === 0) return taken
    const buffer = this.#buffer!
    const first = Math.min(length, buffer.length - this.#head)
    taken.set(buffer.subarray(this.#head, this.#head + first))
    if (first < length) taken.set(buffer.subarray(0, length - first), first)
    this.#head = (this.#head + length) % buffer.length
    this.#length -= length
    if (this.#length === 0) this.clear()
    return taken
  }

  clear(): void {
    // A small buffer stays, so that a stream of small messages does not allocate one for each.
    if (this.#buffer && this.#buffer.length > FIRST_BYTES) this.#buffer = undefined
    this.#head = 0
    this.#length = 0
  }

  #grow(needed: number): void {
    let size = this.#buffer?.length ?? FIRST_BYTES
    while (size < needed) size *= 2
    const grown = new Uint8Array(Math.min(size, this.bytesMax))
    if (this.#buffer && this.#length > 0) {
      const first = Math.min(this.#length, this.#buffer.length - this.#head)
      grown.set(this.#buffer.subarray(this.#head, this.#head + first))
      grown.set(this.#buffer.subarray(0, this.#length - first), first)
    }
    this.#buffer = grown
    this.#head = 0
  }
}
