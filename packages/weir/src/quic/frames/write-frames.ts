/** Writers of frames: each gives the offset after the frame, and the caller has made sure of the room. */
import { varintSize, writeVarint } from '../packet/varint.ts'
import type { RangeSet } from '../recovery/range-set.ts'
import { FrameType } from './frame-types.ts'

/** Room that a STREAM frame needs beside its bytes. */
export const streamHeadSize = (id: number, offset: number, length: number): number =>
  1 + varintSize(id) + (offset > 0 ? varintSize(offset) : 0) + varintSize(length)

/** Writes the head of a STREAM frame that states its length; the bytes follow. */
export function writeStreamHead(
  bytes: Uint8Array,
  at: number,
  id: number,
  offset: number,
  length: number,
  fin: boolean,
): number {
  bytes[at++] = FrameType.stream | (offset > 0 ? 4 : 0) | 2 | (fin ? 1 : 0)
  at = writeVarint(bytes, at, id)
  if (offset > 0) at = writeVarint(bytes, at, offset)
  return writeVarint(bytes, at, length)
}

export const cryptoHeadSize = (offset: number, length: number): number =>
  1 + varintSize(offset) + varintSize(length)

export function writeCryptoHead(
  bytes: Uint8Array,
  at: number,
  offset: number,
  length: number,
): number {
  bytes[at++] = FrameType.crypto
  at = writeVarint(bytes, at, offset)
  return writeVarint(bytes, at, length)
}

/** A frame of a type and up to three integers. */
export function writeNumbers(
  bytes: Uint8Array,
  at: number,
  type: number,
  a: number,
  b = -1,
  c = -1,
): number {
  bytes[at++] = type
  at = writeVarint(bytes, at, a)
  if (b >= 0) at = writeVarint(bytes, at, b)
  if (c >= 0) at = writeVarint(bytes, at, c)
  return at
}

/** Room without which no ACK frame is written: its first range with the longest integers. */
export const ACK_BYTES_MIN = 1 + 8 + 8 + 2 + 8

/**
 * Writes an ACK frame with the newest ranges that fit before `end`, none below `floor`.
 *
 * @returns the offset after it, or `at` when not even the first range fits.
 */
export function writeAck(
  bytes: Uint8Array,
  at: number,
  end: number,
  received: RangeSet,
  delay: number,
  floor: number,
): number {
  const last = received.count - 1
  if (last < 0 || end - at < ACK_BYTES_MIN) return at
  const largest = received.end(last) - 1
  const start = at
  bytes[at++] = FrameType.ack
  at = writeVarint(bytes, at, largest)
  at = writeVarint(bytes, at, delay)
  // The count is filled in later: always two bytes, as there are at most 64 ranges.
  const countAt = at
  at = writeVarint(bytes, at + 1, largest - received.start(last))
  let count = 0
  let low = received.start(last)
  for (let range = last - 1; range >= 0 && count < 63; range--) {
    if (received.end(range) <= floor) break
    const gap = low - received.end(range) - 1
    const length = received.end(range) - 1 - received.start(range)
    if (end - at < varintSize(gap) + varintSize(length)) break
    at = writeVarint(bytes, at, gap)
    at = writeVarint(bytes, at, length)
    low = received.start(range)
    count++
  }
  bytes[countAt] = count
  return Math.max(at, start)
}

export function writeNewConnectionId(
  bytes: Uint8Array,
  at: number,
  sequence: number,
  retirePrior: number,
  id: Uint8Array,
  token: Uint8Array,
): number {
  at = writeNumbers(bytes, at, FrameType.newConnectionId, sequence, retirePrior)
  bytes[at++] = id.length
  bytes.set(id, at)
  bytes.set(token, at + id.length)
  return at + id.length + 16
}

/** PATH_CHALLENGE or PATH_RESPONSE. */
export function writePath(bytes: Uint8Array, at: number, type: number, data: Uint8Array): number {
  bytes[at++] = type
  bytes.set(data, at)
  return at + 8
}

export function writeClose(
  bytes: Uint8Array,
  at: number,
  application: boolean,
  code: number,
  reason: Uint8Array,
): number {
  bytes[at++] = application ? FrameType.applicationClose : FrameType.connectionClose
  at = writeVarint(bytes, at, code)
  if (!application) at = writeVarint(bytes, at, 0)
  at = writeVarint(bytes, at, reason.length)
  bytes.set(reason, at)
  return at + reason.length
}
