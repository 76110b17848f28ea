/**
 * A log store in an SQLite file: what was kept is there after a restart, and the height of a log for as long as the
 * file. Nothing is evicted and nothing expires; at a cap it answers `full`.
 *
 * `node:sqlite` is synchronous. A batch is one transaction, worked off in slices of a few milliseconds with turns of
 * the event loop between them; calls wait for each other in order. A crash loses at most the last transactions, never
 * a part of one.
 *
 * Memory: the page cache and the connection, charged in full; one entry per call that waits. Rows of a page belong to
 * who reads it.
 */
import { setImmediate } from 'node:timers/promises'
import type { Account, Ledger } from '../bounds/index.ts'
import type { Hash, TopicId } from '../core/index.ts'
import {
  type Clock,
  Counters,
  type Logger,
  msBetween,
  silentLogger,
  systemClock,
  WeirError,
} from '../runtime/index.ts'
import { CallQueue } from './call-queue.ts'
import type { Appended, LogName, LogState, LogStore, Page, StoredOperation } from './log-store.ts'
import { SQLITE_CONNECTION_BYTES, type SqliteStoreTerms } from './memory.ts'
import { payloadBytes } from './order.ts'
import { SqliteAppend, type StoreTotals } from './sqlite-append.ts'
import { Database, type Row } from './sqlite-database.ts'
import { migrate } from './sqlite-schema.ts'
import { prepareStatements, type Statements } from './sqlite-statements.ts'
import { type StoreWarning, StoreWarnings } from './watermark.ts'

export interface SqliteStoreLimits {
  /** Operations of all logs. Default 4 194 304. */
  readonly operationsMax?: number
  /** Header and body bytes of all logs. Default 4 GiB of disk. */
  readonly bytesMax?: number
  /** Operations of one log. Default `operationsMax`. */
  readonly operationsPerLogMax?: number
  /** Header and body bytes of one log. Default `bytesMax`. */
  readonly bytesPerLogMax?: number
  /** Logs, those without operations too. Default 65 536. */
  readonly logsMax?: number
  /** Small values of the owner. Default 64, 16 KiB together. */
  readonly metaMax?: number
  readonly metaBytesMax?: number
}

export interface SqliteStoreOptions {
  /** The file; it and its directory are made, for the user alone. */
  readonly path: string
  readonly ledger: Ledger
  /** Made by `sqliteStoreTerms` and part of the ledger's plan. */
  readonly terms: SqliteStoreTerms
  readonly limits?: SqliteStoreLimits
  /** How long a batch works before the event loop gets a turn. Default 4 ms. */
  readonly sliceMs?: number
  /** Default: the system's. */
  readonly clock?: Clock
  readonly log?: Logger
  readonly counters?: Counters
  /** Called when a cap is 70 or 90 % used, and with level 0 or 70 when that is over. */
  onWarning?(warning: StoreWarning): void
  /** Called before each statement; what it throws stands for a failure of the medium. For tests. */
  readonly fault?: (sql: string) => void
}

const GIB = 1024 ** 3

export class SqliteStore implements LogStore {
  readonly durable = true
  readonly #limits: Required<SqliteStoreLimits>
  readonly #clock: Clock
  readonly #sliceMs: number
  readonly #warnings: StoreWarnings
  readonly #cache: Account
  readonly #calls: CallQueue
  readonly #database: Database
  readonly #statements: Statements
  #totals: StoreTotals
  #closing: Promise<void> | undefined

  /**
   * Opens the file, makes it when it is not there, and brings it to the version of this program.
   *
   * @throws {WeirError} `STORE_LOCKED` when another process has it open, `STORE_VERSION` when a newer program wrote it,
   * `STORE_FAILED`.
   */
  static async open(options: SqliteStoreOptions): Promise<SqliteStore> {
    return new SqliteStore(options)
  }

