/**
 * Builds datagrams from what is due: acknowledgements, handshake bytes, control frames and streams, as far as the
 * congestion window, the pacer and the proof of the address allow.
 *
 * Memory: the one datagram buffer of the endpoint.
 */
import { FrameType } from '../frames/frame-types.ts'
import {
  cryptoHeadSize,
  writeAck,
  writeClose,
  writeCryptoHead,
  writeNewConnectionId,
  writeNumbers,
  writePath,
} from '../frames/write-frames.ts'
import { ErrorCode } from '../packet/errors.ts'
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
import type { ConnectionState, Ending } from './connection-state.ts'
import { PacketWriter } from './packet-writer.ts'
import type { PacketSpace } from './space.ts'

const NOTHING = new Uint8Array(0)
/** Room for the largest control frame. */
const CONTROL_ROOM = 48
const FLUSH_DATAGRAMS_MAX = 128
/** One packet number of so many is left out, so that nobody acknowledges what it has not seen. */
const SKIP_ONE_OF = 1024
const KEEP_PROBES = 3

export class PacketsOut {
  readonly #state: ConnectionState
  readonly #packet: PacketWriter
  /** When the pacer lets the next one go. */
  pacedUntil = Number.POSITIVE_INFINITY
  #skipIn: number

  constructor(state: ConnectionState) {
    this.#state = state
    this.#packet = new PacketWriter(state.options.buffer)
    this.#skipIn = 64 + state.options.random.below(SKIP_ONE_OF)
  }

  flush(): void {
    const state = this.#state
    const { effects, paths } = state
    this.pacedUntil = Number.POSITIVE_INFINITY
    for (let count = 0; count < FLUSH_DATAGRAMS_MAX; count++) {
      const length = this.#datagram()
      if (length === 0) return
      const { current } = paths
      current.sent += length
      effects!.send(this.#packet.bytes, length, current.remote)
    }
    // The rest after others had their turn.
    this.pacedUntil = state.now
  }

  /** The datagram that tells the peer of the end. @returns its length, 0 when nothing may be sent. */
  close(ending: Ending): number {
    const state = this.#state
    const bytes = this.#packet.bytes
    let at = 0
    if (state.paths.current.allowance < DATAGRAM_BYTES_MIN) return 0
    // Who was never heard of has made nothing yet; a lone close would only look like somebody who dials.
    if (state.client && !state.heard) return 0
    const reason = new TextEncoder().encode(ending.reason).subarray(0, 256)
    const levels = [state.initial, state.handshake, state.application]
    for (const space of levels) {
      const keys = space === state.application ? state.keys?.write : space.write
      if (!keys || (space === state.application && !state.up)) continue
      const hidden = ending.application && space !== state.application
      const begun = this.#begin(space, at, DATAGRAM_BYTES_MIN)
      if (begun < 0) continue
      const packet = this.#packet
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
    if (!state.initial.dropped && at > 0 && at < DATAGRAM_BYTES_MIN) {
      bytes.fill(0, at, DATAGRAM_BYTES_MIN)
      at = DATAGRAM_BYTES_MIN
    }
    return at
  }

  /** @returns the length of the datagram in the buffer, 0 when nothing is due or allowed. */
  #datagram(): number {
    const state = this.#state
    const { initial, handshake, application, paths } = state
    if (paths.current.allowance < DATAGRAM_BYTES_MIN) return 0
    const wantsInitial = this.#wants(initial)
    const wantsHandshake = this.#wants(handshake)
    const wantsApplication = this.#wants(application)
    let at = 0
    if (wantsInitial) at = this.#build(initial, at, !wantsHandshake && !wantsApplication)
    const padded = at > 0
    if (wantsHandshake) at = this.#build(handshake, at, padded && !wantsApplication)
    if (wantsApplication) at = this.#build(application, at, padded)
    if (padded && at < DATAGRAM_BYTES_MIN) {
      // What stands behind the last packet is no packet and is ignored.
      this.#packet.bytes.fill(0, at, DATAGRAM_BYTES_MIN)
      at = DATAGRAM_BYTES_MIN
    }
    if (wantsHandshake && state.client && !initial.dropped) {
      // A client needs its Initial keys no more once it sends in the next space (RFC 9001 section 4.9.1).
      state.drop(initial)
    }
    return at
  }

  #wants(space: PacketSpace): boolean {
    const state = this.#state
    const keys = space === state.application ? state.keys?.write : space.write
    if (!keys || (space === state.application && !state.up)) return false
    if (space.probes > 0 || (space.unacknowledged > 0 && space.ackAt <= state.now)) return true
    const pending = space.cryptoOut.pending || (space === state.application && this.#controlDue())
    return pending && this.#mayElicit(space)
  }

  #controlDue(): boolean {
    const state = this.#state
    return (
      state.handshakeDoneDue ||
      state.pingDue ||
      state.pathResponse !== undefined ||
      state.paths.current.challengeDue ||
      state.streams.pending ||
      state.remoteIds.retireDue >= 0 ||
      state.localIds.due() !== undefined
    )
  }

