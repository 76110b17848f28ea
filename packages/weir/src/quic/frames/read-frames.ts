/**
 * Reads the frames of one packet into a sink.
 *
 * Every length is checked against the packet; nothing is held. What is not allowed at an encryption level is a
 * violation (RFC 9000 section 12.4, table 3).
 */
import type { Level } from '../contract.ts'
import { ErrorCode, type Violation, violation } from '../packet/errors.ts'
import { CID_BYTES_MAX } from '../packet/header.ts'
import type { Cursor } from '../packet/varint.ts'
import { type FrameSink, FrameType } from './frame-types.ts'

const OFFSET_MAX = 2 ** 62
const STREAMS_MAX = 2 ** 60

/** What a packet asked for beside its frames: bits of the answer of `readFrames`. */
export const ELICITS = 1
/** It holds a frame that is not for probing a path. */
export const NON_PROBING = 2

const malformed = (what: string) =>
  violation(ErrorCode.frameEncoding, `${what} is not encoded as it must be`)

/** @returns bits (`ELICITS`, `NON_PROBING`), or what is wrong with the packet. */
export function readFrames(cursor: Cursor, level: Level, sink: FrameSink): number | Violation {
  if (cursor.left === 0) return violation(ErrorCode.protocolViolation, 'a packet without frames')
  let bits = 0
  while (cursor.left > 0) {
    const typeAt = cursor.at
    const type = cursor.varint()
    if (type === FrameType.padding) continue
    if (cursor.failed || (type < 0x40 && cursor.at - typeAt !== 1)) return malformed('a frame type')
    if (level !== 'application' && !isHandshakeFrame(type)) {
      return violation(ErrorCode.protocolViolation, `frame ${type} in a handshake packet`)
    }
    const fault = readFrame(cursor, type, sink)
    if (cursor.failed) return malformed(`frame ${type}`)
    if (fault) return fault
    bits |= bitsOf(type)
  }
  return bits
}

function isHandshakeFrame(type: number): boolean {
  return type <= FrameType.ackEcn || type === FrameType.crypto || type === FrameType.connectionClose
}

function bitsOf(type: number): number {
  switch (type) {
    case FrameType.ack:
    case FrameType.ackEcn:
    case FrameType.connectionClose:
    case FrameType.applicationClose:
      return NON_PROBING
    case FrameType.newConnectionId:
    case FrameType.pathChallenge:
    case FrameType.pathResponse:
      return ELICITS
    default:
      return ELICITS | NON_PROBING
  }
}

function readFrame(cursor: Cursor, type: number, sink: FrameSink): Violation | undefined {
  if (type >= FrameType.stream && type < FrameType.maxData) return readStream(cursor, type, sink)
  switch (type) {
    case FrameType.ping:
      return undefined
    case FrameType.ack:
    case FrameType.ackEcn:
      return readAck(cursor, type, sink)
    case FrameType.resetStream: {
      const id = cursor.varint()
      const code = cursor.varint()
      const size = cursor.varint()
      return cursor.failed ? undefined : sink.resetStream(id, code, size)
    }
    case FrameType.stopSending: {
      const id = cursor.varint()
      const code = cursor.varint()
      return cursor.failed ? undefined : sink.stopSending(id, code)
    }
    case FrameType.crypto: {
      const offset = cursor.varint()
      const bytes = lengthed(cursor)
      if (!bytes) return undefined
      return offset + bytes.length > OFFSET_MAX ? malformed('crypto') : sink.crypto(offset, bytes)
    }
    case FrameType.newToken: {
      const token = lengthed(cursor)
      if (!token) return undefined
      return token.length === 0 ? malformed('an empty token') : sink.newToken(token)
    }
    case FrameType.maxData: {
      const limit = cursor.varint()
      return cursor.failed ? undefined : sink.maxData(limit)
    }
    case FrameType.maxStreamData: {
      const id = cursor.varint()
      const limit = cursor.varint()
      return cursor.failed ? undefined : sink.maxStreamData(id, limit)
    }
    case FrameType.maxStreamsBidi:
    case FrameType.maxStreamsUni: {
      const limit = cursor.varint()
      if (cursor.failed) return undefined
      if (limit > STREAMS_MAX) return malformed('a stream limit')
      return sink.maxStreams(type === FrameType.maxStreamsBidi, limit)
    }
    case FrameType.dataBlocked:
    case FrameType.streamsBlockedBidi:
    case FrameType.streamsBlockedUni: {
      const limit = cursor.varint()
      if (cursor.failed) return undefined
      if (type !== FrameType.dataBlocked && limit > STREAMS_MAX) return malformed('a stream limit')
      return sink.blocked(-1)
    }
    case FrameType.streamDataBlocked: {
      const id = cursor.varint()
      cursor.varint()
      return cursor.failed ? undefined : sink.blocked(id)
    }
    default:
      return readRare(cursor, type, sink)
  }
}

