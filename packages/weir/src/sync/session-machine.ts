/**
 * One session of log sync with one peer, from the end of the topic handshake on: Have, PreSync, Operation, Done in
 * both directions at once, then live operations, then Close. p2panda 0.7.1, both roles.
 *
 * Sending and receiving do not wait for each other: what arrives is handled whatever the peer does with what we send.
 * Operations are sent in pages from the store, one read at a time, and never more than a window beyond what the stream
 * has taken.
 *
 * Memory: one object of `sync.sessions`, one number per log, and the bytes of `sync.send` that the stream has not taken.
 */
import type { Account } from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import { checkBody, decodeHeader, type Header } from '../core/index.ts'
import { type Instant, NEVER, type Ticket } from '../machine/index.ts'
import { addMs, assert, describeError, isWeirError } from '../runtime/index.ts'
import type { Page } from '../store/index.ts'
import type { LogRange } from './contract.ts'
import { type EndCode, type Ending, ending, isCompletion, isOrderly } from './errors.ts'
import type { BufferLock } from './gossip-buffer.ts'
import type { Item } from './ingest-machine.ts'
import { type LogRow, rowKey } from './log-table.ts'
import { OPERATION_SHELL_BYTES, operationBytes } from './memory.ts'
import {
  decodeSync,
  encodeClose,
  encodeDone,
  encodeHave,
  encodeOperations,
  encodePreSync,
  type Height,
  type OperationMessage,
  operationFrameBytes,
  type SyncMessage,
} from './messages.ts'
import { after, type Peer } from './peer.ts'
import type { Shared } from './shared.ts'

/** How long a refused charge waits before it is tried again. */
const RETRY_MS = 20

/** What a session needs of the machine around it. */
export interface SessionHost {
  /** The heights for a Have: ours, or with those of the peer on top. */
  heights(merged: Peer | undefined): readonly Height[]
  reserve(bytes: number): boolean
  release(bytes: number, entries: number): void
  received(item: Item): void
  lock(session: Session): void
  live(session: Session): void
  synced(session: Session): void
  ended(session: Session, end: Ending): void
}

export class Session implements Disposable {
  readonly link: number
  readonly peer: Peer
  readonly outbound: boolean
  readonly #shared: Shared
  readonly #host: SessionHost
  readonly #send: Account
  receiving: 'have' | 'pre-sync' | 'operations' | 'done' = 'have'
  sending: 'have' | 'measuring' | 'operations' | 'done' = 'have'
  /** We have sent Close, for this reason. */
  closing: EndCode | undefined
  closed = false
  failed = false
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
  #outstanding = 0
  /** Operations of this session between the wire and the store. */
  pending = 0
  /** Bytes that were charged for the frame which is about to come. */
  #reserved: number | undefined
  #paused = false
  #operations = 0
  #synced = false
  #heardAt: Instant
  #takenAt: Instant
  #closeAt: Instant = NEVER
  #retryAt: Instant = NEVER
  /** Locks of the authors that this session catches up with. */
  locks: { readonly lock: BufferLock; readonly next: Session['locks'] } | undefined

  constructor(
    shared: Shared,
    host: SessionHost,
    send: Account,
    link: number,
    peer: Peer,
    outbound: boolean,
  ) {
    this.#shared = shared
    this.#host = host
    this.#send = send
    this.link = link
    this.peer = peer
    this.outbound = outbound
    this.#heardAt = this.#takenAt = shared.now
  }

  /** Both directions of the initial sync are over. */
  get complete(): boolean {
    return this.receiving === 'done' && this.sending === 'done'
  }

  get live(): boolean {
    return this.complete && !this.closed
  }

