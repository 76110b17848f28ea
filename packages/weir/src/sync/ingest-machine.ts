/**
 * From the wire to the store: operations are verified in batches, several at once, and appended in batches, in order
 * of arrival, one append at a time. What is ahead of its predecessor waits in the gossip buffer.
 *
 * Memory: the operations of `sync.ingest`, in one list from arrival until the store has answered. A session may have
 * `ingestPerSessionMax` of them; then it is not read until half of them are through. That never waits for a peer or a
 * consumer, only for the verifying threads and the store, so no two nodes can wait for each other.
 */
import type { Account } from '../bounds/index.ts'
import type { Header } from '../core/index.ts'
import type { Ticket } from '../machine/index.ts'
import { assert } from '../runtime/index.ts'
import type { Appended, StoredOperation } from '../store/index.ts'
import { type Ending, ending } from './errors.ts'
import type { GossipBuffer, Holdable } from './gossip-buffer.ts'
import type { LogRow } from './log-table.ts'
import type { Session } from './session-machine.ts'
import type { Shared } from './shared.ts'

/** Bytes of one append, unless a single operation is larger: a store in this thread blocks it that long. */
const APPEND_BYTES = 256 * 1024

export interface Item extends Holdable {
  /** Who sent it; undefined for what we publish. */
  readonly session: Session | undefined
  readonly ticket: Ticket | undefined
  readonly header: Header | undefined
  readonly operation: StoredOperation
  /** Whether it came in live mode. */
  readonly live: boolean
  state: 'waiting' | 'verifying' | 'valid' | 'dropped'
  row: LogRow | undefined
  next: Item | undefined
}

interface Batch {
  readonly ticket: Ticket
  readonly first: Item
  readonly count: number
  next: Batch | undefined
}

/** What the rest of the machine does with the outcome. */
export interface IngestOutcome {
  kept(row: LogRow, item: Item): void
  duplicate(row: LogRow, item: Item): void
  forked(item: Item): void
  /** The operation was dropped after its session had ended; only a new one brings it again. */
  lost(item: Item): void
  published(item: Item, answer: Appended | 'failed'): void
  /** The operation has left, whatever became of it: its session may go on reading. */
  left(item: Item): void
}

export class IngestMachine implements Disposable {
  readonly #shared: Shared
  readonly #account: Account
  readonly #buffer: GossipBuffer<Item>
  readonly #outcome: IngestOutcome
  #first: Item | undefined
  #last: Item | undefined
  /** No item before this one is waiting. */
  #unverified: Item | undefined
  #waiting = 0
  #batches: Batch | undefined
  #batchCount = 0
  #append: { readonly ticket: Ticket; readonly first: Item; readonly count: number } | undefined

  /** @param account Of the term `sync.ingest`; closed with the machine. The buffer is not. */
  constructor(
    shared: Shared,
    account: Account,
    buffer: GossipBuffer<Item>,
    outcome: IngestOutcome,
  ) {
    this.#shared = shared
    this.#account = account
    this.#buffer = buffer
    this.#outcome = outcome
  }

  /** Operations between the wire and the store. */
  get size(): number {
    return this.#account.entries
  }

  /** Charges an operation that is about to arrive, by the length of its frame. */
  reserve(bytes: number): boolean {
    return this.#account.take(bytes, 1) === 'ok'
  }

  /** Gives back what was reserved and is not used. */
  release(bytes: number, entries: number): void {
    this.#account.give(bytes, entries)
  }

