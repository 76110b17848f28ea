/**
 * The changes of one transaction of the SQLite store: operations in, prefixes out. The totals are those of the store
 * once it is committed; when it is not, this object is thrown away and nothing has happened.
 *
 * Memory: the row of the log that was changed last.
 */
import type { TopicId } from '../core/index.ts'
import type { Appended, StoredOperation } from './log-store.ts'
import { judge, payloadBytes } from './order.ts'
import type { Row } from './sqlite-database.ts'
import type { Statements } from './sqlite-statements.ts'
import type { SqliteStoreLimits } from './sqlite-store.ts'

export interface StoreTotals {
  readonly logs: number
  readonly operations: number
  readonly bytes: number
}

/** The row of a log, changed here and written when another log comes or the batch ends. */
interface OpenLog {
  id: number
  readonly author: Uint8Array
  readonly logId: Uint8Array
  height: number
  head: Uint8Array
  first: number
  operations: number
  bytes: number
  linked: boolean
  full: boolean
}

/** Rows that one statement deletes at most. */
const DELETE_ROWS = 128

export class SqliteAppend {
  readonly #statements: Statements
  readonly #limits: Required<SqliteStoreLimits>
  /** After each row; a promise when the event loop is to get a turn. */
  readonly #yieldNow: () => Promise<void> | undefined
  #logs: number
  #operations: number
  #bytes: number

  constructor(
    statements: Statements,
    limits: Required<SqliteStoreLimits>,
    totals: StoreTotals,
    yieldNow: () => Promise<void> | undefined,
  ) {
    this.#statements = statements
    this.#limits = limits
    this.#yieldNow = yieldNow
    this.#logs = totals.logs
    this.#operations = totals.operations
    this.#bytes = totals.bytes
  }

  get totals(): StoreTotals {
    return { logs: this.#logs, operations: this.#operations, bytes: this.#bytes }
  }

  async run(topic: TopicId, batch: readonly StoredOperation[]): Promise<Appended[]> {
    const answers: Appended[] = []
    const full = new Set<string>()
    let log: OpenLog | undefined
    for (const operation of batch) {
      if (!log || !isOf(log, operation)) {
        if (log) this.#save(log)
        log = this.#load(operation)
        log.full = full.has(nameKey(operation))
      }
      const answer = await this.#append(topic, log, operation)
      if (answer === 'full') {
        log.full = true
        full.add(nameKey(operation))
      }
      answers.push(answer === 'gap' && log.full ? 'full' : answer)
      const turn = this.#yieldNow()
      if (turn) await turn
    }
    if (log) this.#save(log)
    return answers
  }

  /** Deletes what is before a sequence number. @returns how many operations went. */
  async drop(row: Row, before: number): Promise<number> {
    const log = openLog(row)
    const count = await this.#drop(log, Math.min(before, log.height + 1))
    if (count > 0) this.#save(log)
    return count
  }

  /** Deletes a log that has no operations any more, and takes it out of its topics. */
  forget(row: Row): void {
    this.#statements.unlinkLog.run(row['id'] as number)
    this.#statements.deleteLog.run(row['id'] as number)
    this.#logs--
  }

  async #append(topic: TopicId, log: OpenLog, operation: StoredOperation): Promise<Appended> {
    const statements = this.#statements
    const verdict = judge(log.height < 0 ? undefined : this.#position(log), operation)
    if (verdict !== 'kept') return verdict
    const bytes = payloadBytes(operation)
    const replaces = operation.prune && log.operations > 0
    if (!this.#hasRoom(log, bytes, replaces)) return 'full'
    const { seq } = operation
    if (log.id === 0) {
      log.id = statements.insertLog.run(log.author, log.logId, seq, operation.id, seq).rowId
      this.#logs++
    }
    if (replaces) await this.#drop(log, seq)
    statements.insertOperation.run(
      log.id,
      seq,
      operation.id,
      operation.backlink ?? null,
      operation.payloadSize,
      operation.prune ? 1 : 0,
      operation.header,
      operation.body ?? null,
    )
    if (!log.linked) statements.linkTopic.run(topic, log.id)
    log.linked = true
    if (log.operations === 0) log.first = seq
    log.height = seq
    log.head = operation.id
    log.operations++
    log.bytes += bytes
    this.#operations++
    this.#bytes += bytes
    return 'kept'
  }

  #hasRoom(log: OpenLog, bytes: number, replaces: boolean): boolean {
    const limits = this.#limits
    const freed = replaces ? log : { operations: 0, bytes: 0 }
    return (
      (log.id !== 0 || this.#logs < limits.logsMax) &&
      log.operations - freed.operations < limits.operationsPerLogMax &&
      log.bytes - freed.bytes + bytes <= limits.bytesPerLogMax &&
      this.#operations - freed.operations < limits.operationsMax &&
      this.#bytes - freed.bytes + bytes <= limits.bytesMax
    )
  }

  /** Sequence numbers in a log are consecutive, so a range of them is a number of rows. */
  async #drop(log: OpenLog, before: number): Promise<number> {
    const count = Math.min(before - log.first, log.operations)
    if (count <= 0) return 0
    const all = count === log.operations
    const end = log.first + count
    const bytes = all
      ? log.bytes
      : Number(this.#statements.measure.get(log.id, log.first, end - 1)!['bytes'])
    while (log.first < end) {
      log.first = Math.min(log.first + DELETE_ROWS, end)
      this.#statements.deleteOperations.run(log.id, log.first)
      const turn = this.#yieldNow()
      if (turn) await turn
    }
    log.operations -= count
    log.bytes -= bytes
    this.#operations -= count
    this.#bytes -= bytes
    return count
  }

  #load(operation: StoredOperation): OpenLog {
    const row = this.#statements.log.get(operation.author, operation.logId)
    if (row) return openLog(row)
    return {
      id: 0,
      author: operation.author,
      logId: operation.logId,
      height: -1,
      head: operation.id,
      first: 0,
      operations: 0,
      bytes: 0,
      linked: false,
      full: false,
    }
  }

  #save(log: OpenLog): void {
    if (log.id === 0) return
    const { height, head, first, operations, bytes, id } = log
    this.#statements.updateLog.run(height, head, first, operations, bytes, id)
  }

  #position(log: OpenLog) {
    return {
      height: log.height,
      isHead: (id: Uint8Array) => Buffer.compare(log.head, id) === 0,
      hasAt: (seq: number, id: Uint8Array) => {
        const hash = this.#statements.hash.get(log.id, seq)?.['hash']
        return hash === undefined ? undefined : Buffer.compare(hash as Uint8Array, id) === 0
      },
    }
  }
}

function openLog(row: Row): OpenLog {
  return {
    id: row['id'] as number,
    author: row['author'] as Uint8Array,
    logId: row['log_id'] as Uint8Array,
    height: row['height'] as number,
    head: row['head'] as Uint8Array,
    first: row['first'] as number,
    operations: row['operations'] as number,
    bytes: row['bytes'] as number,
    linked: false,
    full: false,
  }
}

const isOf = (log: OpenLog, operation: StoredOperation): boolean =>
  Buffer.compare(log.logId, operation.logId) === 0 &&
  Buffer.compare(log.author, operation.author) === 0

const nameKey = (operation: StoredOperation): string =>
  Buffer.from(operation.author).toString('latin1') + Buffer.from(operation.logId).toString('latin1')
