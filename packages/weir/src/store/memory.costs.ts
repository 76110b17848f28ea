/** How the terms of the stores are filled for `npm run costs`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Account, BoundedMap, type CostCase, Ledger, planMemory } from '../bounds/index.ts'
import { idKey } from '../core/index.ts'
import { CallQueue } from './call-queue.ts'
import { author, LOG, log, operation, TOPIC } from './fixtures.ts'
import { type LogRecord, logKey } from './log-record.ts'
import { memoryStoreTerms, SQLITE_CONNECTION_BYTES, sqliteStoreTerms } from './memory.ts'
import { Segments } from './segments.ts'
import { Database } from './sqlite-database.ts'
import { migrate } from './sqlite-schema.ts'
import { prepareStatements } from './sqlite-statements.ts'
import { TopicIndex } from './topic-index.ts'

const OPERATIONS = 512
const BODY_BYTES = 1_024
const HEADER_BYTES = 253
/** 512 operations with what is beside them. */
const LOG_BYTES = 720_000
const META_BYTES = 128

const terms = memoryStoreTerms({
  operationsMax: OPERATIONS,
  bytesMax: LOG_BYTES,
  logsMax: 256,
  frontiersMax: 256,
  topicLogsMax: 512,
  metaBytesMax: 64 * META_BYTES,
})
const sqlite = sqliteStoreTerms()

/** Accounts that a filling needs beside the one that is measured, from a ledger of their own. */
const wide = memoryStoreTerms({ operationsMax: 2 ** 30, bytesMax: 2 ** 40, topicsMax: 2 ** 17 })
const besides = new Ledger(planMemory(Object.values(wide), { limitBytes: 2 ** 52 }))
const totals = { operations: besides.require(wide.operations), bytes: 0 }

function emptySegments(account: Account): Segments {
  return new Segments({
    account,
    totals,
    segmentBytes: 65_536,
    allocate: Buffer.allocUnsafeSlow,
  })
}

function record(index: number, at: number, segments: Segments | undefined): LogRecord {
  const name = { author: author(index), logId: log(0, at).logId }
  const head = idKey(operation({ seq: at, log: name }).id)
  const key = logKey(name)
  return { key, height: at, head, segments, pinned: false, warned: 0, topics: undefined }
}

function fillRecords(account: Account, index: number, segments: () => Segments | undefined) {
  const map = new BoundedMap<string, LogRecord>(account)
  for (let at = 0; at < account.term.entriesMax; at++) {
    const each = record(index, at, segments())
    map.set(each.key, each)
  }
  return map
}

/** A string of its own, as one that came from bytes is. */
const ownString = (seed: number, length: number) =>
  Buffer.from(String(1e9 + seed).padEnd(length, 'x')).toString('latin1')

let ownAccount: Account | undefined
let topicsAccount: Account | undefined
let linked: LogRecord[] | undefined

async function fillCache(account: Account): Promise<unknown> {
  account.require(account.term.payloadBytesMax)
  const directory = mkdtempSync(join(tmpdir(), 'weir-costs-'))
  const database = new Database({
    path: join(directory, 'store.db'),
    cacheBytes: account.term.payloadBytesMax - SQLITE_CONNECTION_BYTES,
  })
  migrate(database)
  const statements = prepareStatements(database)
  database.begin()
  const log = statements.insertLog.run(LOG.author, LOG.logId, 0, TOPIC, 0).rowId
  for (let seq = 0; seq < 4_000; seq++) {
    const { id, header, body } = operation({
      seq,
      headerBytes: HEADER_BYTES,
      bodyBytes: BODY_BYTES,
    })
    statements.insertOperation.run(log, seq, id, null, BODY_BYTES, 0, header, body!)
  }
  database.commit()
  statements.measure.get(log, 0, 4_000)
  // Open files outlive their names.
  rmSync(directory, { recursive: true })
  return { database, statements }
}

export const costs: readonly CostCase[] = Object.freeze([
  {
    term: terms.log,
    variant: 'operations of 1 KiB',
    fill(account: Account) {
      const segments = emptySegments(account)
      for (let seq = 0; seq < OPERATIONS; seq++) {
        const each = operation({ seq, headerBytes: HEADER_BYTES, bodyBytes: BODY_BYTES })
        segments.append(each, 0, account.freeBytes)
      }
      return segments
    },
  },
  {
    // Counted only: their bytes are in the segments.
    term: terms.operations,
    fill(account: Account) {
      account.require(0, account.term.entriesMax)
      return account
    },
  },
  {
    term: terms.logs,
    fill(account: Account, index: number) {
      const own = (ownAccount ??= besides.require(wide.log))
      return fillRecords(account, index, () => emptySegments(own))
    },
  },
  {
    term: terms.frontiers,
    fill: (account: Account, index: number) => fillRecords(account, index, () => undefined),
  },
  {
    term: terms.topics,
    fill(account: Account, index: number) {
      const map = new BoundedMap<string, unknown>(account)
      for (let at = 0; at < account.term.entriesMax; at++) {
        const key = ownString(index * 64 + at, 32)
        map.set(key, { key, logs: undefined })
      }
      return map
    },
  },
  {
    term: terms.topicLogs,
    fill(account: Account) {
      linked ??= Array.from({ length: 512 }, (_, at) => record(0, at, undefined))
      topicsAccount ??= besides.require(wide.topics)
      const topics = new TopicIndex(topicsAccount, account)
      for (const each of linked) topics.add(TOPIC, each)
      return topics
    },
  },
  {
    term: terms.pins,
    fill(account: Account, index: number) {
      const map = new BoundedMap<string, true>(account)
      for (let at = 0; at < account.term.entriesMax; at++)
        map.set(ownString(index * 16 + at, 64), true)
      return map
    },
  },
  {
    term: terms.meta,
    fill(account: Account, index: number) {
      const map = new BoundedMap<string, Uint8Array>(account, { bytesOf: () => META_BYTES })
      for (let at = 0; at < account.term.entriesMax; at++) {
        map.set(ownString(index * 64 + at, 28), new Uint8Array(META_BYTES - 28))
      }
      return map
    },
  },
  {
    term: sqlite.calls,
    fill(account: Account) {
      const queue = new CallQueue(account)
      const never = new Promise<void>(() => {})
      const calls: Promise<unknown>[] = []
      for (let at = 0; at < account.term.entriesMax; at++) calls.push(queue.run(() => never))
      // Who waits is held by what is waited for.
      return { queue, calls, never }
    },
  },
  { term: sqlite.cache, fill: fillCache },
])
