/**
 * Bytes that were written and are not acknowledged, with what of them must be sent (again): for streams and for the
 * handshake.
 *
 * Memory: its ring, and at most `RANGES_MAX` ranges each of acknowledged and of lost bytes, the first few with the price of
 * the owner and the rest charged; a peer that fragments them further gets bytes twice.
 */
import type { Account } from '../../bounds/index.ts'
import { RangeSet } from '../recovery/range-set.ts'
import { OffsetRing } from './offset-ring.ts'

const RANGES_MAX = 64

export class SendBuffer {
  readonly #ring: OffsetRing
  readonly #acked: RangeSet
  readonly #lost: RangeSet
  /** All below are acknowledged. */
  #base = 0
  #written = 0
  /** The end of what was ever sent. */
  #sent = 0
  /** The part to send next, after `next`. */
  chunkAt = 0
  chunkLength = 0

  /**
   * @param account pays for bytes beyond the first ring.
   * @param gaps pays for ranges beyond the first.
   */
  constructor(account?: Account, gaps?: Account) {
    this.#ring = new OffsetRing(account)
    this.#acked = new RangeSet(RANGES_MAX, gaps)
    this.#lost = new RangeSet(RANGES_MAX, gaps)
  }

  get written(): number {
    return this.#written
  }

  get sent(): number {
    return this.#sent
  }

  /** Bytes that are held. */
  get held(): number {
    return this.#written - this.#base
  }

  get allAcked(): boolean {
    return this.#base === this.#written
  }

  get pending(): boolean {
    return this.#lost.count > 0 || this.#sent < this.#written
  }

  /** Takes `length` bytes. @returns false when they cannot be charged: nothing was taken. */
  write(bytes: Uint8Array, from: number, length: number): boolean {
    if (!this.#ring.reserve(this.#written + length, this.#written)) return false
    this.#ring.write(this.#written, bytes, from, length)
    this.#written += length
    return true
  }

  /** Chooses what to send next, what was lost first. @returns whether there is anything. */
  next(bytesMax: number): boolean {
    if (this.#lost.count > 0) {
      this.chunkAt = this.#lost.start(0)
      this.chunkLength = Math.min(this.#lost.end(0) - this.chunkAt, bytesMax)
    } else {
      this.chunkAt = this.#sent
      this.chunkLength = Math.min(this.#written - this.#sent, bytesMax)
    }
    return this.chunkLength > 0
  }

  /** Copies the chosen part out and counts it as sent. */
  take(target: Uint8Array, at: number): void {
    const end = this.chunkAt + this.chunkLength
    this.#ring.copyTo(this.chunkAt, this.chunkLength, target, at)
    if (this.#lost.count > 0) this.#lost.remove(this.chunkAt, end)
    if (end > this.#sent) this.#sent = end
  }

  acked(offset: number, length: number): void {
    const end = offset + length
    if (end <= this.#base) return
    this.#lost.remove(offset, end)
    if (offset > this.#base) {
      // Without room for one range more they are sent again.
      if (!this.#acked.add(offset, end)) this.#lost.addCovering(offset, end)
      return
    }
    this.#base = end
    while (this.#acked.count > 0 && this.#acked.start(0) <= this.#base) {
      this.#base = Math.max(this.#base, this.#acked.end(0))
      this.#acked.removeFirst()
    }
    this.#lost.removeBelow(this.#base)
    this.#ring.advance(this.#base, this.#written)
  }

  lost(offset: number, length: number): void {
    let at = Math.max(offset, this.#base)
    const end = offset + length
    for (let index = 0; index < this.#acked.count && at < end; index++) {
      if (this.#acked.end(index) <= at) continue
      const until = Math.min(this.#acked.start(index), end)
      if (until > at) this.#lost.addCovering(at, until)
      at = Math.max(at, this.#acked.end(index))
    }
    if (at < end) this.#lost.addCovering(at, end)
  }

  /** All that was sent and not acknowledged is to be sent again, as after a Retry. */
  rewind(): void {
    this.lost(this.#base, this.#sent - this.#base)
  }

  /** Gives everything up. */
  free(): void {
    this.#base = this.#sent = this.#written
    this.#acked.clear()
    this.#lost.clear()
    this.#ring.advance(this.#base, this.#written)
    this.#ring.free()
  }
}
