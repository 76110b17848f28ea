/**
 * The sending side of a session: what the peer lacks, in pages from the store, one read at a time; then live operations
 * from the queue of the peer, or from the store when the queue was full. Never more than a window is on its way beyond
 * what the stream has taken, but for one page.
 *
 * Memory: three numbers per log, and the bytes of `sync.send` that the stream has not taken.
 */
import type { Account } from '../bounds/index.ts'
import { SEQ_MAX } from '../core/index.ts'
import { type Instant, NEVER, type Ticket } from '../machine/index.ts'
import { addMs } from '../runtime/index.ts'
import type { Page, StoredOperation } from '../store/index.ts'
import type { LogRange } from './contract.ts'
import type { LogRow } from './log-table.ts'
import { FRAME_SHELL_BYTES } from './memory.ts'
import {
  encodeDone,
  encodeOperations,
  encodePreSync,
  type Height,
  operationFrameBytes,
  payloadBytes,
} from './messages.ts'
import { after, type LiveOperation, type Peer, packed } from './peer.ts'
import type { Shared } from './shared.ts'

/** How long a refused charge waits before it is tried again. */
const RETRY_MS = 20

/** What the sending side asks of its session. */
export interface SendingOwner {
  readonly link: number
  readonly closed: boolean
  readonly live: boolean
  /** Whether live operations go out here, now. */
  readonly pushes: boolean
  /** Our Done was sent. */
  sentAll(): void
  /** There is no memory for a frame without which the session cannot go on. */
  starved(): void
}

export class Sending implements Disposable {
  phase: 'have' | 'measuring' | 'operations' | 'done' = 'have'
  readonly #shared: Shared
  readonly #owner: SendingOwner
  readonly #peer: Peer
  readonly #account: Account
  /** Per log, the next sequence number that the peer lacks, as it says on this session. */
  #base: Uint32Array | undefined
  /**
   * Per log, the next one to send in the initial sync. A Have may claim what the peer only expects to get on another
   * session, and we cannot tell; so each session keeps a place of its own.
   */
  #next: Uint32Array | undefined
  /** Per log, up to where the initial sync sends: one more than the last sequence number. */
  #targets: Uint32Array | undefined
  #cursor: LogRow | undefined
  #reading: { readonly ticket: Ticket; readonly row: LogRow; readonly range: LogRange } | undefined
  #measuring: Ticket | undefined
  /** Bytes that the stream has not taken, with the shell of each frame. */
  #outstanding = 0
  #takenAt: Instant
  #retryAt: Instant = NEVER
  /** The last page found no memory: the next one is a single operation, which may fit where a window does not. */
  #refused = false

  /** @param account Of the term `sync.send`; closed with this. */
  constructor(shared: Shared, owner: SendingOwner, peer: Peer, account: Account) {
    this.#shared = shared
    this.#owner = owner
    this.#peer = peer
    this.#account = account
    this.#takenAt = shared.now
  }

