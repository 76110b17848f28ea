/**
 * Takes the packets of a datagram apart: finds the keys, opens, reads the frames, notes what must be acknowledged.
 *
 * What is not authentic changes nothing. Packets for keys that are not there yet are dropped: the peer sends them again.
 */
import { copyBytes, equalBytes } from '../../codec/index.ts'
import type { PacketKeys } from '../contract.ts'
import { ELICITS, NON_PROBING, readFrames } from '../frames/read-frames.ts'
import { ErrorCode, violation } from '../packet/errors.ts'
import {
  DATAGRAM_BYTES_MIN,
  type PacketHead,
  readHead,
  readNumber,
  VERSION_1,
} from '../packet/header.ts'
import { fullPacketNumber } from '../packet/numbers.ts'
import { Cursor } from '../packet/varint.ts'
import { NOT_TAKEN } from '../streams/receive-part.ts'
import type { ConnectionState } from './connection-state.ts'
import type { FramesIn } from './frames-in.ts'
import { type Remote, sameRemote } from './path.ts'
import type { PacketSpace } from './space.ts'

const ACK_DELAY_US = 10_000
const PROVE_PROBES = 3
/** The probe timeout of a path of which nothing is known yet (RFC 9002 section 6.2.2). */
const NEW_PATH_PROBE_US = 999_000
const KEEP_PROBES = 3

export class PacketsIn {
  readonly #state: ConnectionState
  readonly #frames: FramesIn
  /** Shared by the connections of an endpoint: nothing of it is used across calls. */
  readonly #head: PacketHead
  readonly #cursor = new Cursor()
  readonly #plain = new Cursor()

  constructor(state: ConnectionState, frames: FramesIn, head: PacketHead) {
    this.#state = state
    this.#frames = frames
    this.#head = head
  }

  /** The datagram is changed in place. */
  receive(bytes: Uint8Array, remote: Remote): void {
    const state = this.#state
    const { current } = state.paths
    if (sameRemote(current.remote, remote)) current.received += bytes.length
    // A server has one address (RFC 9000 section 9).
    else if (state.client || !state.up) return
    const cursor = this.#cursor.reset(bytes)
    const head = this.#head
    if (!readHead(cursor, head)) return
    const { destinationAt, destinationLength } = head
    this.#packet(bytes, remote, true)
    while (cursor.left > 0 && !state.ending && readHead(cursor, head)) {
      // Packets of one datagram are for one connection (RFC 9000 section 12.2).
      if (
        !sameBytes(
          bytes,
          head.destinationAt,
          head.destinationLength,
          destinationAt,
          destinationLength,
        )
      )
        return
      this.#packet(bytes, remote, false)
    }
  }

  #packet(bytes: Uint8Array, remote: Remote, first: boolean): void {
    const state = this.#state
    const head = this.#head
    if (head.type === 'negotiation') return this.#negotiation(bytes)
    if (head.version !== VERSION_1) return
    switch (head.type) {
      case 'retry':
        return this.#retry(bytes)
      case 'initial':
        // A client pads what carries an Initial (RFC 9000 section 14.1).
        if (!state.client && bytes.length < DATAGRAM_BYTES_MIN) return
        return this.#open(bytes, remote, state.initial)
      case 'handshake':
        return this.#open(bytes, remote, state.handshake)
      case 'short':
        // A server reads nothing of a client before it knows who it is.
        if (!state.keys || !state.up) return
        if (!this.#openShort(bytes, remote) && first) this.#maybeReset(bytes)
        return
      default:
        return
    }
  }