function readRare(cursor: Cursor, type: number, sink: FrameSink): Violation | undefined {
  switch (type) {
    case FrameType.newConnectionId: {
      const sequence = cursor.varint()
      const retirePrior = cursor.varint()
      const length = cursor.byte()
      const id = view(cursor, length)
      const token = view(cursor, 16)
      if (!id || !token) return undefined
      const fits = length >= 1 && length <= CID_BYTES_MAX && retirePrior <= sequence
      if (!fits) return malformed('a new connection id')
      return sink.newConnectionId(sequence, retirePrior, id, token)
    }
    case FrameType.retireConnectionId: {
      const sequence = cursor.varint()
      return cursor.failed ? undefined : sink.retireConnectionId(sequence)
    }
    case FrameType.pathChallenge:
    case FrameType.pathResponse: {
      const data = view(cursor, 8)
      if (!data) return undefined
      return type === FrameType.pathChallenge ? sink.pathChallenge(data) : sink.pathResponse(data)
    }
    case FrameType.connectionClose:
    case FrameType.applicationClose: {
      const code = cursor.varint()
      if (type === FrameType.connectionClose) cursor.varint()
      const reason = lengthed(cursor)
      if (reason) sink.close(type === FrameType.applicationClose, code, reason)
      return undefined
    }
    case FrameType.handshakeDone:
      return sink.handshakeDone()
    case FrameType.datagram:
    case FrameType.datagramLength: {
      const bytes = type === FrameType.datagram ? view(cursor, cursor.left) : lengthed(cursor)
      return bytes ? sink.datagram(bytes) : undefined
    }
    default:
      return violation(ErrorCode.frameEncoding, `there is no frame type ${type}`)
  }
}

function readStream(cursor: Cursor, type: number, sink: FrameSink): Violation | undefined {
  const id = cursor.varint()
  const offset = type & 4 ? cursor.varint() : 0
  const length = type & 2 ? cursor.varint() : cursor.left
  const start = cursor.skip(length)
  if (cursor.failed) return undefined
  if (offset + length >= OFFSET_MAX) return malformed('a stream offset')
  return sink.stream(id, offset, cursor.bytes, start, length, (type & 1) !== 0)
}

function readAck(cursor: Cursor, type: number, sink: FrameSink): Violation | undefined {
  let high = cursor.varint()
  const delay = cursor.varint()
  const count = cursor.varint()
  let low = high - cursor.varint()
  if (cursor.failed) return undefined
  if (low < 0) return malformed('an acknowledgement')
  const fault = sink.ack(high, delay)
  if (fault) return fault
  sink.ackRange(low, high)
  for (let range = 0; range < count; range++) {
    high = low - cursor.varint() - 2
    low = high - cursor.varint()
    if (cursor.failed) return undefined
    if (low < 0) return malformed('an acknowledgement')
    sink.ackRange(low, high)
  }
  if (type === FrameType.ackEcn) for (let each = 0; each < 3; each++) cursor.varint()
  return cursor.failed ? undefined : sink.ackEnd()
}

function view(cursor: Cursor, length: number): Uint8Array | undefined {
  const start = cursor.skip(length)
  return cursor.failed ? undefined : cursor.bytes.subarray(start, start + length)
}

function lengthed(cursor: Cursor): Uint8Array | undefined {
  const length = cursor.varint()
  return cursor.failed ? undefined : view(cursor, length)
}
