/**
 * Bytes of a stream by their offset, from `base` on, in one ring that grows by doubling.
 *
 * Memory: the ring, charged to the account when one is given before it grows (else the owner has charged the bytes
 * as credit); a ring of up to 1 KiB stays with an idle stream and is part of its cost. A larger one goes with its last
 * byte, and the next one is made as large at once when its bytes were used: a stream in full flow does not double its
 * way up for each burst.
 */
import type { Account } from '../../bounds/index.ts'

export const RING_FIRST_BYTES = 1024

export class OffsetRing {
  readonly #account: Account | undefined
  #buffer: Uint8Array | undefined
  #base = 0
  /** How far apart held bytes were at most since the buffer was made: the size of the next one. */
  #peak = 0

  constructor(account?: Account) {
    this.#account = account
  }

  get base(): number {
    return this.#base
  }

  get capacity(): number {
    return this.#buffer?.length ?? 0
  }

  /** Makes room for bytes up to `end`; `used` is where the held ones end. @returns false when it cannot be charged. */
  reserve(end: number, used: number): boolean {
    const span = end - this.#base
    const buffer = this.#buffer
    if (buffer && span <= buffer.length) {
      if (span > this.#peak) this.#peak = span
      return true
    }
    let size = buffer?.length ?? RING_FIRST_BYTES
    while (size < span) size *= 2
    let likely = size
    while (!buffer && likely < this.#peak) likely *= 2
    if (likely > size && this.#charge(likely)) size = likely
    else if (!this.#charge(size)) return false
    this.#peak = buffer ? Math.max(span, this.#peak) : span
    const grown = freshBytes(size)
    for (let at = this.#base; buffer && at < used; ) {
      const from = at % buffer.length
      const to = at % size
      const length = Math.min(used - at, buffer.length - from, size - to)
      grown.set(buffer.subarray(from, from + length), to)
      at += length
    }
    this.#buffer = grown
    return true
  }

  /** Puts bytes at an offset; the room was reserved. */
  write(offset: number, bytes: Uint8Array, from = 0, length = bytes.length): void {
    const buffer = this.#buffer!
    const at = offset % buffer.length
    const first = Math.min(length, buffer.length - at)
    copyBetween(bytes, from, first, buffer, at)
    if (first < length) copyBetween(bytes, from + first, length - first, buffer, 0)
  }

  copyTo(offset: number, length: number, target: Uint8Array, to: number): void {
    const buffer = this.#buffer!
    const at = offset % buffer.length
    const first = Math.min(length, buffer.length - at)
    copyBetween(buffer, at, first, target, to)
    if (first < length) copyBetween(buffer, 0, length - first, target, to + first)
  }

  /** Forgets what is below; a large ring goes when nothing is held any more. */
  advance(base: number, used: number): void {
    this.#base = base
    if (base >= used && this.capacity > RING_FIRST_BYTES) this.free()
  }

  free(): void {
    const more = this.capacity - RING_FIRST_BYTES
    this.#buffer = undefined
    if (more > 0) this.#account?.give(more)
  }

  #charge(size: number): boolean {
    const more = size - Math.max(this.capacity, RING_FIRST_BYTES)
    return more <= 0 || !this.#account || this.#account.take(more) === 'ok'
  }
}

const { copy } = Buffer.prototype
/** Below, zeros cost less than what leaves them out. */
const ZEROED_BYTES_MAX = 4_096

/** Bytes of their own that are written before they are read, so that nobody has to fill them with zeros. */
export function freshBytes(size: number): Uint8Array {
  if (size <= ZEROED_BYTES_MAX) return new Uint8Array(size)
  return new Uint8Array(Buffer.allocUnsafeSlow(size).buffer)
}

/** Without a view of either, which would be an object for each frame. */
function copyBetween(
  source: Uint8Array,
  from: number,
  length: number,
  target: Uint8Array,
  to: number,
): void {
  copy.call(source, target, to, from, from + length)
}
