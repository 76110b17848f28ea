/** What MemoryStore keeps of a log beside its operations, and the key under which it is found. */
import { equalBytes } from '../codec/index.ts'
import { ID_BYTES, idKey, keyBytes, type LogId, type NodeId } from '../core/index.ts'
import type { LogName, LogState } from './log-store.ts'
import type { Segments } from './segments.ts'
import type { TopicLog } from './topic-index.ts'
import type { WarningLevel } from './watermark.ts'

/** One of a log with operations, or of a frontier: then it has no segments. */
export interface LogRecord {
  readonly key: string
  height: number
  /** The head as a key: a quarter of the memory of an array. */
  head: string
  segments: Segments | undefined
  pinned: boolean
  warned: WarningLevel
  /** First of its links to topics. */
  topics: TopicLog | undefined
}

/** Author and log id in one string; keys order as the pairs do. */
export const logKey = (name: LogName): string => idKey(name.author) + idKey(name.logId)

export const sameLog = (left: LogName, right: LogName): boolean =>
  equalBytes(left.author, right.author) && equalBytes(left.logId, right.logId)

export function logName(key: string): LogName {
  const bytes = keyBytes(key)
  return {
    author: bytes.subarray(0, ID_BYTES) as NodeId,
    logId: bytes.subarray(ID_BYTES) as LogId,
  }
}

export function logState(record: LogRecord): LogState {
  const { segments, height } = record
  return {
    ...logName(record.key),
    height,
    head: keyBytes(record.head) as LogState['head'],
    from: segments?.from ?? height + 1,
    operations: segments?.operations ?? 0,
    bytes: segments?.bytes ?? 0,
  }
}
