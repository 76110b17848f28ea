/**
 * Builds datagrams from what is due: acknowledgements, handshake bytes, control frames, messages and streams, as far
 * as the congestion window, the pacer and the proof of the address allow.
 *
 * Memory: the one datagram buffer of the endpoint.
 */
import { FrameType } from '../frames/frame-types.ts'
import {
  cryptoHeadSize,
  writeAck,
  writeClose,
  writeCryptoHead,
  writePath,
} from '../frames/write-frames.ts'
import { ErrorCode, violation } from '../packet/errors.ts'
import {
  DATAGRAM_BYTES_MIN,
  longHeadSize,
  TAG_BYTES,
  writeLongHead,
  writeNumber,
} from '../packet/header.ts'
import { packetNumberLength } from '../packet/numbers.ts'
import { writeVarint2 } from '../packet/varint.ts'
import { Ref } from '../recovery/sent-packets.ts'
import { type ConnectionState, type Ending, LATE_BYTES_MIN } from './connection-state.ts'
import { controlDue, writeControl } from './control-frames.ts'
import { PacketWriter } from './packet-writer.ts'
import { type Path, type Remote, sameRemote } from './path.ts'
import type { PacketSpace } from './space.ts'

const NOTHING = new Uint8Array(0)
const FLUSH_DATAGRAMS_MAX = 128
/** One packet number of so many is left out, so that nobody acknowledges what it has not seen. */
const SKIP_ONE_OF = 1024
/** So many acknowledgements in a row, and the peer is asked for one, so that the ranges to report stay few. */
const LONE_ACKS_MAX = 32
/** The least packet of a short header around a message: type, id, number, tag. */
const SHORT_OVERHEAD = 1 + 4 + TAG_BYTES
const REASON_BYTES_MAX = 256
const ANSWERED_BYTES_MIN = 43

/** What a packet of a space would be for. */
const NO = 0
const ACK_ONLY = 1
const ELICIT = 2

export class PacketsOut {
  readonly #state: ConnectionState
  readonly #packet: PacketWriter
  /** When the pacer lets the next one go. */
  pacedUntil = Number.POSITIVE_INFINITY
  /** There was no memory for the record of a packet: to be tried again. */
  starved = false
  #skipIn: number
  #loneAcks = 0
  #messagesFirst = true

  constructor(state: ConnectionState) {
    this.#state = state
    this.#packet = new PacketWriter(state.options.buffer)
    this.#skipIn = 64 + state.options.random.below(SKIP_ONE_OF)
  }

  flush(): void {
    const state = this.#state
    this.pacedUntil = Number.POSITIVE_INFINITY
    this.starved = false
    if (state.up) this.#otherPaths()
    for (let count = 0; count < FLUSH_DATAGRAMS_MAX; count++) {
      const length = this.#datagram()
      if (length === 0) {
        if (state.confirmed) this.#probeMtu()
        return
      }
      this.#send(length)
    }
    // The rest after others had their turn.
    this.pacedUntil = state.now
  }

  /** The longest unreliable message that may be sent now. */
  get messageRoom(): number {
    const { recovery, remoteIds } = this.#state
    return recovery.mtu.current - SHORT_OVERHEAD - remoteIds.current.bytes.length
  }

  /** The datagram that tells the peer of the end. @returns its length, 0 when nothing may be sent. */
  close(ending: Ending): number {
    const state = this.#state
    const packet = this.#packet
    const { bytes } = packet
    let at = 0
    if (state.paths.current.allowance < DATAGRAM_BYTES_MIN) return 0
    // Who was never heard of has made nothing yet; a lone close would only look like somebody who dials.
    if (state.client && !state.heard) return 0
    const reason = new TextEncoder().encode(ending.reason).subarray(0, REASON_BYTES_MAX)
    const levels = [state.initial, state.handshake, state.application]
    for (const space of levels) {
      const keys = space === state.application ? state.keys?.write : space.write
      if (!keys || (space === state.application && !state.up)) continue
      const hidden = ending.application && space !== state.application
      const begun = this.#begin(space, at, DATAGRAM_BYTES_MIN)
      if (begun < 0) continue
      packet.at = writeClose(
        bytes,
        packet.at,
        ending.application && !hidden,
        hidden ? ErrorCode.application : ending.code,
        hidden ? NOTHING : reason,
      )
      const pad = space === state.initial && !state.handshake.write && !state.up
      at = this.#seal(space, at, begun, pad ? DATAGRAM_BYTES_MIN : 0)
    }
    return state.initial.dropped ? at : this.#padded(at)
  }

