/**
 * The messages of the topic handshake and of log sync, in postcard, as p2panda 0.7.1 writes them.
 *
 * Bytes that follow a complete message in its frame are ignored, as upstream does. Decoding gives views of the frame:
 * who keeps them copies them.
 */
import {
  malformed,
  PostcardReader,
  PostcardWriter,
  truncated,
  varintLength,
} from '../codec/index.ts'
import { isCurvePoint, type LogId, type NodeId, type TopicId } from '../core/index.ts'
import { WeirError } from '../runtime/index.ts'

export type HandshakeMessage =
  | { readonly type: 'topic'; readonly topic: TopicId }
  | { readonly type: 'done' }

export interface Height {
  readonly author: NodeId
  readonly logId: LogId
  /** Highest sequence number. */
  readonly height: number
}

/** `header` and `body` are views of the frame. */
export interface OperationMessage {
  readonly type: 'operation' | 'live'
  readonly header: Uint8Array
  readonly body: Uint8Array | undefined
}

export type SyncMessage =
  | { readonly type: 'have'; readonly heights: readonly Height[] }
  | { readonly type: 'pre-sync'; readonly operations: number; readonly bytes: number }
  | OperationMessage
  | { readonly type: 'done' }
  | { readonly type: 'close' }

/** What `encodeOperations` needs of an operation. */
export interface Encodable {
  readonly header: Uint8Array
  readonly body: Uint8Array | undefined
}

export interface DecodeOptions {
  /** Most heights in a Have. */
  readonly heightsMax: number
  /** Whether this author is known already, so that its key need not be checked again. Default: none is. */
  known?(author: Uint8Array): boolean
}

/** Fewest bytes of an author in a Have: key, and a map of logs. */
const AUTHOR_BYTES_MIN = 34
const LOG_BYTES_MIN = 34

export function decodeHandshake(frame: Uint8Array): HandshakeMessage {
  const reader = new PostcardReader(frame)
  if (reader.variant(2) === 1) return { type: 'done' }
  return { type: 'topic', topic: reader.exactBytes(32) as TopicId }
}

export function encodeHandshake(message: HandshakeMessage): Uint8Array {
  if (message.type === 'done') return withHead(1, (writer) => writer.variant(1))
  return withHead(34, (writer) => writer.variant(0).lengthBytes(message.topic))
}

/**
 * @throws {WeirError} a `DECODE_` code, or `INCOMPATIBLE_PEER` for a live message of p2panda 0.7.0, which has the header
 *   in another form: `01`, 5 to 8 elements, `01 20`, where 0.7.1 has `01`, a length and `85` to `88`.
 */
export function decodeSync(frame: Uint8Array, options: DecodeOptions): SyncMessage {
  const reader = new PostcardReader(frame)
  const outer = reader.variant(3)
  if (outer === 2) return { type: 'close' }
  if (outer === 1) {
    const count = frame[1]!
    if (count >= 5 && count <= 8 && frame[2] === 1 && frame[3] === 0x20) {
      throw new WeirError(
        'INCOMPATIBLE_PEER',
        'The peer speaks p2panda 0.7.0, whose live messages differ; update it to 0.7.1.',
      )
    }
    return readOperation('live', reader, frame.length)
  }
  switch (reader.variant(4)) {
    case 0:
      return { type: 'have', heights: readHeights(reader, options) }
    case 1:
      return { type: 'pre-sync', operations: reader.u32(), bytes: reader.u32() }
    case 2:
      return readOperation('operation', reader, frame.length)
    default:
      return { type: 'done' }
  }
}

function readOperation(
  type: 'operation' | 'live',
  reader: PostcardReader,
  bytesMax: number,
): OperationMessage {
  const header = reader.lengthBytesView(bytesMax)
  const body = reader.option((inner) => inner.lengthBytesView(bytesMax))
  return { type, header, body }
}

