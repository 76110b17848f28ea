/**
 * How much may be in flight. NewReno (RFC 9002 section 7); another algorithm has the same interface.
 *
 * The window has a cap of its own: what is in flight is held in send buffers and records.
 */

export interface CongestionController {
  readonly window: number
  readonly slowStart: boolean
  acked(bytes: number, sentAt: number, limited: boolean): void
  /** Packets were lost, the newest of them sent at `sentAt`. */
  lost(sentAt: number, now: number): void
  /** Nothing got through for several probe timeouts. */
  persistent(): void
}

export class NewReno implements CongestionController {
  readonly #datagram: number
  readonly #windowMax: number
  window: number
  #threshold = Number.POSITIVE_INFINITY
  #recoveryFrom = Number.NEGATIVE_INFINITY

  constructor(datagramBytes: number, windowBytesMax: number) {
    this.#datagram = datagramBytes
    this.#windowMax = windowBytesMax
    this.window = Math.min(10 * datagramBytes, Math.max(14_720, 2 * datagramBytes))
  }

  get slowStart(): boolean {
    return this.window < this.#threshold
  }

  acked(bytes: number, sentAt: number, limited: boolean): void {
    // What was sent before the last loss says nothing new, nor does a window that was not used.
    if (sentAt <= this.#recoveryFrom || !limited) return
    const more = this.slowStart ? bytes : (this.#datagram * bytes) / this.window
    this.window = Math.min(this.window + more, this.#windowMax)
  }

  lost(sentAt: number, now: number): void {
    if (sentAt <= this.#recoveryFrom) return
    this.#recoveryFrom = now
    this.window = Math.max(this.window / 2, 2 * this.#datagram)
    this.#threshold = this.window
  }

  persistent(): void {
    this.window = 2 * this.#datagram
    this.#recoveryFrom = Number.NEGATIVE_INFINITY
  }
}
