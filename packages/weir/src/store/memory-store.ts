/**
 * A log store in memory, with hard caps per log and in total.
 *
 * What happens at a cap is the policy: `refuse` answers `full`, `lru-log` evicts (see eviction.ts). With a `ttlMs`
 * operations expire besides. Height and head of what is gone stay as a frontier, so that sync does not fetch it again.
 *
 * Memory: the terms of `memoryStoreTerms`, charged before anything is kept; nothing else grows.
 */
import { BoundedMap, type Ledger, type Level, limitError } from '../bounds/index.ts'
import { idKey, type TopicId } from '../core/index.ts'
import {
  type Clock,
  Counters,
  type Logger,
  silentLogger,
  systemClock,
  WeirError,
} from '../runtime/index.ts'
import { makeRoom, makeRoomForLog, makeRoomToReplace, shedTo } from './eviction.ts'
import { type LogRecord, logKey, logName, logState, sameLog } from './log-record.ts'
import type { Appended, LogName, LogState, LogStore, Page, StoredOperation } from './log-store.ts'
import { LogTable } from './log-table.ts'
import type { MemoryStoreTerms } from './memory.ts'
import { type StoreWarning, StoreWarnings } from './watermark.ts'

export interface MemoryStoreOptions {
  readonly ledger: Ledger
  /** Made by `memoryStoreTerms` and part of the ledger's plan; they carry the caps. */
  readonly terms: MemoryStoreTerms
  /** What happens at a cap. Default `refuse`. */
  readonly policy?: 'refuse' | 'lru-log'
  /** Operations go this long after they were kept, at the next `sweep`. Pinned logs keep theirs. Default never. */
  readonly ttlMs?: number
  /** Default: the system's. */
  readonly clock?: Clock
  readonly log?: Logger
  readonly counters?: Counters
  /** Called when a cap is 70 or 90 % used, and with level 0 when that is over. */
  onWarning?(warning: StoreWarning): void
  /** Where buffers come from. Default: uninitialised memory outside of Node's pool. Tests let it fail. */
  readonly allocate?: (bytes: number) => Buffer
}

/** Share of the byte cap that `lru-log` keeps at each pressure level. */
const KEEP_AT_LEVEL = Object.freeze([1, 1, 0.75, 0.5])

export class MemoryStore implements LogStore {
  readonly durable = false
  readonly #options: MemoryStoreOptions
  readonly #table: LogTable
  readonly #meta: BoundedMap<string, Uint8Array>
  readonly #clock: Clock
  readonly #log: Logger
  readonly #pressure: Disposable
  readonly #warnings: StoreWarnings
  #closed = false

