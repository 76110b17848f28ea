/**
 * Loss detection and congestion control of a connection over its packet number spaces (RFC 9002).
 *
 * Memory: none of its own; the records of the spaces are charged.
 */
import type { PacketSpace } from '../connection/space.ts'
import { type CongestionController, NewReno } from './congestion.ts'
import { Pacer } from './pacer.ts'
import { Rtt } from './rtt.ts'
import type { RefSink } from './sent-packets.ts'

const PACKET_THRESHOLD = 3
const PERSISTENT_PROBES = 3
const PROBE_EXPONENT_MAX = 16

export class Recovery {
  readonly rtt = new Rtt()
  readonly congestion: CongestionController
  readonly #pacer: Pacer
  inFlight = 0
  probeCount = 0
  maxAckDelayUs = 25_000
  /** The window, and not a lack of data, was what ended the last flush. */
  limited = false
  #newest = -1
  #newestAt = 0
  #anyAcked = false

  constructor(datagramBytes: number, windowBytesMax: number, congestion?: CongestionController) {
    this.congestion = congestion ?? new NewReno(datagramBytes, windowBytesMax)
    this.#pacer = new Pacer(datagramBytes)
  }

  /** Whether one more datagram may be in flight. */
  mayWindow(bytes: number): boolean {
    return this.inFlight + bytes <= this.congestion.window
  }

  /** Microseconds until the pacer lets the next datagram go; 0 for now. */
  pacing(now: number): number {
    return this.rtt.sampled ? this.#pacer.delay(now, this.congestion.window, this.rtt.smoothed) : 0
  }

  sent(space: PacketSpace, packetNumber: number, bytes: number, now: number): void {
    space.sent.commit(packetNumber, now, bytes)
    space.lastElicitingAt = now
    this.inFlight += bytes
    this.#pacer.sent(bytes)
  }

  /** @returns false when the peer acknowledges what was never sent. */
  ackBegin(space: PacketSpace, largest: number): boolean {
    if (largest >= space.nextNumber) return false
    this.#newest = -1
    this.#anyAcked = false
    if (largest > space.largestAcked) space.largestAcked = largest
    return true
  }

  /** @returns false when the peer acknowledges a number that was left out. */
  ackRange(space: PacketSpace, low: number, high: number, sink: RefSink): boolean {
    const { sent } = space
    if (space.skippedNumber >= low && space.skippedNumber <= high) return false
    const end = sent.end
    for (let slot = sent.find(low); slot < end && sent.number(slot) <= high; slot++) {
      const bytes = sent.bytes(slot)
      if (bytes < 0) continue
      const number = sent.number(slot)
      const sentAt = sent.sentAt(slot)
      this.#anyAcked = true
      if (number > this.#newest) {
        this.#newest = number
        this.#newestAt = sentAt
      }
      this.inFlight -= bytes
      this.congestion.acked(bytes, sentAt, this.limited)
      sent.leave(slot, true, sink)
    }
    return true
  }

  ackEnd(space: PacketSpace, largest: number, delayUs: number, now: number, sink: RefSink): void {
    if (!this.#anyAcked) return
    if (this.#newest === largest) {
      const delay = space.level === 'application' ? Math.min(delayUs, this.maxAckDelayUs) : 0
      this.rtt.sample(Math.max(now - this.#newestAt, 1), delay)
    }
    this.probeCount = 0
    this.detectLost(space, now, sink)
  }

  /** Finds what is lost by now and sets when to look again. */
  detectLost(space: PacketSpace, now: number, sink: RefSink): void {
    const { sent } = space
    const delay = this.rtt.lossDelayUs
    const before = now - delay
    space.lossAt = Number.POSITIVE_INFINITY
    let first = Number.POSITIVE_INFINITY
    let last = Number.NEGATIVE_INFINITY
    const end = sent.end
    for (let slot = sent.begin; slot < end; slot++) {
      const number = sent.number(slot)
      if (number > space.largestAcked) break
      const bytes = sent.bytes(slot)
      if (bytes < 0) continue
      const sentAt = sent.sentAt(slot)
      if (number > space.largestAcked - PACKET_THRESHOLD && sentAt > before) {
        space.lossAt = Math.min(space.lossAt, sentAt + delay)
        continue
      }
      if (sentAt < first) first = sentAt
      if (sentAt > last) last = sentAt
      this.inFlight -= bytes
      sent.leave(slot, false, sink)
    }
    sent.trim()
    if (last === Number.NEGATIVE_INFINITY) return
    this.congestion.lost(last, now)
    const persistent = (this.rtt.probeUs + this.maxAckDelayUs) * PERSISTENT_PROBES
    if (this.rtt.sampled && last - first >= persistent) this.congestion.persistent()
  }

  /** How long after the last packet of a space a probe is due. */
  probeUs(space: PacketSpace): number {
    const delay = space.level === 'application' ? this.maxAckDelayUs : 0
    const exponent = Math.min(this.probeCount, PROBE_EXPONENT_MAX)
    return (this.rtt.probeUs + delay) * 2 ** exponent
  }

  /** Marks the oldest packets in flight for repetition, which a probe then carries. */
  probe(space: PacketSpace, sink: RefSink): void {
    const { sent } = space
    let told = 0
    for (let slot = sent.begin; slot < sent.end && told < 2; slot++) {
      if (sent.bytes(slot) < 0) continue
      sent.tell(slot, false, sink)
      told++
    }
    space.probes = 2
  }

  /** The keys of a space go, with all that is in flight. */
  forget(space: PacketSpace): void {
    const { sent } = space
    for (let slot = sent.begin; slot < sent.end; slot++) {
      const bytes = sent.bytes(slot)
      if (bytes > 0) this.inFlight -= bytes
    }
    sent.clear()
    space.lossAt = Number.POSITIVE_INFINITY
    space.probes = 0
    this.probeCount = 0
  }
}
