/**
 * Bytes of a stream that have arrived, in order or not, until they are read.
 *
 * Memory: a ring as long as the distance from the first unread to the last arrived byte, rounded up to a power of two.
 * The distance is within the credit that was charged, or the ring is charged to an account of its own. At most `gapsMax`
 * gaps, the first few with the price of the owner and the rest charged; what would make one more is not taken, and its
 * packet is not acknowledged, so it comes again.
 */
import type { Account } from '../../bounds/index.ts'
import { RangeSet } from '../recovery/range-set.ts'
import { freshBytes, OffsetRing } from './offset-ring.ts'

export class Reassembly {
  readonly #ring: OffsetRing
  readonly #ranges: RangeSet
  #read = 0
  #highest = 0

  /**
   * @param gaps pays for gaps beyond the first.
   * @param ring pays for bytes beyond the first ring, when no credit does.
   */
  constructor(gapsMax: number, gaps?: Account, ring?: Account) {
    this.#ring = new OffsetRing(ring)
    this.#ranges = new RangeSet(gapsMax + 1, gaps)
  }

  /** Offset of the next byte to read. */
  get read(): number {
    return this.#read
  }

  /** The end of what has arrived, with gaps. */
  get highest(): number {
    return this.#highest
  }

  /** How many bytes can be read now. */
  get available(): number {
    const ranges = this.#ranges
    return ranges.count > 0 && ranges.start(0) <= this.#read ? ranges.end(0) - this.#read : 0
  }

  get held(): number {
    return this.#ring.capacity
  }

  /** @returns false when there would be too many gaps, or what is needed cannot be charged: nothing was taken. */
  add(offset: number, bytes: Uint8Array, from: number, length: number): boolean {
    const end = offset + length
    const skip = Math.max(this.#read - offset, 0)
    if (skip >= length) return true
    const used = Math.max(this.#highest, this.#read)
    if (!this.#ring.reserve(Math.max(end, used), used)) return false
    if (!this.#ranges.add(offset + skip, end)) return false
    this.#ring.write(offset + skip, bytes, from + skip, length - skip)
    if (end > this.#highest) this.#highest = end
    return true
  }

  /** Counts bytes as read that were next and need not go through here; what is held of them goes. */
  pass(length: number): void {
    this.#read += length
    if (this.#read > this.#highest) this.#highest = this.#read
    this.#ranges.removeBelow(this.#read)
    this.#ring.advance(this.#read, this.#highest)
  }

  /** Up to `bytesMax` bytes, in memory of their own; undefined when none are there. */
  take(bytesMax: number): Uint8Array | undefined {
    const length = Math.min(this.available, bytesMax)
    if (length === 0) return undefined
    const bytes = freshBytes(length)
    this.#ring.copyTo(this.#read, length, bytes, 0)
    this.#read += length
    this.#ranges.removeBelow(this.#read)
    this.#ring.advance(this.#read, this.#highest)
    return bytes
  }

  free(): void {
    this.#ranges.clear()
    this.#ring.advance(this.#highest, this.#highest)
    this.#ring.free()
    this.#read = this.#highest
  }
}
