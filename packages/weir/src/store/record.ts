/**
 * How one operation lies in a segment: two lengths, flags, payload size, time, id, backlink, then header and body.
 * Author and log id are those of the log, the sequence number follows from the place.
 */
import { type Hash, ID_BYTES } from '../core/index.ts'
import type { LogName, StoredOperation } from './log-store.ts'
import { payloadBytes } from './order.ts'

const NO_BODY = 0xffff_ffff
const AT_BODY_LENGTH = 4
const AT_FLAGS = 8
const AT_PAYLOAD_SIZE = 12
const AT_KEPT = 20
const AT_ID = 28
const AT_BACKLINK = AT_ID + ID_BYTES
const FLAG_PRUNE = 1
const FLAG_BACKLINK = 2

/** What a record costs beside header and body. */
export const RECORD_BYTES = AT_BACKLINK + ID_BYTES

export const recordBytes = (operation: StoredOperation): number =>
  RECORD_BYTES + payloadBytes(operation)

export function writeRecord(
  bytes: Buffer,
  at: number,
  operation: StoredOperation,
  keptMs: number,
): void {
  const { header, body, backlink, prune } = operation
  const flags = (prune ? FLAG_PRUNE : 0) | (backlink ? FLAG_BACKLINK : 0)
  bytes.writeUInt32LE(header.length, at)
  bytes.writeUInt32LE(body ? body.length : NO_BODY, at + AT_BODY_LENGTH)
  bytes.writeUInt32LE(flags, at + AT_FLAGS)
  bytes.writeDoubleLE(operation.payloadSize, at + AT_PAYLOAD_SIZE)
  bytes.writeDoubleLE(keptMs, at + AT_KEPT)
  bytes.set(operation.id, at + AT_ID)
  if (backlink) bytes.set(backlink, at + AT_BACKLINK)
  bytes.set(header, at + RECORD_BYTES)
  if (body) bytes.set(body, at + RECORD_BYTES + header.length)
}

/** Bytes of the record at `at`. */
export function lengthAt(bytes: Buffer, at: number): number {
  const body = bytes.readUInt32LE(at + AT_BODY_LENGTH)
  return bareLengthAt(bytes, at) + (body === NO_BODY ? 0 : body)
}

/** Bytes of the record at `at` without its body. */
export const bareLengthAt = (bytes: Buffer, at: number): number =>
  RECORD_BYTES + bytes.readUInt32LE(at)

export const hasBodyAt = (bytes: Buffer, at: number): boolean =>
  bytes.readUInt32LE(at + AT_BODY_LENGTH) !== NO_BODY

export function clearBodyAt(bytes: Buffer, at: number): void {
  bytes.writeUInt32LE(NO_BODY, at + AT_BODY_LENGTH)
}

/** When the record was kept. */
export const keptAt = (bytes: Buffer, at: number): number => bytes.readDoubleLE(at + AT_KEPT)

export const hasIdAt = (bytes: Buffer, at: number, id: Uint8Array): boolean =>
  bytes.compare(id, 0, ID_BYTES, at + AT_ID, at + AT_ID + ID_BYTES) === 0

/** The operation whose record was copied to `start` of a page; the numbers are read from the record at `at`. */
export function viewRecord(
  log: LogName,
  seq: number,
  page: Uint8Array,
  start: number,
  bytes: Buffer,
  at: number,
): StoredOperation {
  const part = (from: number, to: number) => page.subarray(start + from, start + to)
  const headerEnd = bareLengthAt(bytes, at)
  const flags = bytes.readUInt32LE(at + AT_FLAGS)
  return {
    id: part(AT_ID, AT_BACKLINK) as Hash,
    author: log.author,
    logId: log.logId,
    seq,
    backlink: flags & FLAG_BACKLINK ? (part(AT_BACKLINK, RECORD_BYTES) as Hash) : undefined,
    header: part(RECORD_BYTES, headerEnd),
    body: hasBodyAt(bytes, at) ? part(headerEnd, lengthAt(bytes, at)) : undefined,
    payloadSize: bytes.readDoubleLE(at + AT_PAYLOAD_SIZE),
    prune: (flags & FLAG_PRUNE) !== 0,
  }
}
