/**
 * The receiving half of a stream: puts bytes in order within the credit that was advertised, and ends with the last
 * byte or a reset.
 *
 * Memory: its reassembly: bytes within the credit of the connection, which was charged, and gaps.
 */
import type { Account } from '../../bounds/index.ts'
import { ErrorCode, type Violation, violation } from '../packet/errors.ts'
import type { ReceiveCredit } from './credit.ts'
import { Reassembly } from './reassembly.ts'

/** The packet cannot be taken now and must not be acknowledged: it comes again. Ends no connection. */
export const NOT_TAKEN: Violation = violation(-1, 'too many gaps')

const GAPS_MAX = 64

export class ReceivePart {
  readonly #bytes: Reassembly
  readonly #credit: ReceiveCredit
  readonly #windowMax: number
  /** What was advertised for this stream. */
  #advertised: number
  #window: number
  /** What of the window is in the window of the connection. */
  #granted = 0
  #sinceGrowth = 0
  #finalSize = -1
  #stop: 'none' | 'wanted' | 'sent' = 'none'
  #ended = false
  stopCode = 0
  /** The code of a reset, -1 for none. */
  resetCode = -1
  /** A MAX_STREAM_DATA is due. */
  creditDue = false
  /** Its first window could not be charged and is not in that of the connection. */
  ungranted = true

  constructor(credit: ReceiveCredit, gaps: Account, windowFirst: number, windowMax: number) {
    this.#bytes = new Reassembly(GAPS_MAX, gaps)
    this.#credit = credit
    this.#windowMax = windowMax
    this.#window = this.#advertised = windowFirst
    this.grant()
  }

  /** Brings the first window into that of the connection. @returns whether it waited for that and waits no more. */
  grant(): boolean {
    if (!this.ungranted) return false
    // One that has ended needs no window, and would never give it back.
    if (!this.#ended) {
      if (!this.#credit.grow(this.#window)) return false
      this.#granted = this.#window
    }
    this.ungranted = false
    return true
  }

  /** The stream is forgotten: its window leaves that of the connection. */
  abandon(): void {
    this.#end()
    this.ungranted = false
  }

  get available(): number {
    return this.#bytes.available
  }

  /** The peer is done and all was read, or thrown away. */
  get done(): boolean {
    return this.#ended
  }

  /** All up to the end was read. Stays as it is when the connection ends: what is thrown away then was not read. */
  get finished(): boolean {
    return this.#ended && !this.stopped && this.resetCode < 0
  }

  get stopped(): boolean {
    return this.#stop !== 'none'
  }

  get stopDue(): boolean {
    return this.#stop === 'wanted' && !this.#ended
  }

  /** Takes `length` bytes from `from`. */
  data(
    offset: number,
    bytes: Uint8Array,
    from: number,
    length: number,
    fin: boolean,
  ): Violation | undefined {
    const end = offset + length
    if (this.#finalSize >= 0 && (end > this.#finalSize || (fin && end !== this.#finalSize))) {
      return violation(ErrorCode.finalSize, 'bytes after the end of a stream')
    }
    if (fin && end < this.#bytes.highest) {
      return violation(ErrorCode.finalSize, 'a stream ends before bytes that were sent')
    }
    if (this.#ended) return undefined
    const more = end - this.#bytes.highest
    if (more > 0) {
      if (end > this.#advertised) return violation(ErrorCode.flowControl, 'no credit on a stream')
      if (!this.#credit.arrive(more)) {
        return violation(ErrorCode.flowControl, 'no credit on the connection')
      }
    }
    if (this.stopped) {
      if (more > 0) this.#discard(more)
    } else if (!this.#bytes.add(offset, bytes, from, length)) {
      if (more > 0) this.#credit.arrive(-more)
      return NOT_TAKEN
    }
    if (fin) {
      this.#finalSize = end
      this.creditDue = false
      if (this.stopped || this.#allRead) this.#end()
    }
    return undefined
  }

  reset(code: number, finalSize: number): Violation | undefined {
    if (
      finalSize < this.#bytes.highest ||
      (this.#finalSize >= 0 && finalSize !== this.#finalSize)
    ) {
      return violation(ErrorCode.finalSize, 'a reset changes the size of a stream')
    }
    if (this.#ended) return undefined
    if (finalSize > this.#advertised || !this.#credit.arrive(finalSize - this.#bytes.highest)) {
      return violation(ErrorCode.flowControl, 'a reset beyond the credit of a stream')
    }
    const unread = finalSize - this.#bytes.read
    this.#finalSize = finalSize
    this.resetCode = code
    this.#bytes.free()
    this.#credit.consume(unread)
    this.#end()
    return undefined
  }

  /** The next bytes, at most `bytesMax`; undefined when none are there. */
  read(bytesMax: number): Uint8Array | undefined {
    const bytes = this.#bytes.take(bytesMax)
    if (!bytes) return undefined
    this.#credit.consume(bytes.length)
    if (this.#finalSize < 0) this.#consumed(bytes.length)
    else if (this.#allRead) this.#end()
    return bytes
  }

  /** The reader wants no more. */
  stop(code: number): void {
    if (this.#ended || this.stopped) return
    this.#stop = 'wanted'
    this.stopCode = code
    this.creditDue = false
    const { read, highest } = this.#bytes
    this.#bytes.free()
    this.#credit.consume(highest - read)
    if (this.#finalSize >= 0) this.#end()
  }

  stopSent(): void {
    if (this.#stop === 'wanted') this.#stop = 'sent'
  }

  stopLost(): void {
    if (this.#stop === 'sent') this.#stop = 'wanted'
  }

  /** The limit to advertise now. */
  advertise(): number {
    this.creditDue = false
    this.#advertised = Math.max(this.#bytes.read + this.#window, this.#advertised)
    return this.#advertised
  }

  /** A MAX_STREAM_DATA was lost. */
  creditLost(): void {
    if (!this.#ended && !this.stopped && this.#finalSize < 0) this.creditDue = true
  }

  /** The connection is over. */
  free(): void {
    this.#bytes.free()
  }

  /** A reader that keeps up gets a larger window, when it can be charged. */
  #consumed(length: number): void {
    this.#sinceGrowth += length
    if (this.#sinceGrowth >= this.#window && this.#window < this.#windowMax && this.#granted > 0) {
      this.#sinceGrowth = 0
      const more = Math.min(this.#window, this.#windowMax - this.#window)
      if (this.#credit.grow(more)) {
        this.#window += more
        this.#granted += more
      }
    }
    const left = this.#advertised - this.#bytes.read
    if (left * 2 <= this.#window) this.creditDue = true
  }

  get #allRead(): boolean {
    return this.#finalSize >= 0 && this.#bytes.read === this.#finalSize
  }

  #discard(more: number): void {
    this.#bytes.pass(more)
    this.#credit.consume(more)
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.creditDue = false
    this.#credit.shrink(this.#granted)
    this.#granted = 0
  }
}
