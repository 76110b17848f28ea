/**
 * How large datagrams may be on the path: starts at what QUIC demands of every path, probes for more with padded
 * packets whose loss means nothing else, and falls back when large packets vanish (RFC 8899, RFC 9000 section 14.3).
 *
 * `node:dgram` cannot set the "don't fragment" bit, so nothing above the MTU of an interface may be probed: the kernel
 * would cut such a datagram in pieces and each probe would succeed. The shell says how far to go.
 *
 * Memory: a few numbers for each connection.
 */
const BASE_BYTES = 1_200
/** Probes of one size that are lost before the size counts as too large (MAX_PROBES). */
const PROBES_MAX = 3
/** A search that is this near ends. */
const NEAR_BYTES = 32
/** Large packets lost with none arriving in between, until the path counts as narrower than it was. */
const BLACK_HOLE_LOSSES = 6
const RAISE_AFTER_US = 600_000_000
const COOL_DOWN_US = 60_000_000

export class PathMtu {
  /** Bytes that a datagram may have now. */
  current = BASE_BYTES
  /** When a search that is over begins again; infinite while none is wanted. */
  searchAt = Number.POSITIVE_INFINITY
  /** How often large packets have vanished, for tests and metrics. */
  blackHoles = 0
  #most = BASE_BYTES
  /** The least size that is known not to fit. */
  #tooLarge = BASE_BYTES + 1
  #searching = false
  /** Size of the probe in flight, 0 for none. */
  #probing = 0
  #failed = 0
  #suspects = 0

  /** What the interface, the buffers and the peer take; the search begins. */
  start(bytesMax: number, now: number): void {
    this.#most = Math.max(bytesMax, BASE_BYTES)
    this.#search(now)
  }

  /** The size to probe now, 0 for none. */
  due(now: number): number {
    if (this.#probing > 0) return 0
    if (!this.#searching) {
      if (now < this.searchAt) return 0
      this.#search(now)
    }
    if (!this.#searching) return 0
    // The largest first: it is what a healthy path takes.
    if (this.#tooLarge > this.#most) return this.#most
    return Math.floor((this.current + this.#tooLarge) / 2)
  }

  sent(size: number): void {
    this.#probing = size
  }

  probeAcked(size: number, now: number): void {
    if (size !== this.#probing) return
    this.#probing = this.#failed = this.#suspects = 0
    this.current = size
    this.#maybeDone(now)
  }

  probeLost(size: number, now: number): void {
    if (size !== this.#probing) return
    this.#probing = 0
    if (++this.#failed < PROBES_MAX) return
    this.#failed = 0
    this.#tooLarge = size
    this.#maybeDone(now)
  }

  /** A packet that was no probe has arrived. */
  acked(bytes: number): void {
    if (bytes > BASE_BYTES) this.#suspects = 0
  }

  /** A packet that was no probe was lost. @returns whether the path is narrower now. */
  lost(bytes: number, now: number): boolean {
    if (bytes <= BASE_BYTES || this.current === BASE_BYTES) return false
    if (++this.#suspects < BLACK_HOLE_LOSSES) return false
    this.blackHoles++
    this.#suspects = 0
    this.#fall()
    this.searchAt = now + COOL_DOWN_US
    return true
  }

  /** The path is another one. */
  reset(now: number): void {
    this.#fall()
    this.#suspects = 0
    this.#search(now)
  }

  #fall(): void {
    this.current = BASE_BYTES
    this.#probing = this.#failed = 0
    this.#searching = false
  }

  #search(now: number): void {
    this.#tooLarge = this.#most + 1
    this.#searching = true
    this.searchAt = Number.POSITIVE_INFINITY
    this.#maybeDone(now)
  }

  #maybeDone(now: number): void {
    const all = this.current >= this.#most
    if (!all && this.#tooLarge - this.current > NEAR_BYTES) return
    this.#searching = false
    this.searchAt = all ? Number.POSITIVE_INFINITY : now + RAISE_AFTER_US
  }
}
