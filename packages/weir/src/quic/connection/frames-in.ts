/** What the frames of the peer do to a connection. */
import { copyBytes } from '../../codec/index.ts'
import type { Level } from '../contract.ts'
import type { FrameSink } from '../frames/frame-types.ts'
import { ErrorCode, type Violation, violation } from '../packet/errors.ts'
import { Ref, type RefSink } from '../recovery/sent-packets.ts'
import { NOT_TAKEN } from '../streams/receive-part.ts'
import type { ConnectionState } from './connection-state.ts'
import { AMPLIFICATION, type Remote } from './path.ts'
import { CRYPTO_WINDOW_BYTES, type PacketSpace } from './space.ts'

const REASON_BYTES_MAX = 256

export class FramesIn implements FrameSink, RefSink {
  readonly #state: ConnectionState
  /** The space of the packet that is read, or whose packets are acknowledged or lost. */
  space: PacketSpace
  /** Where the datagram came from, and its length. */
  remote: Remote
  datagramBytes = 0
  #ackLargest = 0
  #ackDelay = 0
  #ackFault = false

  constructor(state: ConnectionState) {
    this.#state = state
    this.space = state.initial
    this.remote = state.options.remote
  }

  ack(largest: number, delay: number): Violation | undefined {
    const { peer, recovery } = this.#state
    this.#ackLargest = largest
    this.#ackDelay = delay * 2 ** (peer?.ackDelayExponent ?? 3)
    this.#ackFault = false
    return recovery.ackBegin(this.space, largest)
      ? undefined
      : violation(ErrorCode.protocolViolation, 'acknowledges what was never sent')
  }

