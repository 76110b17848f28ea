/**
 * The logs of one topic as the machine sees them: how far we have each, and how far the consumer has it.
 *
 * A row has a small index, by which a peer's heights are kept as numbers in a packed array.
 *
 * Memory: at most `logsMax` rows, charged to `sync.logs`, and a stack of free indexes.
 */
import { type Account, BoundedMap } from '../bounds/index.ts'
import { copyBytes, equalBytes } from '../codec/index.ts'
import { idKey, type LogId, type NodeId } from '../core/index.ts'

export interface LogRow {
  readonly index: number
  readonly key: string
  readonly author: NodeId
  readonly logId: LogId
  /** Next sequence number that we do not have: height + 1, 0 for none. */
  ours: number
  /** Next sequence number for the consumer. */
  next: number
  /** The consumer gets this log from the store, because the queue was full. */
  behind: boolean
  /** Operations of this log are not delivered. */
  silent: boolean
  /** Live operations of this log are offered to peers; else they get it when a session begins. */
  pushed: boolean
  /** Whether this process has published in this log. */
  published: boolean
  /**
   * Sequence number of the last operation found in the store that is longer than a frame, -1 without one: a peer that
   * lacks it can use nothing of what follows, until the log is pruned.
   */
  tooLongAt: number
  /** An operation was too long for the consumer, and was left out. */
  leftOut: boolean
  /** Appends under way. */
  uses: number
  /** In the order in which the rows came. */
  nextRow: LogRow | undefined
  previousRow: LogRow | undefined
  removed: boolean
}

export class LogTable implements Disposable {
  readonly #rows: BoundedMap<string, LogRow>
  readonly #free: Uint32Array
  #freeCount: number
  #first: LogRow | undefined
  #last: LogRow | undefined
  readonly #onRemove: (row: LogRow) => void
  /** The row that was asked for last: operations of one log come in runs. */
  #recent: LogRow | undefined

  /** @param onRemove Called after a row is gone: its index will be given to another log. */
  constructor(account: Account, onRemove: (row: LogRow) => void) {
    this.#onRemove = onRemove
    this.#rows = new BoundedMap(account)
    const capacity = account.term.entriesMax
    this.#free = new Uint32Array(capacity)
    for (let at = 0; at < capacity; at++) this.#free[at] = capacity - 1 - at
    this.#freeCount = capacity
  }

  get size(): number {
    return this.#rows.size
  }

  get first(): LogRow | undefined {
    return this.#first
  }

  find(author: Uint8Array, logId: Uint8Array): LogRow | undefined {
    const recent = this.#recent
    if (recent && equalBytes(recent.logId, logId) && equalBytes(recent.author, author))
      return recent
    const row = this.#rows.peek(rowKey(author, logId))
    if (row) this.#recent = row
    return row
  }

  /**
   * The row of a log, made when there is none; undefined when the table is full.
   *
   * @param hearsay The log is only spoken of. Such rows make room for those of logs that we have an operation of.
   */
  row(author: Uint8Array, logId: Uint8Array, hearsay: boolean): LogRow | undefined {
    const present = this.find(author, logId)
    if (present) return present
    if (this.#freeCount === 0 && !hearsay) this.#makeRoom()
    if (this.#freeCount === 0) return undefined
    const row: LogRow = {
      index: this.#free[this.#freeCount - 1]!,
      key: rowKey(author, logId),
      author: copyBytes(author) as NodeId,
      logId: copyBytes(logId) as LogId,
      ours: 0,
      next: 0,
      behind: false,
      silent: false,
      pushed: true,
      published: false,
      tooLongAt: -1,
      leftOut: false,
      uses: 0,
      nextRow: undefined,
      previousRow: this.#last,
      removed: false,
    }
    if (this.#rows.set(row.key, row) !== 'ok') return undefined
    this.#freeCount--
    if (this.#last) this.#last.nextRow = row
    else this.#first = row
    this.#last = row
    this.#recent = row
    return row
  }

  /** Whether an author has a row, by its bytes. */
  knows(author: Uint8Array): boolean {
    for (let row = this.#first; row; row = row.nextRow) {
      if (equalBytes(row.author, author)) return true
    }
    return false
  }

  remove(row: LogRow): void {
    if (row.removed) return
    row.removed = true
    this.#rows.delete(row.key)
    this.#free[this.#freeCount++] = row.index
    if (row.previousRow) row.previousRow.nextRow = row.nextRow
    else this.#first = row.nextRow
    if (row.nextRow) row.nextRow.previousRow = row.previousRow
    else this.#last = row.previousRow
    if (this.#recent === row) this.#recent = undefined
    this.#onRemove(row)
  }

  #makeRoom(): void {
    for (let row = this.#first; row; row = row.nextRow) {
      if (row.ours > 0 || row.uses > 0) continue
      this.remove(row)
      return
    }
  }

  [Symbol.dispose](): void {
    this.#first = this.#last = this.#recent = undefined
    this.#rows[Symbol.dispose]()
  }
}

export const rowKey = (author: Uint8Array, logId: Uint8Array): string =>
  idKey(author) + idKey(logId)
