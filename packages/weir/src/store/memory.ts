/** What the stores may hold, as terms of the plan. */
import {
  BUFFER_SHELL_BYTES,
  MAP_NODE_BYTES,
  OBJECT_BYTES,
  pool,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from '../bounds/index.ts'
import { ID_BYTES } from '../core/index.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** A log's record beside its operations: node, key, the record, the head, its segments, the account. */
const LOG_SHELL_BYTES = MAP_NODE_BYTES + 2 * STRING_SHELL_BYTES + 3 * ID_BYTES + 3 * OBJECT_BYTES
/** What is remembered of a log that has no operations left. */
const FRONTIER_SHELL_BYTES =
  MAP_NODE_BYTES + 2 * STRING_SHELL_BYTES + 3 * ID_BYTES + 2 * OBJECT_BYTES

export interface MemoryStoreLimits {
  /** Operations of all logs. Default 16 384. */
  readonly operationsMax?: number
  /** Bytes of all logs with all that the operations cost: 92 each, and the ends of segments. Default 32 MiB. */
  readonly bytesMax?: number
  /** Operations of one log. Default `operationsMax`. */
  readonly operationsPerLogMax?: number
  /** Bytes of one log. Default `bytesMax`. */
  readonly bytesPerLogMax?: number
  /** Logs with operations. Default 256; about 0.8 KB each. */
  readonly logsMax?: number
  /** Logs without operations of which height and head are remembered. Default 1 024; about 0.5 KB each. */
  readonly frontiersMax?: number
  /** Topics with at least one log. Default 64. */
  readonly topicsMax?: number
  /** Pairs of a topic and a log. Default `logsMax + frontiersMax`: one topic a log. */
  readonly topicLogsMax?: number
  /** Logs that are never evicted. Default 16. */
  readonly pinsMax?: number
  /** Small values of the owner. Default 64, 16 KiB together. */
  readonly metaMax?: number
  readonly metaBytesMax?: number
}

export type MemoryStoreTerms = Terms<
  'bytes' | 'log' | 'operations' | 'logs' | 'frontiers' | 'topics' | 'topicLogs' | 'pins' | 'meta'
>

export function memoryStoreTerms(limits: MemoryStoreLimits = {}): MemoryStoreTerms {
  const operationsMax = limits.operationsMax ?? 16_384
  const bytesMax = limits.bytesMax ?? 32 * MIB
  const logsMax = limits.logsMax ?? 256
  const frontiersMax = limits.frontiersMax ?? 1_024
  const bytes = pool({
    name: 'store.bytes',
    why: 'segments with the operations of all logs',
    arena: 'buffers',
    payloadBytesMax: bytesMax,
  })
  return {
    bytes,
    log: term({
      name: 'store.log',
      why: 'operations and segments of one log',
      arena: 'buffers',
      instancesMax: logsMax,
      entriesMax: limits.operationsPerLogMax ?? operationsMax,
      payloadBytesMax: Math.min(limits.bytesPerLogMax ?? bytesMax, bytesMax),
      pool: bytes,
    }),
    operations: term({
      name: 'store.operations',
      why: 'operations of all logs, counted; their bytes are in store.bytes',
      entriesMax: operationsMax,
    }),
    logs: term({
      name: 'store.logs',
      why: 'logs with operations: name, head, account',
      table: 'map',
      entriesMax: logsMax,
      shellBytes: LOG_SHELL_BYTES,
      shedAt: 2,
    }),
    frontiers: term({
      name: 'store.frontiers',
      why: 'height and head of logs whose operations are gone, so that sync does not fetch them again',
      table: 'map',
      entriesMax: frontiersMax,
      shellBytes: FRONTIER_SHELL_BYTES,
      overflow: 'evict',
      // A log that is evicted under pressure moves here, which frees more than it takes.
      shedAt: 'never',
    }),
    topics: term({
      name: 'store.topics',
      why: 'topics with at least one log',
      table: 'map',
      entriesMax: limits.topicsMax ?? 64,
      shellBytes: MAP_NODE_BYTES + STRING_SHELL_BYTES + ID_BYTES + OBJECT_BYTES,
    }),
    topicLogs: term({
      name: 'store.topic-logs',
      why: 'which logs belong to which topic',
      entriesMax: limits.topicLogsMax ?? logsMax + frontiersMax,
      shellBytes: OBJECT_BYTES,
      shedAt: 2,
    }),
    pins: term({
      name: 'store.pins',
      why: 'names of the logs that are never evicted',
      table: 'map',
      entriesMax: limits.pinsMax ?? 16,
      shellBytes: MAP_NODE_BYTES + STRING_SHELL_BYTES + 2 * ID_BYTES,
      shedAt: 'never',
    }),
    meta: metaTerm(limits.metaMax, limits.metaBytesMax),
  }
}

/** What SQLite holds for a connection beside its pages: statements, parser, look-aside, index of the log. */
export const SQLITE_CONNECTION_BYTES = 512 * KIB

/** A call that waits: four promises, the closures between them and its arguments. */
const CALL_BYTES = 640

export interface SqliteStoreMemory {
  /** Page cache of SQLite. Default 2 MiB; less makes large stores read more. */
  readonly cacheBytes?: number
  /** Calls that wait for the one before them. Default 1 024; more fail with `LIMIT`. */
  readonly callsMax?: number
}

export type SqliteStoreTerms = Terms<'cache' | 'calls'>

export function sqliteStoreTerms(limits: SqliteStoreMemory = {}): SqliteStoreTerms {
  return {
    cache: term({
      name: 'store.sqlite',
      why: 'page cache, statements and connection of the SQLite file',
      arena: 'native',
      payloadBytesMax: SQLITE_CONNECTION_BYTES + (limits.cacheBytes ?? 2 * MIB),
      shedAt: 'never',
    }),
    calls: term({
      name: 'store.sqlite-calls',
      why: 'calls that wait for the one before them',
      entriesMax: limits.callsMax ?? 1_024,
      shellBytes: CALL_BYTES,
      shedAt: 'never',
    }),
  }
}

function metaTerm(metaMax = 64, metaBytesMax = 16 * KIB) {
  return term({
    name: 'store.meta',
    why: 'small values of the owner: an incarnation, a cursor',
    table: 'map',
    entriesMax: metaMax,
    shellBytes: MAP_NODE_BYTES + STRING_SHELL_BYTES + BUFFER_SHELL_BYTES,
    payloadBytesMax: metaBytesMax,
    shedAt: 'never',
  })
}
