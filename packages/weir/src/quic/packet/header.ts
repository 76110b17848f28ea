/**
 * Packet headers of QUIC version 1 (RFC 9000 section 17), read into one reusable record of offsets.
 *
 * Reading checks every length against the datagram and holds no memory. Connection ids of ours have a fixed length,
 * which is how short headers are read.
 */
import { type Cursor, varintSize, writeVarint } from './varint.ts'

export const VERSION_1 = 1
/** Length of the connection ids that we choose. */
export const CID_BYTES = 8
export const CID_BYTES_MAX = 20
export const TAG_BYTES = 16
/** The least size of a datagram that carries an Initial, and the largest that we send unprobed. */
export const DATAGRAM_BYTES_MIN = 1200

export type PacketType = 'initial' | 'zeroRtt' | 'handshake' | 'retry' | 'short' | 'negotiation'

const LONG_TYPES: readonly PacketType[] = Object.freeze([
  'initial',
  'zeroRtt',
  'handshake',
  'retry',
])

/** Offsets into the datagram that was read last. */
export class PacketHead {
  type: PacketType = 'short'
  version = VERSION_1
  start = 0
  /** After this packet, where the next coalesced one begins. */
  end = 0
  destinationAt = 0
  destinationLength = 0
  sourceAt = 0
  sourceLength = 0
  tokenAt = 0
  tokenLength = 0
  /** Where the protected packet number is. */
  numberAt = 0
}

/**
 * Reads the header of the packet at the cursor and moves the cursor behind the packet.
 *
 * @returns false when it is no packet of QUIC: the rest of the datagram is of no use. A long header of another version
 *   is read up to its connection ids.
 */
export function readHead(cursor: Cursor, head: PacketHead): boolean {
  head.start = cursor.at
  const first = cursor.byte()
  if (cursor.failed) return false
  if ((first & 0x80) === 0) return readShort(cursor, head, first)
  head.version = cursor.uint32()
  head.destinationLength = cursor.byte()
  head.destinationAt = cursor.skip(head.destinationLength)
  head.sourceLength = cursor.byte()
  head.sourceAt = cursor.skip(head.sourceLength)
  if (cursor.failed) return false
  head.tokenAt = cursor.at
  head.tokenLength = 0
  if (head.version === 0) {
    head.type = 'negotiation'
    head.numberAt = cursor.at
    head.end = cursor.at = cursor.end
    return true
  }
  if (head.version !== VERSION_1) {
    head.type = LONG_TYPES[(first >>> 4) & 3]!
    head.end = cursor.at = cursor.end
    return true
  }
  const idsFit = head.destinationLength <= CID_BYTES_MAX && head.sourceLength <= CID_BYTES_MAX
  if ((first & 0x40) === 0 || !idsFit) return false
  head.type = LONG_TYPES[(first >>> 4) & 3]!
  if (head.type === 'retry') {
    head.tokenLength = cursor.left - TAG_BYTES
    if (head.tokenLength <= 0) return false
    head.end = cursor.at = cursor.end
    return true
  }
  if (head.type === 'initial') {
    head.tokenLength = cursor.varint()
    head.tokenAt = cursor.skip(head.tokenLength)
  }
  const length = cursor.varint()
  head.numberAt = cursor.at
  cursor.skip(length)
  head.end = cursor.at
  // A packet number of up to 4 bytes and the sample of the header protection after it.
  return !cursor.failed && length >= 4 + TAG_BYTES
}

function readShort(cursor: Cursor, head: PacketHead, first: number): boolean {
  head.type = 'short'
  head.version = VERSION_1
  head.destinationLength = CID_BYTES
  head.destinationAt = cursor.skip(CID_BYTES)
  head.sourceLength = 0
  head.tokenLength = 0
  head.numberAt = cursor.at
  const readable = (first & 0x40) !== 0 && !cursor.failed && cursor.left >= 4 + TAG_BYTES
  head.end = cursor.at = cursor.end
  return readable
}

/** Bytes of a long header with a length field of two bytes and a packet number of this length. */
export function longHeadSize(
  initial: boolean,
  destination: Uint8Array,
  source: Uint8Array,
  token: Uint8Array,
  numberLength: number,
): number {
  const tokenSize = initial ? varintSize(token.length) + token.length : 0
  return 1 + 4 + 1 + destination.length + 1 + source.length + tokenSize + 2 + numberLength
}

/**
 * Writes a long header up to its length field, which the caller fills in two bytes later.
 *
 * @returns where the length field is; the packet number comes two bytes after it.
 */
export function writeLongHead(
  bytes: Uint8Array,
  at: number,
  type: 'initial' | 'handshake',
  destination: Uint8Array,
  source: Uint8Array,
  token: Uint8Array,
  numberLength: number,
): number {
  bytes[at++] = 0xc0 | (type === 'initial' ? 0 : 0x20) | (numberLength - 1)
  at = writeIds(bytes, at, VERSION_1, destination, source)
  if (type === 'initial') {
    at = writeVarint(bytes, at, token.length)
    bytes.set(token, at)
    at += token.length
  }
  return at
}

export function writeIds(
  bytes: Uint8Array,
  at: number,
  version: number,
  destination: Uint8Array,
  source: Uint8Array,
): number {
  bytes[at++] = version >>> 24
  bytes[at++] = version >>> 16
  bytes[at++] = version >>> 8
  bytes[at++] = version
  bytes[at++] = destination.length
  bytes.set(destination, at)
  at += destination.length
  bytes[at++] = source.length
  bytes.set(source, at)
  return at + source.length
}

/** Writes the packet number, cut to its length. */
export function writeNumber(
  bytes: Uint8Array,
  at: number,
  packetNumber: number,
  length: number,
): number {
  let rest = packetNumber % 2 ** (8 * length)
  for (let byte = length - 1; byte >= 0; byte--) {
    bytes[at + byte] = rest & 255
    rest = Math.floor(rest / 256)
  }
  return at + length
}

export function readNumber(bytes: Uint8Array, at: number, length: number): number {
  let value = 0
  for (let byte = 0; byte < length; byte++) value = value * 256 + bytes[at + byte]!
  return value
}
