/**
 * One connection to an SQLite file that no other process can open: prepared statements with coded errors.
 *
 * The lock is the operating system's and ends with the process. Beside the file lies `<path>.owner` with the pid, only
 * so that the second process can name the first.
 *
 * Memory: the page cache and the connection, charged in full when it opens.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'

import { dirname } from 'node:path'
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { assert, makePrivateFolder, WeirError } from '../runtime/index.ts'

export interface DatabaseOptions {
  readonly path: string
  /** Bytes of the page cache. */
  readonly cacheBytes: number
  /** Called before each statement; what it throws stands for a failure of the medium. For tests. */
  readonly fault?: ((sql: string) => void) | undefined
}

export type Row = Readonly<Record<string, unknown>>

/** Pages between checkpoints, 4 KiB each: the write-ahead log stays near 4 MiB. */
const CHECKPOINT_PAGES = 1_000
const WAL_BYTES_MAX = 8 * 1024 * 1024

export class Database implements Disposable {
  readonly path: string
  readonly #db: DatabaseSync
  readonly #fault: ((sql: string) => void) | undefined
  #broken = false
  #closed = false

  /** @throws {WeirError} `STORE_LOCKED` when another process has the file open, `STORE_FAILED`. */
  constructor(options: DatabaseOptions) {
    this.path = options.path
    this.#fault = options.fault
    createPrivately(options.path)
    try {
      // Loaded by who opens one: the module alone takes 6 MiB, and programs with a store in memory need none of it.
      const sqlite = process.getBuiltinModule('node:sqlite')
      this.#db = new sqlite.DatabaseSync(options.path, { timeout: 0 })
    } catch (error) {
      throw storeError(error, options.path)
    }
    try {
      // Exclusive before WAL: the index of the write-ahead log is then in memory and not in a shared file.
      this.exec('PRAGMA locking_mode = EXCLUSIVE')
      this.exec('PRAGMA auto_vacuum = INCREMENTAL')
      this.exec('PRAGMA journal_mode = WAL')
      this.exec('PRAGMA synchronous = NORMAL')
      this.exec('PRAGMA trusted_schema = OFF')
      this.exec(`PRAGMA cache_size = -${Math.ceil(options.cacheBytes / 1024)}`)
      this.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
      this.exec(`PRAGMA journal_size_limit = ${WAL_BYTES_MAX}`)
      // An empty transaction takes the lock, which is then kept until the file is closed.
      this.exec('BEGIN EXCLUSIVE')
      this.exec('COMMIT')
    } catch (error) {
      this.#db.close()
      throw error
    }
    writeFileSync(ownerPath(options.path), `${process.pid}\n`, { mode: 0o600 })
  }

