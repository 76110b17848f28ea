/**
 * Loss detection and congestion control of a connection over its packet number spaces (RFC 9002).
 *
 * Memory: none of its own; the records of the spaces are charged.
 */
import type { PacketSpace } from '../connection/space.ts'
import { type CongestionController, type CongestionName, NewReno } from './congestion.ts'
import { Cubic } from './cubic.ts'
import { Pacer } from './pacer.ts'
import { PathMtu } from './path-mtu.ts'
import { Rtt } from './rtt.ts'
import { ACKED, LOST, type RefSink } from './sent-packets.ts'

const PACKET_THRESHOLD = 3
const PERSISTENT_PROBES = 3
const PROBE_EXPONENT_MAX = 16

export class Recovery {
  readonly rtt = new Rtt()
  readonly congestion: CongestionController
  readonly mtu = new PathMtu()
  readonly #pacer: Pacer
  inFlight = 0
  probeCount = 0
  maxAckDelayUs = 25_000
  /** The window, and not a lack of data, was what ended the last flush. */
  limited = false
  /** The peer has proved our address, so its silence means loss (RFC 9002 section 6.2.1). */
  peerValidated = false
  /** How often the path was found congested over a long time, for tests and metrics. */
  collapses = 0
  lostPackets = 0
  /** Probes for want of an answer. */
  probes = 0
  #firstSampleAt = Number.POSITIVE_INFINITY
  #newest = -1
  #newestAt = 0
  #ackedBytes = 0
  #anyAcked = false

  constructor(windowBytesMax: number, congestion: CongestionName = 'cubic') {
    const bytes = this.mtu.current
    this.congestion =
      congestion === 'cubic' ? new Cubic(bytes, windowBytesMax) : new NewReno(bytes, windowBytesMax)
    this.#pacer = new Pacer(bytes)
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
    this.#ackedBytes = 0
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
      if (sentAt > this.congestion.recoveryFrom) this.#ackedBytes += bytes
      if (number !== space.mtuProbe) this.mtu.acked(bytes)
      sent.leave(slot, true, sink)
    }
    return true
  }

  ackEnd(space: PacketSpace, largest: number, delayUs: number, now: number, sink: RefSink): void {
    if (!this.#anyAcked) return
    const { rtt, congestion } = this
    if (this.#newest === largest) {
      const delay = space.level === 'application' ? Math.min(delayUs, this.maxAckDelayUs) : 0
      rtt.sample(Math.max(now - this.#newestAt, 1), delay)
      if (this.#firstSampleAt > now) this.#firstSampleAt = now
    }
    if (this.#ackedBytes > 0) {
      congestion.acked(this.#ackedBytes, now, rtt.smoothed, this.limited)
    }
    if (this.peerValidated) this.probeCount = 0
    this.detectLost(space, now, sink)
  }

  /** Finds what is lost by now and sets when to look again. */
  detectLost(space: PacketSpace, now: number, sink: RefSink): void {
    const { sent } = space
    const delay = this.rtt.lossDelayUs
    const before = now - delay
    space.lossAt = Number.POSITIVE_INFINITY
    // Since when nothing was acknowledged, over what was lost earlier too (RFC 9002 section 7.6).
    let silentFrom = sent.lostFrom
    let newestLost = Number.NEGATIVE_INFINITY
    let silentFor = 0
    const end = sent.end
    for (let slot = sent.begin; slot < end; slot++) {
      const number = sent.number(slot)
      if (number > space.largestAcked) break
      const bytes = sent.bytes(slot)
      const sentAt = sent.sentAt(slot)
      if (bytes === ACKED) {
        silentFrom = Number.POSITIVE_INFINITY
        continue
      }
      if (bytes >= 0 && number > space.largestAcked - PACKET_THRESHOLD && sentAt > before) {
        space.lossAt = Math.min(space.lossAt, sentAt + delay)
        silentFrom = Number.POSITIVE_INFINITY
        continue
      }
      if (number === space.mtuProbe && bytes >= 0) {
        this.inFlight -= bytes
        sent.leave(slot, false, sink)
        continue
      }
      if (sentAt > this.#firstSampleAt && sentAt < silentFrom) silentFrom = sentAt
      if (bytes === LOST) continue
      newestLost = Math.max(newestLost, sentAt)
      silentFor = Math.max(silentFor, sentAt - silentFrom)
      this.#lose(space, slot, bytes, now, sink)
    }
    sent.trim()
    if (newestLost === Number.NEGATIVE_INFINITY) return
    this.congestion.lost(newestLost, now)
    if (silentFor < (this.rtt.probeUs + this.maxAckDelayUs) * PERSISTENT_PROBES) return
    this.collapses++
    this.congestion.persistent()
    this.rtt.forgetMinimum()
  }

  /** How long after the last packet of a space a probe is due, for the first time. */
  firstProbeUs(space: PacketSpace): number {
    return this.rtt.probeUs + (space.level === 'application' ? this.maxAckDelayUs : 0)
  }

  /** The same with the backing off of probes that were not answered. */
  probeUs(space: PacketSpace): number {
    return this.firstProbeUs(space) * 2 ** Math.min(this.probeCount, PROBE_EXPONENT_MAX)
  }

  /** Marks the oldest packets in flight for repetition, which two probes then carry. */
  probe(space: PacketSpace, now: number, sink: RefSink): void {
    const { sent } = space
    let told = 0
    for (let slot = sent.begin; slot < sent.end && told < 2; slot++) {
      const bytes = sent.bytes(slot)
      if (bytes < 0) continue
      // Without room for the record of a probe the oldest packets make it: they count as lost.
      if (sent.hasRoom(true)) sent.tell(slot, false, sink)
      else this.#lose(space, slot, bytes, now, sink)
      told++
    }
    sent.trim()
    space.probes = 2
    this.probes++
    this.probeCount++
    space.lastElicitingAt = now
  }

  /** The size of datagrams has changed. */
  resize(): void {
    this.congestion.resize(this.mtu.current)
    this.#pacer.datagramBytes = this.mtu.current
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

  /** The peer is at another host: nothing that was learnt of the path holds (RFC 9000 section 9.4). */
  reset(now: number): void {
    this.mtu.reset(now)
    this.resize()
    this.congestion.reset()
    this.rtt.reset()
    this.#firstSampleAt = Number.POSITIVE_INFINITY
    this.probeCount = 0
  }

  #lose(space: PacketSpace, slot: number, bytes: number, now: number, sink: RefSink): void {
    this.inFlight -= bytes
    this.lostPackets++
    if (space.sent.number(slot) !== space.mtuProbe && this.mtu.lost(bytes, now)) this.resize()
    space.sent.leave(slot, false, sink)
  }
}
