/**
 * CUBIC (RFC 9438): after a loss the window comes back to where it was along a cubic curve of the time since then, so
 * that it depends little on the round trip; never slower than Reno would.
 *
 * The RFC counts in segments and seconds, and so does this; the window is in bytes. Time in which the sender was not
 * held back by the window does not count (section 5.8).
 *
 * Memory: a few numbers for each connection.
 */
import { type CongestionController, initialWindow, leastWindow, mostWindow } from './congestion.ts'

export const CUBIC_C = 0.4
export const CUBIC_BETA = 0.7
const ALPHA = (3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA)
const US = 1_000_000

/** Seconds until the curve is back at `most` (section 4.2). */
export const cubicK = (most: number, epochWindow: number): number =>
  Math.cbrt((most - epochWindow) / CUBIC_C)

/** The window in segments `seconds` after the start of the epoch (figure 1). */
export const cubicWindow = (seconds: number, k: number, most: number): number =>
  CUBIC_C * (seconds - k) ** 3 + most

export class Cubic implements CongestionController {
  readonly #windowMax: number
  datagramBytes: number
  window: number
  recoveryFrom = Number.NEGATIVE_INFINITY
  #threshold = Number.POSITIVE_INFINITY
  /** W_max, in bytes: where the curve is flat. */
  #most = 0
  /** The window before the last reduction: from there on the estimate grows as Reno does. */
  #prior = 0
  #k = 0
  /** What Reno would have, in bytes. */
  #estimate = 0
  /** Start of the epoch, -1 while none runs. */
  #epochAt = -1
  #lastAckAt = 0

  constructor(datagramBytes: number, windowBytesMax: number) {
    this.datagramBytes = datagramBytes
    this.#windowMax = windowBytesMax
    this.window = initialWindow(datagramBytes)
  }

  get slowStart(): boolean {
    return this.window < this.#threshold
  }

  acked(bytes: number, now: number, roundTripUs: number, limited: boolean): void {
    const since = now - this.#lastAckAt
    this.#lastAckAt = now
    if (!limited) {
      if (this.#epochAt >= 0) this.#epochAt += since
      return
    }
    if (this.slowStart) {
      this.window = Math.min(this.window + bytes, this.#cap)
      return
    }
    if (this.#epochAt < 0) this.#begin(now)
    this.#avoid(bytes, (now - this.#epochAt) / US, roundTripUs / US)
  }

  lost(sentAt: number, now: number): void {
    if (sentAt <= this.recoveryFrom) return
    this.recoveryFrom = now
    // Fast convergence: who loses before it is back leaves room for others (section 4.7).
    this.#most = this.window < this.#most ? (this.window * (1 + CUBIC_BETA)) / 2 : this.window
    this.#prior = this.window
    this.window = Math.max(this.window * CUBIC_BETA, leastWindow(this.datagramBytes))
    this.#threshold = this.window
    this.#epochAt = -1
  }

  persistent(): void {
    this.window = leastWindow(this.datagramBytes)
    this.recoveryFrom = Number.NEGATIVE_INFINITY
    this.#epochAt = -1
    // The first epoch after it starts flat (section 4.8).
    this.#most = this.#prior = 0
  }

  resize(datagramBytes: number): void {
    this.datagramBytes = datagramBytes
    // A window in which no datagram fits would never grow again.
    this.window = Math.max(this.window, leastWindow(datagramBytes))
  }

  reset(): void {
    this.persistent()
    this.window = initialWindow(this.datagramBytes)
    this.#threshold = Number.POSITIVE_INFINITY
  }

  get #cap(): number {
    return mostWindow(this.datagramBytes, this.#windowMax)
  }

  #begin(now: number): void {
    this.#epochAt = now
    this.#estimate = this.window
    if (this.#most < this.window) {
      this.#most = this.window
      this.#k = 0
    } else {
      const { datagramBytes } = this
      this.#k = cubicK(this.#most / datagramBytes, this.window / datagramBytes)
    }
  }

  #avoid(bytes: number, seconds: number, roundTrip: number): void {
    const { datagramBytes, window } = this
    const most = this.#most / datagramBytes
    const alpha = this.#estimate < this.#prior ? ALPHA : 1
    this.#estimate += (alpha * bytes * datagramBytes) / window
    if (cubicWindow(seconds, this.#k, most) * datagramBytes < this.#estimate) {
      this.window = Math.min(Math.max(this.#estimate, window), this.#cap)
      return
    }
    const wanted = cubicWindow(seconds + roundTrip, this.#k, most) * datagramBytes
    const target = Math.min(Math.max(wanted, window), 1.5 * window)
    this.window = Math.min(window + ((target - window) * bytes) / window, this.#cap)
  }
}