  prepare(sql: string): Statement {
    return new Statement(
      this,
      sql,
      this.attempt(sql, () => this.#db.prepare(sql)),
    )
  }

  exec(sql: string): void {
    this.attempt(sql, () => this.#db.exec(sql))
  }

  /** The number that a PRAGMA answers. */
  pragma(name: string): number {
    const row = this.attempt(name, () => this.#db.prepare(`PRAGMA ${name}`).get())
    return Number(row?.[name] ?? 0)
  }

  begin(): void {
    this.exec('BEGIN IMMEDIATE')
  }

  commit(): void {
    this.exec('COMMIT')
  }

  /** Never throws: it runs where another error is on its way. A connection that cannot go back is given up. */
  rollback(): void {
    try {
      if (!this.#db.isTransaction) return
      this.#fault?.('ROLLBACK')
      this.#db.exec('ROLLBACK')
    } catch {
      this.#broken = true
    }
  }

  /** Runs a call of the driver and turns what it throws into a coded error. */
  attempt<T>(sql: string, call: () => T): T {
    assert(!this.#closed, 'the database is closed')
    if (this.#broken) {
      throw new WeirError(
        'STORE_FAILED',
        `the store ${this.path} could not undo a failed write; restart to open it again`,
      )
    }
    try {
      this.#fault?.(sql)
      return call()
    } catch (error) {
      throw storeError(error, this.path)
    }
  }

  /** Writes the write-ahead log into the file and closes. */
  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    // Closing the last connection checkpoints; what it cannot write now is replayed at the next start.
    this.#db.close()
    rmSync(ownerPath(this.path), { force: true })
  }
}

/** A prepared statement, kept for the life of the connection. */
export class Statement {
  readonly #database: Database
  readonly #sql: string
  readonly #statement: StatementSync

  /** @internal */
  constructor(database: Database, sql: string, statement: StatementSync) {
    this.#database = database
    this.#sql = sql
    this.#statement = statement
  }

  /** @returns the row id of what was inserted, and how many rows changed. */
  run(...values: SQLInputValue[]): { rowId: number; changes: number } {
    const result = this.#database.attempt(this.#sql, () => this.#statement.run(...values))
    return { rowId: Number(result.lastInsertRowid), changes: Number(result.changes) }
  }

  get(...values: SQLInputValue[]): Row | undefined {
    return this.#database.attempt(this.#sql, () => this.#statement.get(...values))
  }

  all(...values: SQLInputValue[]): Row[] {
    return this.#database.attempt(this.#sql, () => this.#statement.all(...values))
  }

  /** Calls `each` for a row after the other until it answers false. */
  each(values: readonly SQLInputValue[], each: (row: Row) => boolean): void {
    this.#database.attempt(this.#sql, () => {
      for (const row of this.#statement.iterate(...values)) if (!each(row)) break
    })
  }
}

/** The file is made by us and not by SQLite, so that it is never readable by others, and its log takes its mode. */
function createPrivately(path: string): void {
  try {
    makePrivateFolder(dirname(path))
    // Opening and closing an existing file would drop the locks that this process has on it.
    if (existsSync(path)) chmodSync(path, 0o600)
    else closeSync(openSync(path, 'ax', 0o600))
  } catch (error) {
    throw new WeirError('STORE_FAILED', `cannot create the store ${path}; check its directory`, {
      cause: error,
    })
  }
}

const ownerPath = (path: string): string => `${path}.owner`

/** What SQLite calls the first byte of its result codes. */
const RESULT = Object.freeze({
  BUSY: 5,
  LOCKED: 6,
  NOMEM: 7,
  READONLY: 8,
  CORRUPT: 11,
  FULL: 13,
  NOTADB: 26,
})

function storeError(error: unknown, path: string): WeirError {
  if (error instanceof WeirError) return error
  const result = ((error as { errcode?: number }).errcode ?? 0) & 0xff
  const failed = (message: string, retryable = false) =>
    new WeirError('STORE_FAILED', message, { cause: error, retryable })
  switch (result) {
    case RESULT.BUSY:
    case RESULT.LOCKED:
      return new WeirError(
        'STORE_LOCKED',
        `the store ${path} is open in ${owner(path)}; two processes must not write with one key: end that one, or give this one a key and a directory of its own`,
        { cause: error },
      )
    case RESULT.FULL:
      return failed(`the disk of the store ${path} is full; free some space`, true)
    case RESULT.NOMEM:
      return failed(`the store ${path} got no memory; raise the limit of the process`, true)
    case RESULT.READONLY:
      return failed(`the store ${path} cannot be written; check its owner and mode`)
    case RESULT.CORRUPT:
    case RESULT.NOTADB:
      return failed(
        `the store ${path} is damaged or no database; move it away, what peers have is fetched again`,
      )
    default:
      return failed(`the store ${path} failed; nothing of the call was kept`, true)
  }
}

function owner(path: string): string {
  try {
    const pid = readFileSync(ownerPath(path), 'utf8').trim()
    if (/^\d{1,10}$/.test(pid)) {
      return Number(pid) === process.pid ? 'this process' : `process ${pid}`
    }
  } catch {
    // The first process may be between its lock and its file.
  }
  return 'another process'
}
