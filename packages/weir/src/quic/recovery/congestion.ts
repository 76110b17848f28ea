/**
 * How much may be in flight: the interface of the algorithms, and NewReno (RFC 9002 section 7).
 *
 * The window has a cap of its own: what is in flight is held in send buffers and records.
 *
 * Memory: a few numbers for each connection.
 */

export interface CongestionController {
  readonly window: number
  readonly slowStart: boolean
  /** What was sent up to here says nothing about the window as it is now. */
  readonly recoveryFrom: number
  readonly datagramBytes: number
  /** Path MTU discovery has changed the size of datagrams. */
  resize(datagramBytes: number): void
  /**
   * Bytes that were sent after `recoveryFrom` have arrived.
   *
   * @param limited whether the window was what held the sender back; one that was not used does not grow.
   */
  acked(bytes: number, now: number, roundTripUs: number, limited: boolean): void
  /** Packets were lost, the newest of them sent at `sentAt`. */
  lost(sentAt: number, now: number): void
  /** Nothing got through for several probe timeouts (RFC 9002 section 7.6). */
  persistent(): void
  /** The path is another one: nothing that was learnt holds (RFC 9000 section 9.4). */
  reset(): void
}

export type CongestionName = 'cubic' | 'new-reno'

/** RFC 9002 section 7.2. */
export const initialWindow = (datagramBytes: number): number =>
  Math.min(10 * datagramBytes, Math.max(14_720, 2 * datagramBytes))

export const leastWindow = (datagramBytes: number): number => 2 * datagramBytes

/** A cap below the least window would be a window in which no datagram fits, and which never grows again. */
export const mostWindow = (datagramBytes: number, windowMax: number): number =>
  Math.max(windowMax, leastWindow(datagramBytes))

export class NewReno implements CongestionController {
  readonly #windowMax: number
  datagramBytes: number
  window: number
  recoveryFrom = Number.NEGATIVE_INFINITY
  #threshold = Number.POSITIVE_INFINITY

  constructor(datagramBytes: number, windowBytesMax: number) {
    this.datagramBytes = datagramBytes
    this.#windowMax = windowBytesMax
    this.window = initialWindow(datagramBytes)
  }

  get slowStart(): boolean {
    return this.window < this.#threshold
  }

  acked(bytes: number, _now: number, _roundTripUs: number, limited: boolean): void {
    if (!limited) return
    const more = this.slowStart ? bytes : (this.datagramBytes * bytes) / this.window
    this.window = Math.min(this.window + more, mostWindow(this.datagramBytes, this.#windowMax))
  }

  lost(sentAt: number, now: number): void {
    if (sentAt <= this.recoveryFrom) return
    this.recoveryFrom = now
    this.window = Math.max(this.window / 2, leastWindow(this.datagramBytes))
    this.#threshold = this.window
  }

  persistent(): void {
    this.window = leastWindow(this.datagramBytes)
    this.recoveryFrom = Number.NEGATIVE_INFINITY
  }

  resize(datagramBytes: number): void {
    this.datagramBytes = datagramBytes
    // A window in which no datagram fits would never grow again.
    this.window = Math.max(this.window, leastWindow(datagramBytes))
  }

  reset(): void {
    this.window = initialWindow(this.datagramBytes)
    this.recoveryFrom = Number.NEGATIVE_INFINITY
    this.#threshold = Number.POSITIVE_INFINITY
  }
}