  private constructor(options: SqliteStoreOptions) {
    const { ledger, terms, path } = options
    this.#limits = completeLimits(options.limits)
    this.#clock = options.clock ?? systemClock
    this.#sliceMs = options.sliceMs ?? 4
    this.#warnings = new StoreWarnings({
      log: options.log ?? silentLogger,
      counters: options.counters ?? new Counters(),
      onWarning: (warning) => options.onWarning?.(warning),
    })
    using undo = new DisposableStack()
    this.#cache = undo.use(ledger.require(terms.cache))
    this.#calls = new CallQueue(undo.use(ledger.require(terms.calls)))
    const cacheBytes = terms.cache.payloadBytesMax
    this.#cache.require(cacheBytes)
    undo.defer(() => this.#cache.give(cacheBytes))
    this.#database = undo.use(
      new Database({
        path,
        cacheBytes: terms.cache.payloadBytesMax - SQLITE_CONNECTION_BYTES,
        fault: options.fault,
      }),
    )
    migrate(this.#database)
    this.#statements = prepareStatements(this.#database)
    const totals = this.#statements.totals.get()!
    this.#totals = {
      logs: Number(totals['logs']),
      operations: Number(totals['operations']),
      bytes: Number(totals['bytes']),
    }
    undo.move()
    this.#warn()
  }

  append(topic: TopicId, batch: readonly StoredOperation[]): Promise<Appended[]> {
    return this.#calls.run(async () => {
      const yieldNow = this.#slices()
      this.#database.begin()
      try {
        const append = new SqliteAppend(this.#statements, this.#limits, this.#totals, yieldNow)
        const answers = await append.run(topic, batch)
        this.#database.commit()
        this.#totals = append.totals
        this.#warn()
        return answers
      } catch (error) {
        this.#database.rollback()
        throw error
      }
    })
  }

  logs(topic: TopicId): Promise<LogState[]> {
    return this.#calls.run(() => this.#statements.logsOfTopic.all(topic).map(stateOf))
  }

  log(name: LogName): Promise<LogState | undefined> {
    return this.#calls.run(() => {
      const row = this.#row(name)
      return row && stateOf(row)
    })
  }

  read(name: LogName, from: number, until: number, bytesMax: number): Promise<Page> {
    return this.#calls.run(() => {
      const row = this.#row(name)
      if (!row) return { operations: [], last: true }
      const operations: StoredOperation[] = []
      let bytes = 0
      let last = true
      this.#statements.read.each([row['id'] as number, from, until], (each) => {
        const operation = operationOf(name, each)
        bytes += payloadBytes(operation)
        if (operations.length > 0 && bytes > bytesMax) last = false
        else operations.push(operation)
        return last
      })
      return { operations, last }
    })
  }

  measure(name: LogName, from: number, until: number) {
    return this.#calls.run(() => {
      const row = this.#row(name)
      if (!row) return { operations: 0, bytes: 0 }
      const state = stateOf(row)
      if (from <= state.from && until >= state.height) {
        return { operations: state.operations, bytes: state.bytes }
      }
      return sumOf(this.#statements.measure.get(row['id'] as number, from, until)!)
    })
  }

  prune(name: LogName, before: number): Promise<number> {
    return this.#write(name, async (append, row) => append.drop(row, before))
  }

  async deleteLog(name: LogName): Promise<boolean> {
    const deleted = await this.#write(name, async (append, row) => {
      await append.drop(row, Number.MAX_SAFE_INTEGER)
      append.forget(row)
      return 1
    })
    return deleted > 0
  }

  /** Nothing is evicted here, so there is nothing to hold. */
  pin(): void {}

  unpin(): void {}

  meta(key: string): Promise<Uint8Array | undefined> {
    return this.#calls.run(
      () => this.#statements.meta.get(key)?.['value'] as Uint8Array | undefined,
    )
  }

  setMeta(key: string, value: Uint8Array | undefined): Promise<void> {
    return this.#calls.run(() => {
      if (!value) {
        this.#statements.deleteMeta.run(key)
        return
      }
      const others = this.#statements.metaTotals.get(key)!
      const wanted = key.length + value.length
      const { metaMax, metaBytesMax } = this.#limits
      const used = Number(others['bytes'])
      if (Number(others['count']) >= metaMax || used + wanted > metaBytesMax) {
        throw new WeirError('LIMIT', 'the store has no room for another small value; remove some', {
          limit: { scope: 'store.meta', limit: metaBytesMax, used, wanted },
        })
      }
      this.#statements.setMeta.run(key, value)
    })
  }

  /** Moves the write-ahead log into the file and gives free pages back to the file system, a few at a time. */
  sweep(): Promise<number> {
    return this.#calls.run(() => {
      this.#statements.vacuum.all()
      this.#statements.checkpoint.all()
      this.#warn()
      return 0
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#calls.close().then(() => {
      try {
        this.#database[Symbol.dispose]()
      } finally {
        this.#cache.give(this.#cache.bytes)
        this.#cache[Symbol.dispose]()
      }
    })
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #row(name: LogName): Row | undefined {
    return this.#statements.log.get(name.author, name.logId)
  }

  /** A change of one log in a transaction; 0 when there is no such log. */
  #write(
    name: LogName,
    change: (append: SqliteAppend, row: Row) => Promise<number>,
  ): Promise<number> {
    return this.#calls.run(async () => {
      const row = this.#row(name)
      if (!row) return 0
      const append = new SqliteAppend(this.#statements, this.#limits, this.#totals, this.#slices())
      this.#database.begin()
      try {
        const count = await change(append, row)
        this.#database.commit()
        this.#totals = append.totals
        this.#warn()
        return count
      } catch (error) {
        this.#database.rollback()
        throw error
      }
    })
  }

  /** A function that is called after each row: it resolves at once, or after a turn when the slice is used up. */
  #slices(): () => Promise<void> | undefined {
    let start = this.#clock.now()
    return () => {
      if (msBetween(start, this.#clock.now()) < this.#sliceMs) return undefined
      return setImmediate().then(() => {
        start = this.#clock.now()
      })
    }
  }

  #warn(): void {
    const { logs, operations, bytes } = this.#totals
    this.#warnings.logs(logs, this.#limits.logsMax)
    this.#warnings.operations(operations, this.#limits.operationsMax)
    this.#warnings.bytes(bytes, this.#limits.bytesMax)
  }
}

