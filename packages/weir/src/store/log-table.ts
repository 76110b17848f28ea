/**
 * The logs of a MemoryStore: those with operations, and the frontiers of those without. A log moves between the two
 * and is never in both; a pinned one stays among the logs.
 *
 * Memory: the terms of `memoryStoreTerms`; every container here is charged to one of them, and one account per log
 * is open while it is among the logs.
 */
import { type Account, BoundedMap, type Exit, type Ledger, limitError } from '../bounds/index.ts'
import { isKeyOf } from '../core/index.ts'
import { assert } from '../runtime/index.ts'
import { type LogRecord, logKey } from './log-record.ts'
import type { LogName, StoredOperation } from './log-store.ts'
import type { MemoryStoreTerms } from './memory.ts'
import { judge } from './order.ts'
import { Segments, type Totals } from './segments.ts'
import { TopicIndex } from './topic-index.ts'

/** Capacity up to which segments grow; less when a cap is small, so that an eviction takes a small part of a log. */
const SEGMENT_BYTES_MAX = 64 * 1024
const SEGMENTS_PER_LOG_MIN = 16

export interface LogTableOptions {
  readonly ledger: Ledger
  readonly terms: MemoryStoreTerms
  readonly allocate: (bytes: number) => Buffer
}

export class LogTable implements Disposable {
  readonly topics: TopicIndex
  readonly totals: Totals
  readonly #options: LogTableOptions
  readonly #segmentBytes: number
  readonly #logs: BoundedMap<string, LogRecord>
  readonly #frontiers: BoundedMap<string, LogRecord>
  readonly #pins: BoundedMap<string, true>

  constructor(options: LogTableOptions) {
    const { ledger, terms } = options
    this.#options = options
    this.topics = new TopicIndex(ledger.require(terms.topics), ledger.require(terms.topicLogs))
    this.totals = { operations: ledger.require(terms.operations), bytes: 0 }
    this.#segmentBytes = Math.min(
      SEGMENT_BYTES_MAX,
      Math.floor(terms.log.payloadBytesMax / SEGMENTS_PER_LOG_MIN),
    )
    this.#logs = new BoundedMap(ledger.require(terms.logs))
    this.#frontiers = new BoundedMap<string, LogRecord>(ledger.require(terms.frontiers), {
      onExit: (_key, record, why) => {
        // Revived or deleted by us it is `removed`; what leaves otherwise is forgotten with its topics.
        if (why !== 'removed') this.topics.removeLog(record)
      },
    })
    this.#pins = new BoundedMap(ledger.require(terms.pins))
  }

  get logs(): number {
    return this.#logs.size
  }

  /** A log or a frontier, without a trace of the looking. */
  find(key: string): LogRecord | undefined {
    return this.#logs.peek(key) ?? this.#frontiers.peek(key)
  }

  /** A log or a frontier, which becomes the most recently used one. */
  use(key: string): LogRecord | undefined {
    return this.#logs.get(key) ?? this.#frontiers.get(key)
  }

  /** What an operation is to a log, before room is looked at. */
  judge(record: LogRecord | undefined, operation: StoredOperation) {
    if (!record || record.height < 0) return judge(undefined, operation)
    return judge(
      {
        height: record.height,
        isHead: (id) => isKeyOf(record.head, id),
        hasAt: (seq, id) => record.segments?.hasAt(seq, id),
      },
      operation,
    )
  }

  /** Makes a log that can take operations, or takes a frontier back among the logs; undefined when there is no room. */
  open(key: string): (LogRecord & { segments: Segments }) | undefined {
    const known = this.find(key)
    if (known?.segments) return known as LogRecord & { segments: Segments }
    const account = this.#openAccount()
    if (!account) return undefined
    const segments = new Segments({
      account,
      totals: this.totals,
      segmentBytes: this.#segmentBytes,
      allocate: this.#options.allocate,
    })
    const record = known ?? {
      key,
      height: -1,
      head: '',
      segments,
      pinned: this.#pins.has(key),
      warned: 0,
      topics: undefined,
    }
    if (this.#logs.set(key, record) !== 'ok') {
      segments[Symbol.dispose]()
      return undefined
    }
    if (known) this.#frontiers.delete(key)
    record.segments = segments
    return record as LogRecord & { segments: Segments }
  }

  /** Puts a log without operations where it belongs: among the frontiers, or nowhere when it never had one. */
  settle(record: LogRecord): void {
    const { segments } = record
    if (!segments || segments.operations > 0) return
    if (record.pinned && record.height >= 0) return
    segments[Symbol.dispose]()
    record.segments = undefined
    this.#logs.delete(record.key)
    const remembered = record.height >= 0 && this.#frontiers.set(record.key, record) === 'ok'
    if (!remembered) this.topics.removeLog(record)
  }

  /** Forgets a log: operations, height, topics. */
  remove(record: LogRecord): void {
    record.segments?.[Symbol.dispose]()
    record.segments = undefined
    this.#logs.delete(record.key)
    this.#frontiers.delete(record.key)
    this.topics.removeLog(record)
  }

  /** The log that was not used for longest and may lose operations; it has some. */
  leastRecent(except?: LogRecord): (LogRecord & { segments: Segments }) | undefined {
    for (const record of this.#logs.values()) {
      if (record === except || record.pinned) continue
      if (record.segments && record.segments.operations > 0) {
        return record as LogRecord & { segments: Segments }
      }
    }
    return undefined
  }

  *records(): IterableIterator<LogRecord> {
    yield* this.#logs.values()
  }

  *pinned(): IterableIterator<LogRecord> {
    for (const key of this.#pins.keys()) {
      const record = this.#logs.peek(key)
      if (record) yield record
    }
  }

  pin(name: LogName): void {
    const key = logKey(name)
    if (this.#pins.has(key)) return
    const admission = this.#pins.set(key, true)
    if (admission !== 'ok') throw limitError(this.#pins.account, admission, 0)
    const record = this.find(key)
    if (!record) return
    // A frontier may be forgotten, a pinned log may not.
    if (!record.segments && !this.open(key)) {
      this.#pins.delete(key)
      throw limitError(this.#logs.account, 'cap', 0)
    }
    record.pinned = true
  }

  unpin(name: LogName): void {
    const key = logKey(name)
    this.#pins.delete(key)
    const record = this.find(key)
    if (!record) return
    record.pinned = false
    this.settle(record)
  }

  [Symbol.dispose](): void {
    for (const record of this.#logs.values()) this.remove(record)
    this.#logs[Symbol.dispose]()
    this.#frontiers[Symbol.dispose]()
    this.#pins[Symbol.dispose]()
    this.topics[Symbol.dispose]()
    assert(this.totals.bytes === 0, `a closed store still holds ${this.totals.bytes} bytes`)
    this.totals.operations[Symbol.dispose]()
  }

  #openAccount(): Account | undefined {
    return this.#options.ledger.open(this.#options.terms.log)
  }
}

/** Removes every operation of a log and leaves its frontier. @returns how many went. */
export function evictLog(table: LogTable, record: LogRecord, why: Exit): number {
  const count = record.segments?.operations ?? 0
  record.segments?.clear(why)
  table.settle(record)
  return count
}
