/** Operations for the tests of this folder: a store never verifies, so ids are numbers and not hashes. */
import {
  type Hash,
  hashId,
  type LogId,
  logId,
  type NodeId,
  nodeId,
  topicId,
} from '../core/index.ts'
import type { LogName, StoredOperation } from './log-store.ts'

export interface OperationOptions {
  readonly seq: number
  readonly log?: LogName
  /** Another branch gives the operation another id. */
  readonly branch?: number
  /** Branch of the operation that the backlink names. Default `branch`. */
  readonly backlinkBranch?: number
  readonly headerBytes?: number
  /** Default 16; undefined for none. */
  readonly bodyBytes?: number | undefined
  readonly prune?: boolean
}

export const author = (index: number): NodeId => nodeId(numbered(1, index))
export const log = (authorIndex: number, logIndex = 0): LogName => ({
  author: author(authorIndex),
  logId: logId(numbered(2, logIndex)),
})
export const topic = (index: number) => topicId(numbered(3, index))
export const LOG = Object.freeze(log(1))
export const TOPIC = topic(1)

export const operationId = (name: LogName, seq: number, branch = 0): Hash =>
  hashId(numbered(4, seq, branch, name.author[4]!, name.logId[4]!))

export function operation(options: OperationOptions): StoredOperation {
  const name = options.log ?? LOG
  const { seq, branch = 0 } = options
  const bodyBytes = 'bodyBytes' in options ? options.bodyBytes : 16
  const id = operationId(name, seq, branch)
  return {
    id,
    author: name.author,
    logId: name.logId as LogId,
    seq,
    backlink: seq === 0 ? undefined : operationId(name, seq - 1, options.backlinkBranch ?? branch),
    header: filled(options.headerBytes ?? 24, seq + branch),
    body: bodyBytes === undefined ? undefined : filled(bodyBytes, seq + branch + 1),
    payloadSize: bodyBytes ?? 0,
    prune: options.prune ?? false,
  }
}

/** Operations `from` to `until`, each on the one before. */
export function run(
  from: number,
  until: number,
  options: Omit<OperationOptions, 'seq'> = {},
): StoredOperation[] {
  return Array.from({ length: until - from + 1 }, (_, index) =>
    operation({ ...options, seq: from + index }),
  )
}

function numbered(kind: number, ...numbers: number[]): Uint8Array {
  const bytes = new Uint8Array(32)
  const view = new DataView(bytes.buffer)
  bytes[0] = kind
  // Big-endian in one byte and six more, so that the order of the numbers is that of the bytes.
  for (const [index, number] of numbers.entries()) {
    view.setUint32(1 + 7 * index, number)
    if (number > 0xffff_ffff) view.setUint16(5 + 7 * index, Math.floor(number / 2 ** 32))
  }
  return bytes
}

function filled(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at++) bytes[at] = (seed * 31 + at) & 255
  return bytes
}
