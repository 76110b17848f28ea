/**
 * Spreads a window over the round trip (RFC 9002 section 7.7): a bucket that fills at 5/4 of window per round trip.
 *
 * Timers of Node have a grain of a millisecond, so what two milliseconds may carry is sent at once.
 *
 * Memory: three numbers for each connection.
 */
const BURST_PACKETS = 10
const GRAIN_US = 2_000
/** A program that was busy when it was to go on makes up for so much of it. */
const LATE_MAX_US = 20_000
const LEAST_DELAY_US = 1_000

export class Pacer {
  datagramBytes: number
  #tokens: number
  #filledAt = 0
  #waits = false

  constructor(datagramBytes: number) {
    this.datagramBytes = datagramBytes
    this.#tokens = BURST_PACKETS * datagramBytes
  }

  sent(bytes: number): void {
    this.#tokens -= bytes
  }

  /** @returns 0 when a datagram may be sent now, else the microseconds until then. */
  delay(now: number, window: number, roundTripUs: number): number {
    const { datagramBytes } = this
    const perUs = (1.25 * window) / Math.max(roundTripUs, 1)
    if (now > this.#filledAt) {
      const grain = this.#waits ? LATE_MAX_US : GRAIN_US
      const burst = Math.max(BURST_PACKETS * datagramBytes, perUs * grain)
      this.#tokens = Math.min(this.#tokens + (now - this.#filledAt) * perUs, burst)
      this.#filledAt = now
    }
    this.#waits = this.#tokens < datagramBytes
    if (!this.#waits) return 0
    return Math.max((datagramBytes - this.#tokens) / perUs, LEAST_DELAY_US)
  }
}