  /** When this session wants to be looked at. */
  get wakeAt(): Instant {
    const { silenceMs, stallMs } = this.#shared.limits
    let at = Math.min(this.#closeAt, this.#retryAt)
    if (this.receiving !== 'done') at = Math.min(at, addMs(this.#heardAt, silenceMs))
    if (this.#outstanding > 0) at = Math.min(at, addMs(this.#takenAt, stallMs))
    return at as Instant
  }

  /** The side that dialled speaks first; the other answers when it knows what the first has. */
  start(): void {
    if (this.outbound) {
      this.peer.pull = this
      this.#control(encodeHave(this.#host.heights(undefined)))
    }
    this.#shared.arm(this.wakeAt)
  }

  wake(): void {
    const { now, limits } = this.#shared
    if (now >= this.#closeAt) {
      this.end(
        ending(
          this.closing === 'RESYNC' ? 'RESYNC' : 'CLOSE_TIMEOUT',
          'the peer did not end the session after our Close',
        ),
      )
      return
    }
    if (this.receiving !== 'done' && now >= addMs(this.#heardAt, limits.silenceMs)) {
      const silent = `the peer was silent for ${limits.silenceMs} ms in the initial sync`
      const full = `there was no memory to read on for ${limits.silenceMs} ms`
      this.end(this.#paused ? ending('SYNC_LIMIT', full) : ending('SYNC_SILENT', silent))
      return
    }
    if (this.#outstanding > 0 && now >= addMs(this.#takenAt, limits.stallMs)) {
      this.end(ending('SEND_STALLED', `the peer took nothing for ${limits.stallMs} ms`))
      return
    }
    if (now >= this.#retryAt) {
      this.#retryAt = NEVER
      if (this.#paused) {
        this.#paused = false
        this.#shared.fx.resume(this.link)
      }
      this.pump()
    }
  }

  /** Makes room for a frame. False: do not read on until `resume`. */
  reserve(bytes: number): boolean {
    if (this.closed) return true
    assert(this.#reserved === undefined, 'a frame was announced and did not come')
    const room = this.pending < this.#shared.limits.ingestPerSessionMax
    // A frame holds at most one operation.
    const cost = bytes + OPERATION_SHELL_BYTES
    if (room && this.#host.reserve(cost)) {
      this.#reserved = cost
      return true
    }
    this.#paused = true
    // With own operations under way the next answer resumes; without, the room is taken by others.
    if (this.pending === 0 || !room) this.#retry()
    return false
  }

  /** An operation of this session has left the ingest. */
  left(): void {
    this.pending--
    if (this.closed) return
    // While we are at work it is not the peer that is silent.
    this.#heardAt = this.#shared.now
    if (this.#paused && this.pending <= this.#shared.limits.ingestPerSessionMax / 2) {
      this.#paused = false
      this.#shared.fx.resume(this.link)
    }
    this.checkSynced()
  }

  frame(bytes: Uint8Array): void {
    if (this.closed) return
    this.#heardAt = this.#shared.now
    let message: SyncMessage
    try {
      const { limits, table } = this.#shared
      message = decodeSync(bytes, {
        heightsMax: limits.logsMax,
        known: (author) => table.knows(author),
      })
    } catch (error) {
      if (!isWeirError(error)) throw error
      const code = error.code === 'INCOMPATIBLE_PEER' ? error.code : 'SYNC_PROTOCOL'
      this.end(ending(code, describeError(error)))
      return
    }
    this.#message(message)
    this.#giveReserved()
  }

  #message(message: SyncMessage): void {
    switch (message.type) {
      case 'have':
        if (this.receiving === 'have') this.#have(message.heights)
        else this.#unexpected(message)
        return
      case 'pre-sync':
        if (this.receiving === 'pre-sync') this.receiving = 'operations'
        else this.#unexpected(message)
        return
      case 'operation':
        if (this.receiving === 'operations') this.#operation(message)
        else this.#unexpected(message)
        return
      case 'done':
        this.#done(message)
        return
      case 'live':
        if (this.live) this.#operation(message)
        else this.#unexpected(message)
        return
      case 'close':
        this.end(ending(this.closing ?? 'DONE', 'the peer ended the session'))
    }
  }

  #unexpected(message: SyncMessage): void {
    this.end(
      ending(
        'SYNC_PROTOCOL',
        `'${message.type}' is not allowed now (${this.receiving}, ${this.sending})`,
      ),
    )
  }

  #done(message: SyncMessage): void {
    // Upstream may send a second Done when rows vanish between its listing and its reading.
    if (this.receiving === 'done') return
    if (this.receiving === 'have') return this.#unexpected(message)
    this.receiving = 'done'
    this.#checkLive()
    this.checkSynced()
  }

  #have(heights: readonly Height[]): void {
    const { peer } = this
    const { table } = this.#shared
    const other = peer.other(this)
    // Without another session nothing is on its way, and what the peer says now is all that counts.
    if (!other) peer.has.fill(0)
    const base = new Uint32Array(this.#shared.limits.logsMax)
    for (const { author, logId, height } of heights) {
      const row = table.row(author, logId, true)
      if (!row) continue
      base[row.index] = after(height)
      peer.reached(row, height)
    }
    this.#base = base
    this.#next = base.slice()
    this.receiving = 'pre-sync'
    if (!this.outbound) {
      const merged = peer.pulledBy(this) !== undefined
      if (!merged) peer.pull = this
      this.#control(encodeHave(this.#host.heights(merged ? peer : undefined)))
      if (this.closed) return
    }
    if (peer.pull === this) this.#host.lock(this)
    this.#measure(other)
  }

  /** What the peer lacks and no other session of it is sending. */
  #measure(other: Session | undefined): void {
    const { table, limits, tickets, fx } = this.#shared
    const next = this.#next!
    const targets = new Uint32Array(limits.logsMax)
    const ranges: LogRange[] = []
    for (let row = table.first; row; row = row.nextRow) {
      const from = other ? other.coveredFrom(row, next[row.index]!) : next[row.index]!
      if (from >= row.ours) continue
      next[row.index] = from
      targets[row.index] = row.ours
      ranges.push({ author: row.author, logId: row.logId, from, until: row.ours - 1 })
    }
    this.#targets = targets
    this.#cursor = table.first
    if (ranges.length === 0) return this.#sendDone()
    this.sending = 'measuring'
    this.#measuring = tickets.next()
    fx.measure(this.#measuring, ranges)
  }

  /** Whether the initial sync of this session has things to send: live operations come after them. */
  get promising(): boolean {
    return this.#targets !== undefined
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
      this.sending = 'operations'
      this.#control(encodePreSync(operations, bytes))
      this.pump()
    }
    return true
  }

  #sendDone(): void {
    this.sending = 'done'
    this.#targets = this.#cursor = undefined
    this.#control(encodeDone())
    this.#checkLive()
    // Live operations of this peer may have waited for what has just been sent.
    this.peer.push?.pump()
    // Another session may have waited with its live operations until these were sent.
    if (!this.live) this.peer.push?.pump()
  }

  #checkLive(): void {
    if (!this.live) return
    this.#host.live(this)
    this.pump()
  }

  /** All that the peer had at the start has arrived and is through. */
  checkSynced(): void {
    if (this.#synced || this.receiving !== 'done' || this.pending > 0 || this.peer.pull !== this)
      return
    this.#synced = true
    this.#host.synced(this)
  }

  get received(): number {
    return this.#operations
  }

  #operation(message: OperationMessage): void {
    const { counters, policy, table, seen } = this.#shared
    counters.received.add()
    let header: Header
    try {
      header = decodeHeader(message.header)
    } catch (error) {
      if (!isWeirError(error)) throw error
      counters.bad.add()
      this.end(
        ending('BAD_HEADER', `the peer sent a header that cannot be read: ${describeError(error)}`),
      )
      return
    }
    this.#operations++
    const placement = policy.admit(header)
    if (typeof placement === 'string') return this.#refuse(placement)
    const { logId } = placement
    if (seen.has(header.id)) {
      counters.duplicates.add()
      const row = table.find(header.author, logId)
      if (row) this.peer.reached(row, header.seq)
      return
    }
    if (checkBody(header, message.body) !== 'ok')
      return this.#refuse('the body is not the one of the header')
    const body = message.body && copyBytes(message.body)
    const bytes = operationBytes(header.bytes, body)
    this.#host.release(this.#reserved! - bytes, 0)
    this.#reserved = undefined
    this.pending++
    const { author } = header
    this.#host.received({
      session: this,
      ticket: undefined,
      header,
      operation: {
        id: header.id,
        author,
        logId,
        seq: header.seq,
        backlink: header.backlink,
        header: header.bytes,
        body,
        payloadSize: header.payloadSize,
        prune: placement.prune,
      },
      live: message.type === 'live',
      logKey: rowKey(author, logId),
      seq: header.seq,
      bytes,
      state: 'waiting',
      row: undefined,
      next: undefined,
    })
  }

  #refuse(reason: string): void {
    this.#shared.counters.refused.add()
    this.#shared.fx.report({ type: 'refused', peer: this.peer.id, reason })
  }

  /** The stream has taken bytes. */
  sent(bytes: number): void {
    if (this.closed) return
    this.#outstanding -= bytes
    this.#send.give(bytes)
    this.#takenAt = this.#shared.now
    this.pump()
  }

  /** Sends what can be sent. */
  pump(): void {
    if (this.closed || this.closing || this.#reading) return
    if (this.#retryAt !== NEVER && this.#shared.now < this.#retryAt) return
    const { sendWindowBytes } = this.#shared.limits
    if (this.sending === 'operations') {
      if (this.#outstanding <= sendWindowBytes / 2) this.#readNext(this.#targets)
    } else if (this.live && this.peer.push === this && !this.peer.other(this)?.promising) {
      this.#sendQueue()
      if (
        this.peer.behind &&
        this.peer.queue.size === 0 &&
        this.#outstanding <= sendWindowBytes / 2
      ) {
        this.#readNext(undefined)
      }
    }
  }

  /** Reads the next range: of the initial sync with targets, of everything that the peer lacks without. */
  #readNext(targets: Uint32Array | undefined): void {
    const { table, limits, tickets, fx } = this.#shared
    const next = targets ? this.#next! : this.peer.has
    let row = targets && this.#cursor && !this.#cursor.removed ? this.#cursor : table.first
    for (; row; row = row.nextRow) {
      if (next[row.index]! < (targets ? targets[row.index]! : row.ours)) break
    }
    this.#cursor = row
    if (!row) {
      if (targets) this.#sendDone()
      else this.peer.behind = false
      return
    }
    const until = (targets ? targets[row.index]! : row.ours) - 1
    const range = { author: row.author, logId: row.logId, from: next[row.index]!, until }
    const ticket = tickets.next()
    this.#reading = { ticket, row, range }
    fx.read(ticket, range, limits.sendWindowBytes - this.#outstanding)
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
    } else if (first && this.#operationsOut(operations)) {
      const end = page.last ? range.until : operations[operations.length - 1]!.seq
      this.#advance(row, end)
    }
    this.pump()
    return true
  }

  #advance(row: LogRow, seq: number): void {
    if (this.#targets) this.#next![row.index] = after(seq)
    this.peer.reached(row, seq)
  }

  #sendQueue(): void {
    const { queue, has } = this.peer
    const { sendWindowBytes } = this.#shared.limits
    while (queue.size > 0 && this.#outstanding < sendWindowBytes) {
      const batch: { row: LogRow; operation: Item['operation'] }[] = []
      let bytes = 0
      for (const live of queue) {
        const { row, operation } = live
        if (this.#outstanding + bytes >= sendWindowBytes) break
        if (has[row.index]! < operation.seq && !operation.prune) return this.peer.fallBehind()
        batch.push(live)
        if (operation.seq >= has[row.index]!) bytes += operationFrameBytes(operation, true)
      }
      const out = batch.filter(({ row, operation }) => operation.seq >= has[row.index]!)
      if (out.length > 0 && !this.#operationsOut(out.map(({ operation }) => operation))) return
      for (const { row, operation } of batch) {
        this.peer.reached(row, operation.seq)
        queue.shift()
      }
    }
  }

  /** @returns false when there is no memory for the frames now; it is tried again later. */
  #operationsOut(operations: readonly Item['operation'][]): boolean {
    const { live } = this
    let bytes = 0
    for (const operation of operations) bytes += operationFrameBytes(operation, live)
    if (this.#send.take(bytes) !== 'ok') {
      this.#retry()
      return false
    }
    this.#shared.counters.sent.add(operations.length)
    this.#out(encodeOperations(operations, live))
    return true
  }

  #control(frame: Uint8Array): void {
    if (this.closed) return
    if (this.#send.take(frame.length) === 'ok') this.#out(frame)
    else this.end(ending('SYNC_LIMIT', 'there is no memory for a frame to the peer'))
  }

  #out(frames: Uint8Array): void {
    if (this.#outstanding === 0) this.#takenAt = this.#shared.now
    this.#outstanding += frames.length
    this.#shared.fx.send(this.link, frames)
    this.#shared.arm(this.wakeAt)
  }

  /** Asks the peer to end, and goes on reading until it does. */
  sayClose(why: EndCode): void {
    if (this.closed || this.closing) return
    if (!this.live) return this.end(ending(why, 'the session was ended here'))
    this.closing = why
    this.#closeAt = this.#shared.after(this.#shared.limits.closeMs)
    this.#control(encodeClose())
    this.#shared.arm(this.#closeAt)
  }

  down(code: number, reason: string, by: 'remote' | 'local' | 'lost'): void {
    // Only from the peer does it mean that what was sent before our Close has arrived.
    if (this.closing && by === 'remote' && code === 0) {
      return this.end(ending(this.closing, 'the session was ended here'))
    }
    if (code === 0 && isCompletion(reason))
      return this.end(ending('DONE', 'the peer ended the session'))
    const early = this.outbound && this.receiving === 'have'
    if (early && by === 'remote' && code === 0 && reason === '') {
      return this.end(ending('TOPIC_UNKNOWN', 'the peer does not take part in the topic'))
    }
    const how = by === 'remote' ? `closed by the peer: ${code} ${reason}` : `lost: ${reason}`
    this.end(ending('SYNC_LOST', `the connection was ${how.trim()}`))
  }

  /** The peer's stream has ended. */
  finished(): void {
    const end = ending('SYNC_LOST', 'the peer ended its stream without a Close')
    this.end(this.closing ? ending(this.closing, 'the session was ended here') : end)
  }

  /** Ends the session at once. */
  end(end: Ending): void {
    if (this.closed) return
    this.closed = true
    this.failed = !isOrderly(end.code)
    this.#shared.fx.close(this.link, end)
    this.#giveReserved()
    this.#send.give(this.#outstanding)
    this.#outstanding = 0
    this.#reading = this.#measuring = undefined
    this.#base = this.#next = this.#targets = this.#cursor = undefined
    this.unlock()
    this.#send[Symbol.dispose]()
    this.#host.ended(this, end)
  }

  /** Gives up what is held, without a word to anybody. */
  [Symbol.dispose](): void {
    if (this.closed) return
    this.closed = true
    this.#giveReserved()
    this.#send.give(this.#outstanding)
    this.unlock()
    this.#send[Symbol.dispose]()
  }

  rowGone(row: LogRow): void {
    if (this.#targets) this.#targets[row.index] = 0
    if (this.#base) this.#base[row.index] = this.#next![row.index] = 0
  }

  unlock(): void {
    while (this.locks) {
      const { lock, next } = this.locks
      this.locks = next
      lock[Symbol.dispose]()
    }
  }

  /** What this session asked for failed in the store. */
  storeFailed(ticket: Ticket, message: string): boolean {
    if (this.#reading?.ticket !== ticket && this.#measuring !== ticket) return false
    this.end(ending('STORE_FAILED', `the store could not be read: ${message}`))
    return true
  }

  #giveReserved(): void {
    if (this.#reserved !== undefined) this.#host.release(this.#reserved, 1)
    this.#reserved = undefined
  }

  #retry(): void {
    this.#retryAt = this.#shared.after(RETRY_MS)
    this.#shared.arm(this.#retryAt)
  }

  digest(fold: (word: number) => void): void {
    fold(this.link)
    fold(PHASES.indexOf(this.receiving) * 8 + PHASES.indexOf(this.sending))
    fold(this.#outstanding)
    fold(this.pending)
    fold((this.closing ? 1 : 0) + (this.#paused ? 2 : 0) + (this.#reading ? 4 : 0))
  }
}

const PHASES = Object.freeze(['have', 'pre-sync', 'measuring', 'operations', 'done'])