  #send(length: number): void {
    const { effects, paths } = this.#state
    paths.current.sent += length
    effects!.send(this.#packet.bytes, length, paths.current.remote)
  }

  /** What stands behind the last packet is no packet and is ignored. */
  #padded(at: number): number {
    if (at === 0 || at >= DATAGRAM_BYTES_MIN) return at
    this.#packet.bytes.fill(0, at, DATAGRAM_BYTES_MIN)
    return DATAGRAM_BYTES_MIN
  }

  /** @returns the length of the datagram in the buffer, 0 when nothing is due or allowed. */
  #datagram(): number {
    const state = this.#state
    const { initial, handshake, application } = state
    if (!state.maySend) return 0
    const wantsInitial = this.#wants(initial)
    const wantsHandshake = this.#wants(handshake)
    const wantsApplication = this.#wants(application)
    let at = 0
    if (wantsInitial !== NO) {
      at = this.#build(initial, at, wantsInitial, wantsHandshake + wantsApplication === NO)
    }
    const padded = at > 0
    if (wantsHandshake !== NO) {
      const before = at
      at = this.#build(handshake, at, wantsHandshake, padded && wantsApplication === NO)
      // A client needs its Initial keys no more once it sends in the next space (RFC 9001 section 4.9.1).
      if (state.client && at > before) state.drop(initial)
    }
    if (wantsApplication !== NO) at = this.#build(application, at, wantsApplication, padded)
    return padded ? this.#padded(at) : at
  }

  #wants(space: PacketSpace): number {
    if (space.dropped) return NO
    const state = this.#state
    const application = space === state.application
    const keys = application ? state.keys?.write : space.write
    if (!keys || (application && !state.up)) return NO
    const ackDue = space.unacknowledged > 0 && space.ackAt <= state.now
    const pending = space.cryptoOut.pending || (application && controlDue(state))
    if ((pending || space.probes > 0) && this.#mayElicit(space)) return ELICIT
    return ackDue ? ACK_ONLY : NO
  }

  /** Whether a packet that counts may be sent now. */
  #mayElicit(space: PacketSpace): boolean {
    const { recovery, now, clockNow, application } = this.#state
    if (!space.sent.hasRoom(space.probes > 0)) {
      this.starved = true
      return false
    }
    // Handshake bytes are few. Behind early data that the peer cannot read before them they would wait for ever.
    if (space.probes > 0 || space !== application) return true
    if (!recovery.mayWindow(recovery.mtu.current)) {
      recovery.limited = true
      return false
    }
    const wait = recovery.pacing(clockNow)
    if (wait > 0) {
      recovery.limited = true
      this.pacedUntil = Math.min(this.pacedUntil, now + wait)
      return false
    }
    return true
  }

  /** How large the datagram may be in which a packet of this space begins at `at`. */
  #limit(space: PacketSpace, at: number): number {
    const { application, recovery, paths } = this.#state
    // What is to find out whether anything arrives must not depend on how much may.
    const { allowance, validated } = paths.current
    if (!validated) return Math.min(allowance, DATAGRAM_BYTES_MIN)
    const large = space === application && at === 0 && space.probes === 0
    return large ? recovery.mtu.current : DATAGRAM_BYTES_MIN
  }

  /** Adds a packet at `at`. @returns where it ends, or `at` when it would be empty. */
  #build(space: PacketSpace, at: number, wanted: number, pad: boolean): number {
    const { recovery, application } = this.#state
    const packet = this.#packet
    const limit = this.#limit(space, at)
    const begun = this.#begin(space, at, limit)
    if (begun < 0) return at
    const start = packet.at
    let padTo = pad ? DATAGRAM_BYTES_MIN : 0
    if (space.unacknowledged > 0) this.#ack(space, wanted === ELICIT)
    if (wanted === ELICIT) {
      this.#crypto(space)
      if (space === application && this.#applicationFrames()) {
        padTo = Math.min(DATAGRAM_BYTES_MIN, limit)
      }
      if (space.probes > 0) {
        space.probes--
        this.#ping()
      }
      recovery.limited = !recovery.mayWindow(2 * recovery.mtu.current)
    }
    if (packet.at === start) {
      space.sent.abandon()
      return at
    }
    return this.#seal(space, at, begun, padTo)
  }

  /** Writes a header. @returns the length of its packet number, or -1 when there is no room. */
  #begin(space: PacketSpace, at: number, end: number): number {
    const state = this.#state
    const packet = this.#packet
    const destination = state.remoteIds.current.bytes
    const length = packetNumberLength(space.nextNumber, space.largestAcked)
    const { bytes } = packet
    if (space === state.application) {
      if (at + 1 + destination.length + length + TAG_BYTES + 8 > end) return -1
      bytes[at] = 0x40 | (state.keys!.phase << 2) | (length - 1)
      for (let byte = 0; byte < destination.length; byte++)
        bytes[at + 1 + byte] = destination[byte]!
      packet.begin(at + 1 + destination.length + length, end - TAG_BYTES, space.sent)
      return length
    }
    const initial = space === state.initial
    const source = state.options.localId.bytes
    const token = initial ? state.token : NOTHING
    const size = longHeadSize(initial, destination, source, token, length)
    if (at + size + TAG_BYTES + 8 > end) return -1
    const type = initial ? 'initial' : 'handshake'
    writeLongHead(bytes, at, type, destination, source, token, length)
    packet.begin(at + size, end - TAG_BYTES, space.sent)
    return length
  }

  /** Pads, numbers, seals and records the packet. @returns where it ends. */
  #seal(
    space: PacketSpace,
    start: number,
    numberLength: number,
    padTo: number,
    recorded = true,
  ): number {
    const state = this.#state
    const packet = this.#packet
    const { bytes } = packet
    const application = space === state.application
    const destination = state.remoteIds.current.bytes
    const number = space.nextNumber
    const headSize = application
      ? 1 + destination.length + numberLength
      : longHeadSize(
          space === state.initial,
          destination,
          state.options.localId.bytes,
          space === state.initial ? state.token : NOTHING,
          numberLength,
        )
    const headEnd = start + headSize
    // The header protection takes its sample four bytes after the number begins, and what is to be answered is long
    // enough to be answered by a reset (RFC 9000 section 10.3).
    const shortest = application && packet.eliciting ? start + ANSWERED_BYTES_MIN : 0
    const least = Math.max(headEnd + 4 - numberLength, Math.max(padTo, shortest) - TAG_BYTES)
    if (packet.at < least) {
      bytes.fill(FrameType.padding, packet.at, least)
      packet.at = least
    }
    if (!application) {
      const lengthAt = headEnd - numberLength - 2
      writeVarint2(bytes, lengthAt, numberLength + packet.at - headEnd + TAG_BYTES)
    }
    writeNumber(bytes, headEnd - numberLength, number, numberLength)
    const keys = application ? state.keys!.write : space.write!
    const end = keys.seal(bytes, start, headEnd, packet.at, number, numberLength)
    if (application) state.keys!.sealed(number)
    space.nextNumber++
    if (packet.eliciting) {
      this.#loneAcks = 0
      if (recorded) state.recovery.sent(space, number, end - start, state.now)
      if (state.spokeAt === 0) state.spokeAt = state.now
    } else {
      space.sent.abandon()
      if (++this.#loneAcks >= LONE_ACKS_MAX && space.received.count > 1) state.pingDue = true
    }
    if (application) this.#afterApplication(space)
    return end
  }

  #afterApplication(space: PacketSpace): void {
    const state = this.#state
    const keys = state.keys!
    if (--this.#skipIn === 0) {
      space.skippedNumber = space.nextNumber++
      this.#skipIn = 64 + state.options.random.below(SKIP_ONE_OF)
    }
    if (keys.updateWanted && state.confirmed) keys.update(space.largestAcked)
    if (keys.usedUp) state.fail(violation(ErrorCode.aeadLimit, 'no packet more under these keys'))
  }

  #ack(space: PacketSpace, recorded: boolean): void {
    const { now } = this.#state
    const packet = this.#packet
    const delay = Math.max(Math.floor((now - space.largestReceivedAt) / 8), 0)
    const { received, reportFloor } = space
    const at = writeAck(packet.bytes, packet.at, packet.end, received, delay, reportFloor)
    if (at === packet.at) return
    packet.at = at
    space.unacknowledged = 0
    space.ackAt = Number.POSITIVE_INFINITY
    if (recorded && packet.fits(0)) space.sent.ref(Ref.ack, space.largestReceived)
  }

  #crypto(space: PacketSpace): void {
    const packet = this.#packet
    const { cryptoOut } = space
    while (cryptoOut.pending) {
      const head = cryptoHeadSize(cryptoOut.written, packet.room)
      if (!packet.fits(head + 1)) return
      cryptoOut.next(packet.room - head)
      const { chunkAt, chunkLength } = cryptoOut
      const at = writeCryptoHead(packet.bytes, packet.at, chunkAt, chunkLength)
      cryptoOut.take(packet.bytes, at)
      packet.wrote(at + chunkLength, Ref.crypto, 0, chunkAt, chunkLength)
    }
  }

  /** @returns whether the datagram must be padded. */
  #applicationFrames(): boolean {
    const state = this.#state
    const padded = writeControl(state, this.#packet)
    // Neither messages nor streams keep the other from being sent.
    if (this.#messagesFirst) this.#messages()
    state.streams.fill(this.#packet)
    if (!this.#messagesFirst) this.#messages()
    this.#messagesFirst = !this.#messagesFirst
    if (state.pingDue) {
      this.#ping()
      state.pingDue = !this.#packet.eliciting
    }
    return padded
  }

  #messages(): void {
    const { datagrams } = this.#state
    if (datagrams?.pending) datagrams.fill(this.#packet, this.messageRoom)
  }

  /** Makes the packet one that is acknowledged. */
  #ping(): void {
    const packet = this.#packet
    if (packet.eliciting || packet.room === 0) return
    packet.bytes[packet.at] = FrameType.ping
    packet.wroteOnce(packet.at + 1)
  }

  /** Challenges, which no window holds back, and answers on paths that are not the one in use. */
  #otherPaths(): void {
    const state = this.#state
    const { pathResponse, pathResponseTo, pathResponseRoom, paths } = state
    if (pathResponse && pathResponseTo && !sameRemote(pathResponseTo, paths.current.remote)) {
      state.pathResponse = state.pathResponseTo = undefined
      this.#onPath(pathResponseTo, FrameType.pathResponse, pathResponse, pathResponseRoom)
    }
    const { previous, current } = paths
    if (current.challengeDue) this.#challenge(current)
    if (previous?.challengeDue) this.#challenge(previous)
  }

  #challenge(path: Path): void {
    const { now, recovery, application } = this.#state
    const { remote, challenge, allowance } = path
    if (allowance < LATE_BYTES_MIN) return
    path.challengeDue = false
    path.challengeAt = path.validated
      ? Number.POSITIVE_INFINITY
      : now + recovery.firstProbeUs(application)
    path.sent += this.#onPath(remote, FrameType.pathChallenge, challenge!, allowance)
  }

  /**
   * One packet with this frame alone, of which no record is kept: it says nothing of the path in use, is never repeated,
   * and peers that move without an end would fill the records with it. @returns its length.
   */
  #onPath(to: Remote, type: number, data: Uint8Array, bytesMax: number): number {
    const { application, effects } = this.#state
    const packet = this.#packet
    if (bytesMax < LATE_BYTES_MIN) return 0
    const begun = this.#begin(application, 0, DATAGRAM_BYTES_MIN)
    if (begun < 0) return 0
    packet.wroteOnce(writePath(packet.bytes, packet.at, type, data))
    const end = this.#seal(application, 0, begun, Math.min(bytesMax, DATAGRAM_BYTES_MIN), false)
    effects!.send(packet.bytes, end, to)
    return end
  }

  /** One packet of padding that finds out whether the path carries more. */
  #probeMtu(): void {
    const { recovery, application, paths, now } = this.#state
    const packet = this.#packet
    const size = recovery.mtu.due(now)
    if (size === 0 || !paths.current.validated) return
    if (!recovery.mayWindow(0) || !application.sent.hasRoom()) return
    const begun = this.#begin(application, 0, size)
    if (begun < 0) return
    packet.bytes[packet.at] = FrameType.ping
    packet.wrote(packet.at + 1, Ref.mtuProbe, size)
    application.mtuProbe = application.nextNumber
    recovery.mtu.sent(size)
    this.#send(this.#seal(application, 0, begun, size))
  }
}