  constructor(options: MemoryStoreOptions) {
    const { ledger, terms } = options
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#log = options.log ?? silentLogger
    this.#warnings = new StoreWarnings({
      log: this.#log,
      counters: options.counters ?? new Counters(),
      onWarning: (warning) => options.onWarning?.(warning),
    })
    this.#table = new LogTable({
      ledger,
      terms,
      allocate: options.allocate ?? Buffer.allocUnsafeSlow,
    })
    this.#meta = new BoundedMap<string, Uint8Array>(ledger.require(terms.meta), {
      bytesOf: (key, value) => key.length + value.length,
    })
    this.#pressure = ledger.pressure.subscribe((level, previous) => {
      // Not now: the level may have changed in the middle of our own append.
      if (level > previous) queueMicrotask(() => this.#relieve(level))
    })
  }

  async append(topic: TopicId, batch: readonly StoredOperation[]): Promise<Appended[]> {
    this.#open()
    const nowMs = this.#nowMs()
    const full = new Set<string>()
    let key = ''
    const answers = batch.map((operation, at) => {
      const before = batch[at - 1]
      // The operations of a log come in runs, and a key is 64 characters to make and to hash.
      if (!before || !sameLog(before, operation)) key = logKey(operation)
      const answer = this.#append(topic, key, operation, nowMs)
      if (answer === 'full') full.add(key)
      return answer === 'gap' && full.has(key) ? 'full' : answer
    })
    this.#warn()
    return answers
  }

  async logs(topic: TopicId): Promise<LogState[]> {
    this.#open()
    const records = [...this.#table.topics.logs(topic)]
    return records.sort((a, b) => (a.key < b.key ? -1 : 1)).map(logState)
  }

  async log(name: LogName): Promise<LogState | undefined> {
    this.#open()
    const record = this.#table.find(logKey(name))
    return record && logState(record)
  }

  async read(name: LogName, from: number, until: number, bytesMax: number): Promise<Page> {
    this.#open()
    const record = this.#table.use(logKey(name))
    if (!record?.segments) return { operations: [], last: true }
    return record.segments.read(logName(record.key), from, until, bytesMax)
  }

  async measure(name: LogName, from: number, until: number) {
    this.#open()
    const segments = this.#table.find(logKey(name))?.segments
    return segments?.measure(from, until) ?? { operations: 0, bytes: 0 }
  }

  async prune(name: LogName, before: number): Promise<number> {
    this.#open()
    const record = this.#table.find(logKey(name))
    if (!record?.segments) return 0
    const count = record.segments.dropBefore(Math.min(before, record.height + 1), 'removed')
    this.#table.settle(record)
    this.#warn()
    return count
  }

  async deleteLog(name: LogName): Promise<boolean> {
    this.#open()
    const record = this.#table.find(logKey(name))
    if (!record) return false
    this.#table.remove(record)
    this.#warn()
    return true
  }

  pin(name: LogName): void {
    this.#open()
    const frontier = this.#table.find(logKey(name))?.segments === undefined
    if (frontier && this.#evicts()) makeRoomForLog(this.#table, this.#options.terms)
    this.#table.pin(name)
  }

  unpin(name: LogName): void {
    if (!this.#closed) this.#table.unpin(name)
  }

  async meta(key: string): Promise<Uint8Array | undefined> {
    this.#open()
    const value = this.#meta.get(key)
    return value && new Uint8Array(value)
  }

  async setMeta(key: string, value: Uint8Array | undefined): Promise<void> {
    this.#open()
    if (!value) {
      this.#meta.delete(key)
      return
    }
    const admission = this.#meta.set(key, new Uint8Array(value))
    if (admission !== 'ok') {
      throw limitError(this.#meta.account, admission, key.length + value.length)
    }
  }

  async sweep(): Promise<number> {
    this.#open()
    const { ttlMs } = this.#options
    let count = 0
    if (ttlMs !== undefined) {
      const until = this.#nowMs() - ttlMs
      for (const record of this.#table.records()) {
        if (record.pinned || !record.segments) continue
        count += record.segments.dropKeptUntil(until)
        this.#table.settle(record)
      }
    }
    this.#warn()
    return count
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#pressure[Symbol.dispose]()
    this.#meta[Symbol.dispose]()
    this.#table[Symbol.dispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #append(topic: TopicId, key: string, operation: StoredOperation, nowMs: number): Appended {
    const table = this.#table
    const { terms } = this.#options
    const known = table.use(key)
    const verdict = table.judge(known, operation)
    if (verdict !== 'kept') return verdict
    if (!known?.segments && this.#evicts()) makeRoomForLog(table, terms)
    const log = table.open(key)
    if (!log) return 'full'
    const linked = table.topics.has(topic, log)
    if (!linked && table.topics.add(topic, log) !== 'ok') {
      table.settle(log)
      return 'full'
    }
    if (this.#write(log, operation, nowMs)) return 'kept'
    if (!linked) table.topics.removeNewest(log)
    table.settle(log)
    return 'full'
  }

  #write(
    log: NonNullable<ReturnType<LogTable['open']>>,
    operation: StoredOperation,
    nowMs: number,
  ): boolean {
    const { terms } = this.#options
    const { segments } = log
    const replaces = operation.prune && segments.operations > 0
    if (this.#evicts()) {
      const make = replaces ? makeRoomToReplace : makeRoom
      make(this.#table, terms, log, operation)
    }
    const freeBytes = Math.min(
      segments.account.freeBytes,
      terms.bytes.payloadBytesMax - this.#table.totals.bytes,
    )
    const admission = replaces
      ? segments.replaceAll(operation, nowMs)
      : segments.append(operation, nowMs, freeBytes)
    if (admission !== 'ok') return false
    log.height = operation.seq
    log.head = idKey(operation.id)
    return true
  }

  /** Whether room is made by evicting: not for what memory pressure refuses anyway. */
  #evicts(): boolean {
    const { policy, ledger, terms } = this.#options
    return policy === 'lru-log' && ledger.pressure.level < Number(terms.log.shedAt)
  }

  /** What the store gives back when memory gets short. */
  #relieve(level: Level): void {
    if (this.#closed || this.#options.policy !== 'lru-log') return
    const keep = KEEP_AT_LEVEL[level]!
    if (keep === 1) return
    const shed = shedTo(this.#table, keep * this.#options.terms.bytes.payloadBytesMax)
    this.#log.warn('the store sheds operations under memory pressure', { level, operations: shed })
    this.#warn()
  }

  #warn(): void {
    const { terms } = this.#options
    const { totals } = this.#table
    this.#warnings.operations(totals.operations.entries, terms.operations.entriesMax)
    this.#warnings.bytes(totals.bytes, terms.bytes.payloadBytesMax)
    this.#warnings.logs(this.#table.logs, terms.logs.entriesMax)
    for (const record of this.#table.pinned()) this.#warnLog(record)
  }

  /** Of the logs of others nothing is said: they cannot make a publisher wait, and could fill the log file. */
  #warnLog(record: LogRecord): void {
    const { account } = record.segments!
    const { entriesMax, payloadBytesMax } = account.term
    const counted = account.entries / entriesMax >= account.bytes / payloadBytesMax
    record.warned = this.#warnings.check(
      'log',
      logName(record.key),
      record.warned,
      counted ? account.entries : account.bytes,
      counted ? entriesMax : payloadBytesMax,
    )
  }

  /** Monotonic, so that a clock that is set does not expire everything. */
  #nowMs(): number {
    return this.#clock.now() / 1_000
  }

  #open(): void {
    if (this.#closed) throw new WeirError('CLOSED', 'the store is closed')
  }
}