  #open(bytes: Uint8Array, remote: Remote, space: PacketSpace): void {
    const head = this.#head
    const { read } = space
    if (!read) return
    const { start, numberAt, end, sourceAt, sourceLength } = head
    const length = read.unmask(bytes, start, numberAt)
    const truncated = readNumber(bytes, numberAt, length)
    const number = fullPacketNumber(space.largestReceived, truncated, length)
    if (space.isDuplicate(number)) return
    const plainEnd = read.open(bytes, start, numberAt + length, end, number)
    if (plainEnd < 0) return this.#forged(read)
    const state = this.#state
    const source = bytes.subarray(sourceAt, sourceAt + sourceLength)
    if (state.client && !state.heard) state.remoteIds.setFirst(source)
    else if (!equalBytes(source, state.remoteIds.current.bytes) && !state.up) return
    state.heard = true
    if (space === state.handshake && !state.client) {
      // Who answers what went to an address is there.
      state.paths.current.validated = true
      state.drop(state.initial)
    }
    const reserved = bytes[start]! & 0x0c
    this.#taken(bytes, numberAt + length, plainEnd, space, number, reserved, remote)
  }

  /** @returns whether it was authentic, or a duplicate. */
  #openShort(bytes: Uint8Array, remote: Remote): boolean {
    const state = this.#state
    const space = state.application
    const keys = state.keys!
    const { start, numberAt, end } = this.#head
    const length = keys.read.unmask(bytes, start, numberAt)
    const truncated = readNumber(bytes, numberAt, length)
    const number = fullPacketNumber(space.largestReceived, truncated, length)
    if (space.isDuplicate(number)) return true
    const first = bytes[start]!
    const phase = (first >>> 2) & 1
    const read = keys.forPacket(phase, number)
    if (!read) return false
    const plainEnd = read.open(bytes, start, numberAt + length, end, number)
    if (plainEnd < 0) {
      this.#forged(read)
      return false
    }
    const keepUs = KEEP_PROBES * state.recovery.firstProbeUs(space)
    if (!keys.opened(phase, number, state.now, keepUs)) {
      state.fail(violation(ErrorCode.keyUpdate, 'a key update before the last one was done'))
      return true
    }
    this.#taken(bytes, numberAt + length, plainEnd, space, number, first & 0x18, remote)
    return true
  }

  #taken(
    bytes: Uint8Array,
    start: number,
    end: number,
    space: PacketSpace,
    number: number,
    reserved: number,
    remote: Remote,
  ): void {
    const state = this.#state
    if (reserved !== 0) {
      return state.fail(violation(ErrorCode.protocolViolation, 'reserved bits are set'))
    }
    this.#frames.space = space
    this.#frames.remote = remote
    this.#frames.datagramBytes = bytes.length
    const read = readFrames(this.#plain.reset(bytes, start, end), space.level, this.#frames)
    this.#plain.reset(NOTHING)
    state.heardAt = state.now
    state.spokeAt = 0
    if (typeof read !== 'number') {
      if (read !== NOT_TAKEN) state.fail(read)
      return
    }
    if (space.dropped || state.ending) return
    state.taken++
    const newest = number > space.largestReceived
    space.note(number, (read & ELICITS) !== 0, state.now, ACK_DELAY_US)
    if (!newest || space !== state.application || state.client) return
    const { destinationAt, destinationLength } = this.#head
    const { current } = state.paths
    if (sameRemote(current.remote, remote)) {
      current.localId ??= copyBytes(bytes, destinationAt, destinationAt + destinationLength)
    } else if ((read & NON_PROBING) !== 0) {
      this.#moved(remote, bytes, bytes.subarray(destinationAt, destinationAt + destinationLength))
    }
  }

  /** The peer speaks from another address: a NAT has given it a new one, most likely. */
  #moved(remote: Remote, bytes: Uint8Array, localId: Uint8Array): void {
    const { paths, recovery, application, now, remoteIds } = this.#state
    // Who moves on purpose takes another id, and so do we, so that nobody can link the paths (RFC 9000 section 9.5).
    if (paths.usesOtherId(localId)) remoteIds.switch()
    const probeUs = Math.max(recovery.firstProbeUs(application), NEW_PATH_PROBE_US)
    paths.move(remote, bytes.length, now, now + PROVE_PROBES * probeUs, localId)
  }

  #forged(keys: PacketKeys): void {
    const state = this.#state
    state.forged++
    if (state.forged >= state.options.security.limits(keys.suite).forgedMax) {
      state.fail(violation(ErrorCode.aeadLimit, 'too many packets that are not authentic'))
    }
  }

  #maybeReset(bytes: Uint8Array): void {
    const state = this.#state
    if (!state.remoteIds.isReset(bytes, bytes.length)) return
    const reason = 'the peer knows nothing of this connection; it was started anew'
    state.end({ by: 'lost', application: false, code: ErrorCode.none, reason, told: false })
  }

  #retry(bytes: Uint8Array): void {
    const state = this.#state
    if (!state.client || state.heard || state.retrySource) return
    const { start, end, sourceAt, sourceLength, tokenAt, tokenLength } = this.#head
    const { security, originalDestination } = state.options
    // A Retry brings another id (RFC 9000 section 17.2.5.1).
    if (equalBytes(bytes.subarray(sourceAt, sourceAt + sourceLength), originalDestination)) return
    if (!security.isRetryAuthentic(originalDestination, bytes.subarray(start, end))) return
    if (tokenLength > RETRY_TOKEN_BYTES_MAX) {
      const reason = `its Retry token of ${tokenLength} bytes leaves no room in an Initial`
      state.end({ by: 'lost', application: false, code: ErrorCode.none, reason, told: false })
      return
    }
    if (!state.keepToken(bytes.subarray(tokenAt, tokenAt + tokenLength))) {
      const reason = 'there is no room for its Retry token'
      state.end({ by: 'lost', application: false, code: ErrorCode.none, reason, told: false })
      return
    }
    const source = copyBytes(bytes, sourceAt, sourceAt + sourceLength)
    state.retrySource = source
    state.remoteIds.setFirst(source)
    state.recovery.forget(state.initial)
    state.initial.cryptoOut.rewind()
    state.setInitialKeys(source)
  }

  #negotiation(bytes: Uint8Array): void {
    const state = this.#state
    if (!state.client || state.heard || state.retrySource) return
    const { numberAt, sourceAt, sourceLength } = this.#head
    // It must name the id that we have sent to (RFC 8999 section 6).
    const source = bytes.subarray(sourceAt, sourceAt + sourceLength)
    if (!equalBytes(source, state.options.originalDestination)) return
    const cursor = new Cursor().reset(bytes, numberAt)
    while (cursor.left >= 4) if (cursor.uint32() === VERSION_1) return
    const reason = 'the peer does not speak QUIC version 1'
    state.end({ by: 'lost', application: false, code: ErrorCode.none, reason, told: false })
  }
}

function sameBytes(bytes: Uint8Array, a: number, aLength: number, b: number, bLength: number) {
  if (aLength !== bLength) return false
  for (let at = 0; at < aLength; at++) if (bytes[a + at] !== bytes[b + at]) return false
  return true
}

const NOTHING = new Uint8Array(0)
/**
 * RFC 9000 sets no limit. With ids of 20 bytes this one leaves 112 bytes of a client hello to each Initial of 1200 bytes;
 * who asks for more is told from the start that it cannot be, and not by a timeout.
 */
export const RETRY_TOKEN_BYTES_MAX = 1_024