function completeLimits(limits: SqliteStoreLimits = {}): Required<SqliteStoreLimits> {
  const operationsMax = limits.operationsMax ?? 2 ** 22
  const bytesMax = limits.bytesMax ?? 4 * GIB
  return {
    operationsMax,
    bytesMax,
    operationsPerLogMax: limits.operationsPerLogMax ?? operationsMax,
    bytesPerLogMax: limits.bytesPerLogMax ?? bytesMax,
    logsMax: limits.logsMax ?? 65_536,
    metaMax: limits.metaMax ?? 64,
    metaBytesMax: limits.metaBytesMax ?? 16 * 1024,
  }
}

const sumOf = (row: Row) => ({
  operations: Number(row['operations']),
  bytes: Number(row['bytes']),
})

function stateOf(row: Row): LogState {
  return {
    author: row['author'] as LogState['author'],
    logId: row['log_id'] as LogState['logId'],
    height: row['height'] as number,
    head: row['head'] as Hash,
    from: row['first'] as number,
    ...sumOf(row),
  }
}

function operationOf(name: LogName, row: Row): StoredOperation {
  return {
    id: row['hash'] as Hash,
    author: name.author,
    logId: name.logId,
    seq: row['seq'] as number,
    backlink: (row['backlink'] as Hash | null) ?? undefined,
    header: row['header'] as Uint8Array,
    body: (row['body'] as Uint8Array | null) ?? undefined,
    payloadSize: row['payload_size'] as number,
    prune: row['prune'] === 1,
  }
}
