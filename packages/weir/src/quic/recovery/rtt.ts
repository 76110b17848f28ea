/**
 * Round-trip time (RFC 9002 section 5), in microseconds.
 *
 * Memory: a few numbers for each connection.
 */

const INITIAL_RTT_US = 333_000
const GRANULARITY_US = 1_000

export class Rtt {
  latest = 0
  smoothed = INITIAL_RTT_US
  variation = INITIAL_RTT_US / 2
  minimum = 0
  sampled = false
  #minimumStale = true

  /** @param delay what the peer says it waited before it acknowledged, cut to its promise by the caller. */
  sample(latest: number, delay: number): void {
    this.latest = latest
    if (this.#minimumStale || latest < this.minimum) this.minimum = latest
    this.#minimumStale = false
    if (!this.sampled) {
      this.sampled = true
      this.smoothed = latest
      this.variation = latest / 2
      return
    }
    const adjusted = latest >= this.minimum + delay ? latest - delay : latest
    this.variation = (3 * this.variation + Math.abs(this.smoothed - adjusted)) / 4
    this.smoothed = (7 * this.smoothed + adjusted) / 8
  }

  /** After persistent congestion the least round trip is measured anew (section 5.2). */
  forgetMinimum(): void {
    this.#minimumStale = true
  }

  /** Another path. */
  reset(): void {
    this.sampled = false
    this.latest = 0
    this.smoothed = INITIAL_RTT_US
    this.variation = INITIAL_RTT_US / 2
    this.#minimumStale = true
  }

  /** How long after sending a probe is due, without the delay of acknowledgements. */
  get probeUs(): number {
    return this.smoothed + Math.max(4 * this.variation, GRANULARITY_US)
  }

  /** How much later than a packet that was acknowledged another may be before it counts as lost. */
  get lossDelayUs(): number {
    return Math.max((9 / 8) * Math.max(this.latest, this.smoothed), GRANULARITY_US)
  }
}