  get wakeAt(): Instant {
    const stalledAt = addMs(this.#takenAt, this.#shared.limits.stallMs)
    return Math.min(this.#retryAt, this.#outstanding > 0 ? stalledAt : NEVER) as Instant
  }

  /** Whether the peer takes nothing of what was sent, for too long. */
  get stalled(): boolean {
    const { now, limits } = this.#shared
    return this.#outstanding > 0 && now >= addMs(this.#takenAt, limits.stallMs)
  }

  /** Whether the initial sync has things to send: live operations come after them. */
  get promising(): boolean {
    return this.#targets !== undefined
  }

  /** A refused charge may be tried again. */
  wake(): void {
    if (this.#shared.now < this.#retryAt) return
    this.#retryAt = NEVER
    this.pump()
  }

  /** What the peer says that it has. */
  claimed(heights: readonly Height[]): void {
    const { table, limits } = this.#shared
    const base = new Uint32Array(limits.logsMax)
    for (const { author, logId, height } of heights) {
      const row = table.row(author, logId, true)
      if (!row) continue
      base[row.index] = after(height)
      this.#peer.reached(row, height)
    }
    this.#base = base
    this.#next = base.slice()
  }

  /** Finds what the peer lacks and no other session of it is sending, and asks how much that is. */
  measure(other: Sending | undefined): void {
    const { table, limits, tickets, fx } = this.#shared
    const next = this.#next!
    const targets = new Uint32Array(limits.logsMax)
    const ranges: LogRange[] = []
    for (let row = table.first; row; row = row.nextRow) {
      const from = other ? other.coveredFrom(row, next[row.index]!) : next[row.index]!
      if (from >= packed(row.ours)) continue
      next[row.index] = from
      targets[row.index] = packed(row.ours)
      ranges.push({ author: row.author, logId: row.logId, from, until: row.ours - 1 })
    }
    this.#targets = targets
    this.#cursor = table.first
    if (ranges.length === 0) return this.#sendDone()
    this.phase = 'measuring'
    this.#measuring = tickets.next()
    fx.measure(this.#measuring, ranges)
  }

  /**
   * From where another session of this peer must send a log that the peer lacks from `claimed` on. What this one sends
   * without a gap after that is promised; what comes later follows in live mode.
   */
  coveredFrom(row: LogRow, claimed: number): number {
    const base = this.#base?.[row.index]
    if (base === undefined || base > claimed) return claimed
    const promised = this.#targets?.[row.index] ?? 0
    return promised > 0 ? Number.POSITIVE_INFINITY : Math.max(claimed, this.#next![row.index]!)
  }

  measured(ticket: Ticket, operations: number, bytes: number): boolean {
    if (this.#measuring !== ticket) return false
    this.#measuring = undefined
    if (bytes === 0) this.#sendDone()
    else {
      this.phase = 'operations'
      this.control(encodePreSync(operations, bytes))
      this.pump()
    }
    return true
  }

  /** Whether this ticket is of a question to the store that is still open. */
  asked(ticket: Ticket): boolean {
    return this.#reading?.ticket === ticket || this.#measuring === ticket
  }

  /** The stream has taken bytes. */
  taken(bytes: number): void {
    this.#outstanding -= bytes + FRAME_SHELL_BYTES
    this.#account.give(bytes + FRAME_SHELL_BYTES)
    this.#takenAt = this.#shared.now
    this.pump()
  }

  /** Sends what can be sent. */
  pump(): void {
    if (this.#owner.closed || this.#reading || this.#shared.now < this.#waitUntil()) return
    const half = this.#shared.limits.sendWindowBytes / 2
    if (this.phase === 'operations') {
      if (this.#outstanding <= half) this.#readNext(this.#targets)
    } else if (this.#owner.pushes) {
      const { queue } = this.#peer
      this.#sendQueue()
      // The queue may have been given up on the way.
      if (this.#peer.behind && queue.size === 0 && this.#outstanding <= half) {
        this.#readNext(undefined)
      }
    }
  }

  page(ticket: Ticket, page: Page): boolean {
    const reading = this.#reading
    if (reading?.ticket !== ticket) return false
    this.#reading = undefined
    const { row, range } = reading
    const { operations } = page
    const first = operations[0]
    const hole = first !== undefined && first.seq > range.from && !first.prune
    if (hole || (!first && page.last)) {
      // The beginning is gone from the store: without it the peer could not use the rest.
      if (hole) this.#shared.counters.holes.add()
      this.#advance(row, range.until)
    } else if (first) {
      const fitting = this.#fitting(operations)
      if (fitting.length === 0) this.#tooLong(row, first)
      else if (this.#send(fitting)) {
        const whole = page.last && fitting.length === operations.length
        this.#advance(row, whole ? range.until : fitting[fitting.length - 1]!.seq)
      }
    }
    this.pump()
    return true
  }

  /** A frame that is no operation. */
  control(frame: Uint8Array): void {
    if (this.#owner.closed) return
    if (this.#account.take(frame.length + FRAME_SHELL_BYTES) === 'ok') this.#out(frame)
    else this.#owner.starved()
  }

  /** A row has left the table, and its index will name another log. */
  rowGone(row: LogRow): void {
    if (this.#targets) this.#targets[row.index] = 0
    if (this.#base) this.#base[row.index] = this.#next![row.index] = 0
  }

  digest(fold: (word: number) => void): void {
    fold(PHASES.indexOf(this.phase) + (this.#reading ? 8 : 0))
    fold(this.#outstanding)
  }

  [Symbol.dispose](): void {
    this.#account.give(this.#outstanding)
    this.#outstanding = 0
    this.#reading = this.#measuring = undefined
    this.#base = this.#next = this.#targets = this.#cursor = undefined
    this.#account[Symbol.dispose]()
  }

  #waitUntil(): Instant {
    return this.#retryAt === NEVER ? this.#shared.now : this.#retryAt
  }

  /** Bytes that are sent at once now; one operation goes whatever its length. */
  get #room(): number {
    return this.#refused ? 1 : this.#shared.limits.sendWindowBytes - this.#outstanding
  }

  #sendDone(): void {
    this.phase = 'done'
    this.#targets = this.#cursor = undefined
    this.control(encodeDone())
    this.#owner.sentAll()
    // Live operations of this peer may have waited for what has just been sent.
    this.#peer.push?.pump()
  }

  /** Reads the next range: of the initial sync with targets, of everything that the peer lacks without. */
  #readNext(targets: Uint32Array | undefined): void {
    const { table, tickets, fx } = this.#shared
    const next = targets ? this.#next! : this.#peer.has
    let row = targets && this.#cursor && !this.#cursor.removed ? this.#cursor : table.first
    for (; row; row = row.nextRow) {
      if (!targets && (!row.pushed || next[row.index]! <= row.tooLongAt)) continue
      if (next[row.index]! < (targets ? targets[row.index]! : packed(row.ours))) break
    }
    this.#cursor = row
    if (!row) {
      if (targets) this.#sendDone()
      else this.#peer.behind = false
      return
    }
    const target = targets?.[row.index] ?? row.ours
    const until = target < SEQ_MAX ? target - 1 : row.ours - 1
    const range = { author: row.author, logId: row.logId, from: next[row.index]!, until }
    const ticket = tickets.next()
    this.#reading = { ticket, row, range }
    fx.read(ticket, range, this.#room)
  }

  #advance(row: LogRow, seq: number): void {
    if (row.removed) return
    if (this.#targets) this.#next![row.index] = after(seq)
    this.#peer.reached(row, seq)
  }

  /** What comes before an operation that is longer than a frame. */
  #fitting(operations: readonly StoredOperation[]): readonly StoredOperation[] {
    const { frameBytesMax } = this.#shared.limits
    const end = operations.findIndex((each) => payloadBytes(each, false) > frameBytesMax)
    return end < 0 ? operations : operations.slice(0, end)
  }

  /** No memory will ever do for it. The peer stays where it is in this log, and gets the others. */
  #tooLong(row: LogRow, operation: StoredOperation): void {
    if (row.removed) return
    if (this.#targets) this.#targets[row.index] = 0
    const { seq } = operation
    if (seq <= row.tooLongAt) return
    const again = row.tooLongAt >= 0
    row.tooLongAt = seq
    const { counters, fx } = this.#shared
    counters.too_long.add()
    const { author, logId } = row
    const bytes = payloadBytes(operation, false)
    fx.report({ type: 'too-long', for: 'peers', again, author, logId, seq, bytes })
  }

  #sendQueue(): void {
    const { queue } = this.#peer
    while (queue.size > 0 && this.#outstanding < this.#shared.limits.sendWindowBytes) {
      const batch = this.#nextBatch()
      if (!batch) return this.#peer.fallBehind()
      const { has } = this.#peer
      const out = batch.filter(({ row, operation }) => operation.seq >= has[row.index]!)
      if (out.length > 0 && !this.#send(out.map(({ operation }) => operation))) return
      for (const { row, operation } of batch) {
        this.#peer.reached(row, operation.seq)
        queue.shift()
      }
    }
  }

  /** What fits into the window; undefined when an operation does not follow what the peer has. */
  #nextBatch(): LiveOperation[] | undefined {
    const { queue, has } = this.#peer
    const room = this.#room
    const batch: LiveOperation[] = []
    let bytes = 0
    let previous: LogRow | undefined
    for (const live of queue) {
      const { row, operation } = live
      if (bytes >= room) break
      // Within a batch one operation follows the other, and only the first of a run has to be looked at.
      const follows = row === previous || has[row.index]! >= operation.seq || operation.prune
      if (!follows) return batch.length > 0 ? batch : undefined
      batch.push(live)
      previous = row
      if (operation.seq >= has[row.index]!) bytes += operationFrameBytes(operation, true)
    }
    return batch
  }

  /** @returns false when there is no memory for the frames now; it is tried again later. */
  #send(operations: readonly StoredOperation[]): boolean {
    const { live } = this.#owner
    let bytes = FRAME_SHELL_BYTES
    for (const operation of operations) bytes += operationFrameBytes(operation, live)
    this.#refused = this.#account.take(bytes) !== 'ok'
    if (this.#refused) {
      this.#shared.fx.crowded()
      this.#retryAt = this.#shared.after(RETRY_MS)
      this.#shared.arm(this.#retryAt)
      return false
    }
    this.#shared.counters.sent.add(operations.length)
    this.#out(encodeOperations(operations, live))
    return true
  }

  #out(frames: Uint8Array): void {
    if (this.#outstanding === 0) this.#takenAt = this.#shared.now
    this.#outstanding += frames.length + FRAME_SHELL_BYTES
    this.#shared.fx.send(this.#owner.link, frames)
    this.#shared.arm(this.wakeAt)
  }
}

const PHASES = Object.freeze(['have', 'measuring', 'operations', 'done'])