function readHeights(reader: PostcardReader, options: DecodeOptions): Height[] {
  const heights: Height[] = []
  for (let authors = reader.count(options.heightsMax, AUTHOR_BYTES_MIN); authors > 0; authors--) {
    const start = reader.offset
    const author = reader.exactBytes(32) as NodeId
    if (!options.known?.(author) && !isCurvePoint(author)) {
      throw malformed(start, 'an author is no point of the curve')
    }
    const left = options.heightsMax - heights.length
    for (let logs = reader.count(left, LOG_BYTES_MIN); logs > 0; logs--) {
      heights.push({ author, logId: reader.exactBytes(32) as LogId, height: reader.u32() })
    }
  }
  return heights
}

/** @param heights Sorted by author; those of one author follow each other. */
export function encodeHave(heights: readonly Height[]): Uint8Array {
  const authors = [...groups(heights)]
  return withHead(2 + 3 + authors.length * 38 + heights.length * 38, (writer) => {
    writer.variant(0).variant(0).variant(authors.length)
    for (const logs of authors) {
      writer.lengthBytes(logs[0]!.author).variant(logs.length)
      for (const { logId, height } of logs) writer.lengthBytes(logId).u32(height)
    }
  })
}

function* groups(heights: readonly Height[]): Iterable<readonly Height[]> {
  let start = 0
  for (let at = 1; at <= heights.length; at++) {
    if (at < heights.length && sameAuthor(heights[at]!, heights[start]!)) continue
    if (heights.length > 0) yield heights.slice(start, at)
    start = at
  }
}

function sameAuthor(left: Height, right: Height): boolean {
  for (let at = 0; at < 32; at++) if (left.author[at] !== right.author[at]) return false
  return true
}

/** Sums above what fits are cut: they only tell the peer how far it is. */
export function encodePreSync(operations: number, bytes: number): Uint8Array {
  const most = 0xffffffff
  return withHead(12, (writer) => {
    writer.variant(0).variant(1).u32(Math.min(operations, most)).u32(Math.min(bytes, most))
  })
}

export const encodeDone = (): Uint8Array => withHead(2, (writer) => writer.variant(0).variant(3))
export const encodeClose = (): Uint8Array => withHead(1, (writer) => writer.variant(2))

/** Bytes of the frame of one operation. */
export function operationFrameBytes(operation: Encodable, live: boolean): number {
  return 4 + payloadBytes(operation, live)
}

/** Bytes of the frame of an operation, without its length. */
export function payloadBytes({ header, body }: Encodable, live: boolean): number {
  const tags = live ? 1 : 2
  const option = body === undefined ? 1 : 1 + varintLength(body.length) + body.length
  return tags + varintLength(header.length) + header.length + option
}

/** The frames of several operations, one after the other. */
export function encodeOperations(operations: Iterable<Encodable>, live: boolean): Uint8Array {
  let bytes = 0
  for (const operation of operations) bytes += operationFrameBytes(operation, live)
  const writer = new PostcardWriter({ sizeHint: bytes })
  for (const operation of operations) {
    writeHead(writer, payloadBytes(operation, live))
    if (live) writer.byte(1)
    else writer.byte(0).byte(2)
    writer.lengthBytes(operation.header)
    if (operation.body === undefined) writer.byte(0)
    else writer.byte(1).lengthBytes(operation.body)
  }
  return writer.finish()
}

function withHead(sizeHint: number, write: (writer: PostcardWriter) => unknown): Uint8Array {
  const writer = new PostcardWriter({ sizeHint: 4 + sizeHint })
  writeHead(writer, 0)
  write(writer)
  const frame = writer.finish()
  const length = frame.length - 4
  if (length < 1) throw truncated(0, 'a message')
  new DataView(frame.buffer, frame.byteOffset, 4).setUint32(0, length)
  return frame
}

function writeHead(writer: PostcardWriter, length: number): void {
  writer
    .byte(length >>> 24)
    .byte((length >>> 16) & 0xff)
    .byte((length >>> 8) & 0xff)
    .byte(length & 0xff)
}
