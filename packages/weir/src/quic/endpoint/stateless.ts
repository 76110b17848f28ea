/**
 * Packets that a server sends without a connection: refusals, Retry, version negotiation, stateless resets.
 *
 * Memory: the one datagram buffer of the endpoint.
 */
import { createHmac } from 'node:crypto'
import type { Random } from '../../runtime/index.ts'
import type { PacketSecurity } from '../connection/connection-options.ts'
import { writeClose } from '../frames/write-frames.ts'
import {
  DATAGRAM_BYTES_MIN,
  longHeadSize,
  TAG_BYTES,
  VERSION_1,
  writeIds,
  writeLongHead,
} from '../packet/header.ts'
import { writeVarint2 } from '../packet/varint.ts'

const NOTHING = new Uint8Array(0)

/** An Initial packet that says no. @returns its length. */
export function writeRefusal(
  bytes: Uint8Array,
  security: PacketSecurity,
  initialDestination: Uint8Array,
  peerId: Uint8Array,
  source: Uint8Array,
  code: number,
): number {
  const keys = security.initialKeys(initialDestination, 'server')
  try {
    const headEnd = longHeadSize(true, peerId, source, NOTHING, 1)
    writeLongHead(bytes, 0, 'initial', peerId, source, NOTHING, 1)
    bytes[headEnd - 1] = 0
    const end = writeClose(bytes, headEnd, false, code, NOTHING)
    writeVarint2(bytes, headEnd - 3, 1 + end - headEnd + TAG_BYTES)
    return keys.write.seal(bytes, 0, headEnd, end, 0, 1)
  } finally {
    keys.read[Symbol.dispose]()
    keys.write[Symbol.dispose]()
  }
}

export function writeRetry(
  bytes: Uint8Array,
  tag: (originalDestination: Uint8Array, packet: Uint8Array) => Uint8Array,
  originalDestination: Uint8Array,
  peerId: Uint8Array,
  source: Uint8Array,
  token: Uint8Array,
): number {
  bytes[0] = 0xf0
  let at = writeIds(bytes, 1, VERSION_1, peerId, source)
  bytes.set(token, at)
  at += token.length
  bytes.set(tag(originalDestination, bytes.subarray(0, at)), at)
  return at + TAG_BYTES
}

export function writeNegotiation(
  bytes: Uint8Array,
  peerId: Uint8Array,
  source: Uint8Array,
  random: Random,
): number {
  bytes[0] = 0x80 | random.below(128)
  const at = writeIds(bytes, 1, 0, peerId, source)
  bytes[at] = bytes[at + 1] = bytes[at + 2] = 0
  bytes[at + 3] = VERSION_1
  return at + 4
}

/** The token that ends a reset of the connection with this id. */
export function resetToken(key: Uint8Array, id: Uint8Array): Uint8Array {
  return new Uint8Array(createHmac('sha256', key).update(id).digest().subarray(0, 16))
}

/** A reset is shorter than what it answers, so that two who know nothing of each other fall silent. */
export const RESET_TRIGGER_BYTES_MIN = 43

export function writeReset(
  bytes: Uint8Array,
  token: Uint8Array,
  triggerLength: number,
  random: Random,
): number {
  const length = Math.min(triggerLength - 1, RESET_TRIGGER_BYTES_MIN - 1)
  bytes.set(random.bytes(length - 16), 0)
  bytes[0] = 0x40 | (bytes[0]! & 0x3f)
  bytes.set(token, length - 16)
  return length
}

export const isWholeInitial = (length: number): boolean => length >= DATAGRAM_BYTES_MIN
