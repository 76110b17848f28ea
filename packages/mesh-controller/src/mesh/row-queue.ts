/**
 * The rows that have to be looked at, and those that wait for another attempt. A row is in at most one of the lists and
 * carries the links itself, so the queue is bounded by the table of rows and costs nothing of its own.
 *
 * Delays have a fixed number of steps; rows of one step are sorted by time as they come.
 */
import { assert } from 'weir-mesh/runtime'
import { calmStep, RETRY_MS } from './calm.ts'
import type { Row } from './row.ts'

class RowList {
  head: Row | undefined
  tail: Row | undefined
  size = 0

  push(row: Row): void {
    row.previous = this.tail
    row.next = undefined
    if (this.tail) this.tail.next = row
    else this.head = row
    this.tail = row
    this.size++
  }

  remove(row: Row): void {
    if (row.previous) row.previous.next = row.next
    else this.head = row.next
    if (row.next) row.next.previous = row.previous
    else this.tail = row.previous
    row.previous = row.next = undefined
    this.size--
  }
}

export class RowQueue {
  readonly #ready = new RowList()
  readonly #waiting = Object.freeze(RETRY_MS.map(() => new RowList()))
  readonly #calming = Object.freeze(RETRY_MS.map(() => new RowList()))

  /** Rows that are ready now. */
  get ready(): number {
    return this.#ready.size
  }

  /** Rows that wait for another attempt. */
  get waiting(): number {
    return this.#waiting.reduce((sum, list) => sum + list.size, 0)
  }

  /** Rows that wait because somebody else changes their objects again and again. */
  get calming(): number {
    return this.#calming.reduce((sum, list) => sum + list.size, 0)
  }

  /** Puts a row at the end of the queue; one that waited is pulled forward, one under way is marked. */
  add(row: Row): void {
    if (row.state === 'busy') row.again = true
    else if (row.state === 'waiting' || row.state === 'calming') this.#promote(row)
    else if (row.state === 'idle') {
      row.state = 'queued'
      this.#ready.push(row)
    }
  }

  /** The next row to look at; it is `busy` until `done` or `retry`. */
  next(): Row | undefined {
    const row = this.#ready.head
    if (!row) return undefined
    this.#ready.remove(row)
    row.state = 'busy'
    row.again = false
    return row
  }

  /** The row needs nothing now; when something changed meanwhile it is queued again. */
  done(row: Row): void {
    assert(row.state === 'busy', 'a row that was not taken is done')
    row.state = 'idle'
    row.failures = 0
    if (row.again) this.add(row)
  }

  /** The row is tried again after a delay that grows with its failures. */
  retry(row: Row, nowMs: number): void {
    assert(row.state === 'busy', 'a row that was not taken is retried')
    const step = Math.min(row.failures, RETRY_MS.length - 1)
    row.failures++
    row.state = 'waiting'
    row.retryAt = nowMs + RETRY_MS[step]!
    this.#waiting[step]!.push(row)
  }

  /** The row is looked at again after a delay that grows with how often it was put back; see `calm`. */
  calm(row: Row, nowMs: number): void {
    assert(row.state === 'busy', 'a row that was not taken is calmed')
    const step = calmStep(row)
    row.state = 'calming'
    row.retryAt = nowMs + RETRY_MS[step]!
    this.#calming[step]!.push(row)
  }

  /** Makes rows ready whose time has come. */
  wake(nowMs: number): void {
    for (const list of [...this.#waiting, ...this.#calming]) {
      while (list.head && list.head.retryAt <= nowMs) this.#promote(list.head)
    }
  }

  /** When `wake` is wanted, in ms; Infinity for never. */
  get wakeAtMs(): number {
    let least = Infinity
    for (const lists of [this.#waiting, this.#calming]) {
      for (const { head } of lists) if (head && head.retryAt < least) least = head.retryAt
    }
    return least
  }

  #promote(row: Row): void {
    // The list that holds it is the one of the failure before this wait.
    if (row.state === 'calming') this.#calming[calmStep(row)]!.remove(row)
    else this.#waiting[Math.min(row.failures - 1, RETRY_MS.length - 1)]!.remove(row)
    row.state = 'queued'
    this.#ready.push(row)
  }
}
