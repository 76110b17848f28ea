/**
 * Spreads a window over the round trip (RFC 9002 section 7.7): a bucket that fills at 5/4 of window per round trip.
 *
 * Timers of Node have a grain of a millisecond, so what two milliseconds may carry is sent at once.
 */
const BURST_PACKETS = 16
const GRAIN_US = 2_000

export class Pacer {
  readonly #datagram: number
  #tokens: number
  #filledAt = 0

  constructor(datagramBytes: number) {
    this.#datagram = datagramBytes
    this.#tokens = BURST_PACKETS * datagramBytes
  }

  sent(bytes: number): void {
    this.#tokens -= bytes
  }

  /** @returns 0 when a datagram may be sent now, else the microseconds until then. */
  delay(now: number, window: number, roundTripUs: number): number {
    const perUs = (1.25 * window) / Math.max(roundTripUs, 1)
    const burst = Math.max(BURST_PACKETS * this.#datagram, perUs * GRAIN_US)
    this.#tokens = Math.min(this.#tokens + (now - this.#filledAt) * perUs, burst)
    this.#filledAt = now
    if (this.#tokens >= this.#datagram) return 0
    return Math.max((this.#datagram - this.#tokens) / perUs, 1_000)
  }
}
