/**
 * What the consumer gets, once and in the order of each log.
 *
 * The queue is bounded and the store is its overflow: an operation that does not fit is left to the store, and its log
 * is read from there when the consumer has made room. So a slow consumer never stops a session from being read.
 *
 * Memory: the queue of `sync.deliver`; one number per log, in the log table.
 */
import { type Account, RingQueue } from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import type { Ticket } from '../machine/index.ts'
import { type Instant, NEVER } from '../runtime/index.ts'
import type { Page, StoredOperation } from '../store/index.ts'
import type { LogRange } from './contract.ts'
import type { LogRow } from './log-table.ts'
import { operationBytes } from './memory.ts'
import type { Shared } from './shared.ts'

const RETRY_MS = 50
/** A store that fails again and again is asked again with a delay that doubles up to this. */
const RETRY_MOST_MS = 5_000

export class DeliveryMachine implements Disposable {
  readonly #shared: Shared
  readonly #queue: RingQueue<StoredOperation>
  readonly #makeRoom: () => boolean
  /** Longest operation that the queue can hold. */
  readonly #bytesMax: number
  #behind = 0
  #reading: { readonly ticket: Ticket; readonly row: LogRow; readonly range: LogRange } | undefined
  /**
   * When the store is read again after a page that brought nothing further; NEVER when only the consumer can change that.
   * Reading at once would go on for ever, and nobody else would get a turn.
   */
  #againAt: Instant | undefined
  /** Reads in a row that the store did not answer. */
  #failures = 0
  /** Where the search for the next log to read goes on, so that no log is served first for ever. */
  #cursor: LogRow | undefined

  /**
   * @param account Of the term `sync.deliver`; closed with the machine.
   * @param makeRoom Gives up what waits for peers, which draws on the same pool. Returns whether there was any;
   *   called again it may give up more.
   */
  constructor(shared: Shared, account: Account, makeRoom: () => boolean) {
    this.#shared = shared
    this.#makeRoom = makeRoom
    this.#bytesMax = account.term.payloadBytesMax
    this.#queue = new RingQueue<StoredOperation>(account, {
      bytesOf: ({ header, body }) => operationBytes(header, body),
    })
  }

  get size(): number {
    return this.#queue.size
  }

  /** Whether everything that is to be delivered is in the queue or was taken. */
  get settled(): boolean {
    return this.#behind === 0 && !this.#reading
  }

  /** An operation was kept. */
  kept(row: LogRow, operation: StoredOperation): void {
    if (row.silent) return
    if (row.behind) return
    if (this.#queue.push(operation) === 'ok') {
      row.next = operation.seq + 1
      this.#shared.fx.ready()
      return
    }
    this.#shared.counters.overflow.add()
    this.#fallBehind(row)
  }

  /** Operations of a log that are in the store and were not delivered. */
  resume(row: LogRow): void {
    if (!row.silent && !row.behind && row.next < row.ours) this.#fallBehind(row)
  }

  /** The next operation for the consumer. */
  shift(): StoredOperation | undefined {
    if (this.#againAt === NEVER) this.#againAt = undefined
    return this.#queue.shift()
  }

  /** When `step` has to be called at the latest. */
  get wakeAt(): Instant {
    return this.#againAt ?? NEVER
  }

  /** Reads from the store when there is room. */
  step(): void {
    const { limits, tickets, fx } = this.#shared
    if (this.#againAt !== undefined && this.#shared.now < this.#againAt) return
    this.#againAt = undefined
    if (this.#behind === 0 || this.#reading || this.#queue.size > limits.deliverMax / 2) return
    const row = this.#nextBehind()
    if (!row) return
    const { author, logId } = row
    const range = { author, logId, from: row.next, until: row.ours - 1 }
    this.#reading = { ticket: tickets.next(), row, range }
    fx.read(this.#reading.ticket, range, limits.pageBytesMax)
  }

  /** @param page undefined when the store failed: it is asked again after a while. */
  page(ticket: Ticket, page: Page | undefined): boolean {
    const reading = this.#reading
    if (reading?.ticket !== ticket) return false
    this.#reading = undefined
    const { row, range } = reading
    if (page) this.#failures = 0
    else {
      const delayMs = RETRY_MS * 2 ** Math.min(this.#failures++, 10)
      this.#againAt = this.#shared.after(Math.min(delayMs, RETRY_MOST_MS))
    }
    if (!page || row.removed || !row.behind) return true
    let full = false
    for (const operation of page.operations) {
      if (operation.seq > row.next && !operation.prune) this.#skipped(operation.seq - row.next)
      const bytes = operationBytes(operation.header, operation.body)
      if (bytes > this.#bytesMax) this.#leaveOut(row, operation, bytes)
      else full = !this.#push(owned(operation))
      if (full) break
      row.next = operation.seq + 1
    }
    // Where nothing waits here, it is the consumers of other topics that hold the bytes.
    if (full) this.#againAt = this.#queue.size > 0 ? NEVER : this.#shared.after(RETRY_MS)
    else if (page.last && row.next <= range.until) {
      this.#skipped(range.until + 1 - row.next)
      row.next = range.until + 1
    }
    if (row.next >= row.ours) this.#caughtUp(row)
    if (this.#queue.size > 0) this.#shared.fx.ready()
    return true
  }

  /** A row leaves the table. */
  forget(row: LogRow): void {
    if (row.behind) this.#caughtUp(row)
    if (this.#cursor === row) this.#cursor = undefined
  }

  [Symbol.dispose](): void {
    this.#reading = this.#cursor = undefined
    this.#queue[Symbol.dispose]()
  }

  /** A peer that takes nothing holds its bytes as long as it likes: the consumer does not wait for that. */
  #push(operation: StoredOperation): boolean {
    do {
      if (this.#queue.push(operation) === 'ok') return true
    } while (this.#queue.size === 0 && this.#makeRoom())
    return false
  }

  /** It was kept under a larger plan; no room that the consumer makes will ever do. */
  #leaveOut(row: LogRow, { seq }: StoredOperation, bytes: number): void {
    const { author, logId, leftOut: again } = row
    row.leftOut = true
    this.#skipped(1)
    this.#shared.fx.report({ type: 'too-long', for: 'consumer', again, author, logId, seq, bytes })
  }

  #fallBehind(row: LogRow): void {
    row.behind = true
    this.#behind++
  }

  #caughtUp(row: LogRow): void {
    row.behind = false
    this.#behind--
  }

  #skipped(operations: number): void {
    this.#shared.counters.skipped.add(operations)
  }

  #nextBehind(): LogRow | undefined {
    const { table } = this.#shared
    let row = this.#cursor && !this.#cursor.removed ? this.#cursor.nextRow : table.first
    for (let looked = 0; looked <= table.size; looked++) {
      row ??= table.first
      if (!row) return undefined
      if (row.behind) {
        this.#cursor = row
        return row
      }
      row = row.nextRow
    }
    return undefined
  }
}

/** A page shares one buffer, which a kept operation would hold as a whole. */
function owned(operation: StoredOperation): StoredOperation {
  const { header, body, id, backlink } = operation
  return {
    ...operation,
    id: copyBytes(id) as typeof id,
    backlink: backlink && (copyBytes(backlink) as typeof backlink),
    header: copyBytes(header),
    body: body && copyBytes(body),
  }
}