  /** Whether a packet that counts may be sent now. */
  #mayElicit(space: PacketSpace): boolean {
    const { recovery, now } = this.#state
    if (space.probes > 0) return space.sent.hasRoom()
    if (!space.sent.hasRoom()) return false
    // Handshake bytes are few. Behind early data that the peer cannot read before them they would wait for ever.
    if (space !== this.#state.application) return true
    if (!recovery.mayWindow(DATAGRAM_BYTES_MIN)) {
      recovery.limited = true
      return false
    }
    const wait = recovery.pacing(now)
    if (wait > 0) {
      recovery.limited = true
      this.pacedUntil = Math.min(this.pacedUntil, now + wait)
      return false
    }
    return true
  }

  /** Adds a packet at `at`. @returns where it ends, or `at` when it would be empty. */
  #build(space: PacketSpace, at: number, pad: boolean): number {
    const state = this.#state
    const packet = this.#packet
    const begun = this.#begin(space, at, DATAGRAM_BYTES_MIN)
    if (begun < 0) return at
    const start = packet.at
    const elicit = this.#mayElicit(space)
    if (space.unacknowledged > 0) this.#ack(space, elicit)
    if (elicit) {
      this.#crypto(space)
      if (space === state.application) this.#applicationFrames()
      if (space.probes > 0) {
        space.probes--
        if (!packet.eliciting && packet.room > 0) {
          packet.bytes[packet.at] = FrameType.ping
          packet.wroteOnce(packet.at + 1)
        }
      }
      state.recovery.limited = !state.recovery.mayWindow(2 * DATAGRAM_BYTES_MIN)
    }
    if (packet.at === start) {
      space.sent.abandon()
      return at
    }
    return this.#seal(space, at, begun, pad ? DATAGRAM_BYTES_MIN : 0)
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
      bytes.set(destination, at + 1)
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
  #seal(space: PacketSpace, start: number, numberLength: number, padTo: number): number {
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
    // The header protection takes its sample four bytes after the number begins.
    const least = Math.max(headEnd + 4 - numberLength, padTo - TAG_BYTES)
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
      state.recovery.sent(space, number, end - start, state.now)
      if (state.spokeAt === 0) state.spokeAt = state.now
    } else space.sent.abandon()
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
    if (keys.updateWanted && state.confirmed) {
      keys.update(state.now, space.largestAcked, KEEP_PROBES * state.recovery.probeUs(space))
    }
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

  #applicationFrames(): void {
    const state = this.#state
    const packet = this.#packet
    const { bytes } = packet
    const { current } = state.paths
    if (state.pathResponse && packet.fits(CONTROL_ROOM)) {
      packet.wroteOnce(writePath(bytes, packet.at, FrameType.pathResponse, state.pathResponse))
      state.pathResponse = undefined
    }
    if (current.challengeDue && current.challenge && packet.fits(CONTROL_ROOM)) {
      packet.wroteOnce(writePath(bytes, packet.at, FrameType.pathChallenge, current.challenge))
      current.challengeDue = false
    }
    if (state.handshakeDoneDue && packet.fits(CONTROL_ROOM)) {
      bytes[packet.at] = FrameType.handshakeDone
      packet.wrote(packet.at + 1, Ref.handshakeDone)
      state.handshakeDoneDue = false
    }
    for (
      let id = state.localIds.due();
      id && packet.fits(CONTROL_ROOM);
      id = state.localIds.due()
    ) {
      const at = writeNewConnectionId(bytes, packet.at, id.sequence, 0, id.bytes, id.token)
      packet.wrote(at, Ref.newConnectionId, id.sequence)
      id.due = false
    }
    while (state.remoteIds.retireDue >= 0 && packet.fits(CONTROL_ROOM)) {
      const sequence = state.remoteIds.retireDue
      const at = writeNumbers(bytes, packet.at, FrameType.retireConnectionId, sequence)
      packet.wrote(at, Ref.retireConnectionId, sequence)
      state.remoteIds.retireSent(sequence)
    }
    state.streams.fill(packet)
    if (state.pingDue) {
      if (!packet.eliciting && packet.room > 0) {
        bytes[packet.at] = FrameType.ping
        packet.wroteOnce(packet.at + 1)
      }
      state.pingDue = !packet.eliciting
    }
  }
}