  ackRange(low: number, high: number): void {
    if (!this.#state.recovery.ackRange(this.space, low, high, this)) this.#ackFault = true
  }

  ackEnd(): Violation | undefined {
    const { recovery, now, client } = this.#state
    if (this.#ackFault) {
      return violation(ErrorCode.protocolViolation, 'acknowledges a number that was left out')
    }
    // Who acknowledges a packet of the handshake has proved the address of both (RFC 9002 section 6.2.2.1).
    if (this.space.level === 'handshake') recovery.peerValidated = true
    recovery.ackEnd(this.space, this.#ackLargest, this.#ackDelay, now, this)
    // A server that acknowledges 1-RTT packets has our Finished (RFC 9001 section 4.1.2).
    if (client && this.space.level === 'application') this.#state.confirm()
    return undefined
  }

  crypto(offset: number, bytes: Uint8Array): Violation | undefined {
    const { cryptoIn, level } = this.space
    const end = offset + bytes.length
    if (end <= cryptoIn.read) return undefined
    if (end - cryptoIn.read > CRYPTO_WINDOW_BYTES) {
      return violation(ErrorCode.cryptoBuffer, 'too many handshake bytes out of order')
    }
    if (offset > cryptoIn.read) {
      return cryptoIn.add(offset, bytes, 0, bytes.length) ? undefined : NOT_TAKEN
    }
    // What is in order needs no room here, and then perhaps something that waited is.
    let part: Uint8Array | undefined = bytes.subarray(cryptoIn.read - offset)
    cryptoIn.pass(part.length)
    while (part) {
      const fault = this.#handshake(level, part)
      // The keys of the space may have gone with it.
      if (fault || this.#state.ending || this.space.dropped) return fault
      part = cryptoIn.take(CRYPTO_WINDOW_BYTES)
    }
    return undefined
  }

  #handshake(level: Level, bytes: Uint8Array): Violation | undefined {
    const state = this.#state
    state.tls.handle(level, bytes, state)
    return state.chargeMessage()
      ? undefined
      : violation(ErrorCode.cryptoBuffer, 'no room for a handshake message in pieces')
  }

  stream(
    id: number,
    offset: number,
    bytes: Uint8Array,
    from: number,
    length: number,
    fin: boolean,
  ): Violation | undefined {
    return this.#state.streams.stream(id, offset, bytes, from, length, fin)
  }

  resetStream(id: number, code: number, finalSize: number): Violation | undefined {
    return this.#state.streams.resetStream(id, code, finalSize)
  }

  stopSending(id: number, code: number): Violation | undefined {
    return this.#state.streams.stopSending(id, code)
  }

  maxData(limit: number): Violation | undefined {
    return this.#state.streams.maxData(limit)
  }

  maxStreamData(id: number, limit: number): Violation | undefined {
    return this.#state.streams.maxStreamData(id, limit)
  }

  maxStreams(bidi: boolean, limit: number): Violation | undefined {
    return this.#state.streams.maxStreams(bidi, limit)
  }

  blocked(id: number): Violation | undefined {
    return id < 0 ? undefined : this.#state.streams.blocked(id)
  }

  newConnectionId(
    sequence: number,
    retirePrior: number,
    id: Uint8Array,
    token: Uint8Array,
  ): Violation | undefined {
    return this.#state.remoteIds.add(sequence, retirePrior, id, token)
  }

  retireConnectionId(sequence: number): Violation | undefined {
    const { localIds, peer } = this.#state
    return localIds.retire(sequence, peer?.activeConnectionIdLimit ?? 2)
  }

  pathChallenge(data: Uint8Array): undefined {
    const state = this.#state
    // One answer is remembered: a flood of challenges is answered for the last of them.
    state.pathResponse = copyBytes(data)
    state.pathResponseTo = this.remote
    state.pathResponseRoom = AMPLIFICATION * this.datagramBytes
  }

  pathResponse(data: Uint8Array): undefined {
    const { paths, recovery, now } = this.#state
    if (paths.proved(data)) recovery.reset(now)
  }

  newToken(): Violation | undefined {
    // Kept by nobody: we do not resume.
    return this.#state.client
      ? undefined
      : violation(ErrorCode.protocolViolation, 'a client sends a token')
  }

  handshakeDone(): Violation | undefined {
    if (!this.#state.client) {
      return violation(ErrorCode.protocolViolation, 'a client says that the handshake is done')
    }
    this.#state.confirm()
    return undefined
  }

  datagram(bytes: Uint8Array): Violation | undefined {
    const { datagrams, effects } = this.#state
    if (!datagrams) {
      return violation(ErrorCode.protocolViolation, 'a datagram frame that we do not take')
    }
    const fault = datagrams.received(bytes)
    if (!fault) effects!.datagram?.()
    return fault
  }

  close(application: boolean, code: number, reason: Uint8Array): void {
    const text = new TextDecoder().decode(reason.subarray(0, REASON_BYTES_MAX))
    this.#state.end({ by: 'remote', application, code, reason: text, told: false })
  }

  // Frames of ours.

  acked(kind: number, id: number, offset: number, length: number): void {
    const state = this.#state
    if (kind === Ref.ack) this.space.reported(id)
    else if (kind === Ref.crypto) this.space.cryptoOut.acked(offset, length)
    else if (kind === Ref.retireConnectionId) state.remoteIds.retireAcked(id)
    else if (kind === Ref.mtuProbe) {
      state.recovery.mtu.probeAcked(id, state.now)
      state.recovery.resize()
    } else state.streams.acked(kind, id, offset, length)
  }

  lost(kind: number, id: number, offset: number, length: number): void {
    const state = this.#state
    switch (kind) {
      case Ref.ack:
        return
      case Ref.crypto:
        return this.space.cryptoOut.lost(offset, length)
      case Ref.newConnectionId:
        return state.localIds.lost(id)
      case Ref.retireConnectionId:
        return state.remoteIds.retireLost(id)
      case Ref.mtuProbe:
        return state.recovery.mtu.probeLost(id, state.now)
      case Ref.handshakeDone:
        state.handshakeDoneDue = true
        return
      default:
        return state.streams.lost(kind, id, offset, length)
    }
  }
}