  /** Takes an operation in; one entry and `item.bytes` of what was reserved are its own from here. */
  add(item: Item): void {
    if (this.#last) this.#last.next = item
    else this.#first = item
    this.#last = item
    if (item.state !== 'waiting') return
    this.#unverified ??= item
    this.#waiting++
  }

  /** Starts what can be started. */
  step(): void {
    this.#verifyMore()
    this.#appendMore()
  }

  /** The answer to a batch; undefined when it could not be verified. @returns whether the ticket was ours. */
  verified(ticket: Ticket, valid: readonly boolean[] | undefined): boolean {
    const batch = this.#takeBatch(ticket)
    if (!batch) return false
    assert(!valid || valid.length === batch.count, 'one answer for each header')
    let item: Item | undefined = batch.first
    for (let at = 0; at < batch.count; at++) {
      assert(item?.state === 'verifying', 'a batch is one run of the list')
      this.#judge(item, valid?.[at])
      item = item.next
    }
    return true
  }

  /** The answer of the store; undefined when it failed. @returns whether the ticket was ours. */
  appended(ticket: Ticket, answers: readonly Appended[] | undefined): boolean {
    const append = this.#append
    if (!append || append.ticket !== ticket) return false
    this.#append = undefined
    let item: Item | undefined = append.first
    for (let at = 0; at < append.count; at++) {
      assert(item, 'one answer for each operation')
      const next: Item | undefined = item.next
      item.next = undefined
      this.#settle(item, answers?.[at])
      item = next
    }
    return true
  }

  /** Takes in what is held of an author, in order: its catch-up is over. */
  drain(author: Uint8Array): void {
    const { topic } = this.#shared
    for (const item of this.#buffer.drain(topic, author as never)) {
      if (this.reserve(item.bytes)) this.add(item)
      else {
        // Back where it was: the room it had is still free.
        this.#hold(item)
        break
      }
    }
  }

  /** Drops everything: the topic is closing. */
  [Symbol.dispose](): void {
    for (let item = this.#append?.first; item; item = item.next) this.#give(item)
    for (let item = this.#first; item; item = item.next) this.#give(item)
    this.#append = this.#first = this.#last = this.#unverified = this.#batches = undefined
    this.#account[Symbol.dispose]()
  }

  #verifyMore(): void {
    const { batchMax, batchesMax } = this.#shared.limits
    while (this.#waiting > 0 && this.#batchCount < batchesMax) {
      // A small batch while others run would only cost a message; it grows until one of them is back.
      if (this.#waiting < batchMax && this.#batchCount > 0) return
      let item = this.#unverified
      while (item && item.state !== 'waiting') item = item.next
      assert(item, 'an item waits and is not in the list')
      const first = item
      const headers: Header[] = []
      for (; item?.state === 'waiting' && headers.length < batchMax; item = item.next) {
        item.state = 'verifying'
        headers.push(item.header!)
      }
      this.#unverified = item
      this.#waiting -= headers.length
      const ticket = this.#shared.tickets.next()
      this.#addBatch({ ticket, first, count: headers.length, next: undefined })
      this.#shared.fx.verify(ticket, headers)
    }
  }

  #judge(item: Item, valid: boolean | undefined): void {
    const { session } = item
    if (session?.failed) item.state = 'dropped'
    else if (valid) item.state = 'valid'
    else {
      item.state = 'dropped'
      if (valid === undefined) {
        this.#failed(item, ending('VERIFY_FAILED', 'signatures could not be verified'))
        return
      }
      this.#shared.counters.bad.add()
      session?.end(
        ending('BAD_SIGNATURE', 'the peer sent an operation that its author did not sign'),
      )
    }
  }

  #appendMore(): void {
    if (this.#append) return
    const { limits, table, topic } = this.#shared
    const batch: StoredOperation[] = []
    let first: Item | undefined
    let last: Item | undefined
    let bytes = 0
    while (this.#first && batch.length < limits.batchMax) {
      const item: Item = this.#first
      if (item.state === 'waiting' || item.state === 'verifying') break
      if (batch.length > 0 && bytes + item.bytes > APPEND_BYTES) break
      this.#shift()
      if (item.state === 'dropped') {
        this.#leave(item)
        continue
      }
      const { author, logId } = item.operation
      if (item.live && this.#buffer.locked(topic, author)) {
        this.#hold(item)
        this.#leave(item)
        continue
      }
      const row = table.row(author, logId, false)
      if (!row) {
        this.#shared.counters.logs_full.add()
        if (item.ticket) this.#outcome.published(item, 'full')
        this.#leave(item)
        continue
      }
      row.uses++
      item.row = row
      if (last) last.next = item
      else first = item
      last = item
      batch.push(item.operation)
      bytes += item.bytes
    }
    if (!first) return
    const ticket = this.#shared.tickets.next()
    this.#append = { ticket, first, count: batch.length }
    this.#shared.fx.append(ticket, batch)
  }

  #settle(item: Item, answer: Appended | undefined): void {
    const row = item.row!
    row.uses--
    if (item.ticket) this.#outcome.published(item, answer ?? 'failed')
    switch (answer) {
      case undefined:
        this.#failed(item, ending('STORE_FAILED', 'the store could not keep what the peer sent'))
        break
      case 'kept':
        row.ours = item.seq + 1
        this.#outcome.kept(row, item)
        this.#followUp(item)
        break
      case 'duplicate':
        this.#outcome.duplicate(row, item)
        break
      case 'gap':
        this.#shared.counters.gaps.add()
        // In the initial sync a peer sends a log in order: what is missing it does not have either.
        if (item.live) this.#hold(item)
        break
      case 'fork':
        this.#outcome.forked(item)
        break
      case 'full':
        this.#failed(item, ending('STORE_FULL', 'the store has no room for what the peer sends'))
        break
    }
    this.#leave(item)
  }

  /** We are to blame: the session ends, and when it has ended before, another one must bring the operation. */
  #failed(item: Item, end: Ending): void {
    if (item.session?.closed) this.#outcome.lost(item)
    else item.session?.end(end)
  }

  /** The operation that waited for this one is next. */
  #followUp(item: Item): void {
    if (this.#buffer.size === 0) return
    const { topic } = this.#shared
    const { author } = item.operation
    if (this.#buffer.locked(topic, author)) return
    const held = this.#buffer.take(topic, author, item.logKey, item.seq + 1)
    if (!held) return
    if (!this.reserve(held.bytes)) {
      this.#hold(held)
      return
    }
    held.next = this.#first
    this.#first = held
    this.#last ??= held
  }

  /** The buffer tells what it had to drop. */
  #hold(item: Item): void {
    item.next = undefined
    const { topic, now } = this.#shared
    this.#buffer.hold(topic, item.operation.author, item, now)
  }

  #shift(): void {
    const item = this.#first!
    this.#first = item.next
    if (!this.#first) this.#last = undefined
    if (this.#unverified === item) this.#unverified = item.next
    item.next = undefined
  }

  #leave(item: Item): void {
    this.#give(item)
    this.#outcome.left(item)
  }

  #give(item: Item): void {
    this.#account.give(item.bytes, 1)
    this.#account.exit('removed')
  }

  #addBatch(batch: Batch): void {
    let last = this.#batches
    while (last?.next) last = last.next
    if (last) last.next = batch
    else this.#batches = batch
    this.#batchCount++
  }

  #takeBatch(ticket: Ticket): Batch | undefined {
    let before: Batch | undefined
    for (let batch = this.#batches; batch; before = batch, batch = batch.next) {
      if (batch.ticket !== ticket) continue
      if (before) before.next = batch.next
      else this.#batches = batch.next
      this.#batchCount--
      return batch
    }
    return undefined
  }
}
