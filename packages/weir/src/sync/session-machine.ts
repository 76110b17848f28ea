/**
 * One session of log sync with one peer, from the end of the topic handshake on: Have, PreSync, Operation, Done in
 * both directions at once, then live operations, then Close. p2panda 0.7.1, both roles.
 *
 * Sending (`sending-machine.ts`) and receiving do not wait for each other: what arrives is handled whatever the peer does
 * with what we send.
 *
 * Memory: one object of `sync.sessions`, and what its sending side holds.
 */
import type { Account } from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import { checkBody, decodeHeader, type Header } from '../core/index.ts'
import { type Instant, NEVER, type Ticket } from '../machine/index.ts'
import { addMs, assert, describeError, isWeirError } from '../runtime/index.ts'
import type { Page } from '../store/index.ts'
import { type EndCode, type Ending, ending, isCompletion, isOrderly } from './errors.ts'
import type { BufferLock } from './gossip-buffer.ts'
import type { Item } from './ingest-machine.ts'
import { type LogRow, rowKey } from './log-table.ts'
import { ITEM_SHELL_BYTES, itemBytes } from './memory.ts'
import {
  decodeSync,
  encodeClose,
  encodeHave,
  type Height,
  type OperationMessage,
  type SyncMessage,
} from './messages.ts'
import type { Peer } from './peer.ts'
import { Sending, type SendingOwner } from './sending-machine.ts'
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

export class Session implements SendingOwner, Disposable {
  readonly link: number
  readonly peer: Peer
  readonly outbound: boolean
  readonly #shared: Shared
  readonly #host: SessionHost
  readonly #sending: Sending
  receiving: 'have' | 'pre-sync' | 'operations' | 'done' = 'have'
  /** We have sent Close, for this reason. */
  closing: EndCode | undefined
  closed = false
  failed = false
  /** Operations of this session between the wire and the store. */
  pending = 0
  /** Bytes that were charged for the frame which is about to come. */
  #reserved: number | undefined
  #paused = false
  #operations = 0
  #synced = false
  #heardAt: Instant
  /** Since when the beginning of a frame is here without its end, while we read; NEVER without one. */
  unfinishedSince: Instant = NEVER
  #closeAt: Instant = NEVER
  /** Not later than this, whatever the peer still does. */
  #closeBy: Instant = NEVER
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
    this.link = link
    this.peer = peer
    this.outbound = outbound
    this.#heardAt = shared.now
    this.#sending = new Sending(shared, this, peer, send)
  }

  /** Both directions of the initial sync are over. */
  get complete(): boolean {
    return this.receiving === 'done' && this.#sending.phase === 'done'
  }

  /** Whether the peer was or will be sent anything. */
  get engaged(): boolean {
    return this.#sending.phase !== 'have'
  }

  get live(): boolean {
    return this.complete && !this.closed
  }

  /** Whether live operations go out here, now: not before another session has sent its part of the initial sync. */
  get pushes(): boolean {
    const { peer } = this
    return this.live && !this.closing && peer.push === this && !peer.other(this)?.promising
  }

  get promising(): boolean {
    return this.#sending.promising
  }

  /** When this session wants to be looked at. */
  get wakeAt(): Instant {
    return Math.min(this.#closeAt, this.#retryAt, this.#silentAt, this.#sending.wakeAt) as Instant
  }

  /** When there must have been a frame: always in the initial sync, and of what was begun in live mode. */
  get #silentAt(): Instant {
    const since = this.receiving === 'done' ? this.unfinishedSince : this.#heardAt
    return addMs(since, this.#shared.limits.silenceMs)
  }

  /** The side that dialled speaks first; the other answers when it knows what the first has. */
  start(): void {
    if (this.outbound) {
      this.peer.pull = this
      this.#sending.control(encodeHave(this.#host.heights(undefined)))
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
    if (now >= this.#silentAt) {
      const live = this.receiving === 'done'
      const what = live ? 'did not end a frame within' : 'was silent in the initial sync for'
      const silent = `the peer ${what} ${limits.silenceMs} ms`
      const full = `there was no memory to read on for ${limits.silenceMs} ms`
      this.end(this.#paused ? ending('SYNC_LIMIT', full) : ending('SYNC_SILENT', silent))
      return
    }
    if (this.#sending.stalled) {
      this.end(ending('SEND_STALLED', `the peer took nothing for ${limits.stallMs} ms`))
      return
    }
    if (now >= this.#retryAt) {
      this.#retryAt = NEVER
      if (this.#paused) {
        this.#paused = false
        this.#shared.fx.resume(this.link)
      }
    }
    this.#sending.wake()
  }

  /** Makes room for a frame. False: do not read on until `resume`. */
  reserve(bytes: number): boolean {
    if (this.closed) return true
    assert(this.#reserved === undefined, 'a frame was announced and did not come')
    this.unfinishedSince = NEVER
    const room = this.pending < this.#shared.limits.ingestPerSessionMax
    // A frame holds at most one operation.
    const cost = bytes + ITEM_SHELL_BYTES
    if (room && this.#host.reserve(cost)) {
      this.#reserved = cost
      return true
    }
    this.#paused = true
    // With own operations under way the next answer resumes; without, the room is taken by others.
    if (this.pending === 0 || !room) {
      this.#retryAt = this.#shared.after(RETRY_MS)
      this.#shared.arm(this.#retryAt)
    }
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

  /** All that had arrived was given, but for the beginning of a frame. */
  flushed(unfinished: boolean): void {
    if (!unfinished) this.unfinishedSince = NEVER
    else if (this.unfinishedSince === NEVER) this.unfinishedSince = this.#shared.now
    this.#shared.arm(this.#silentAt)
  }

  frame(bytes: Uint8Array): void {
    if (this.closed) return
    this.#heardAt = this.#shared.now
    this.#waitLonger()
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
        `'${message.type}' is not allowed now (${this.receiving}, ${this.#sending.phase})`,
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
    const other = peer.other(this)
    // Without another session nothing is on its way, and what the peer says now is all that counts.
    if (!other) peer.has.fill(0)
    this.#sending.claimed(heights)
    this.receiving = 'pre-sync'
    if (!this.outbound) {
      const merged = peer.pulledBy(this) !== undefined
      if (!merged) peer.pull = this
      this.#sending.control(encodeHave(this.#host.heights(merged ? peer : undefined)))
      if (this.closed) return
    }
    if (peer.pull === this) this.#host.lock(this)
    this.#sending.measure(other ? other.#sending : undefined)
  }

  measured(ticket: Ticket, operations: number, bytes: number): boolean {
    return this.#sending.measured(ticket, operations, bytes)
  }

  page(ticket: Ticket, page: Page): boolean {
    return this.#sending.page(ticket, page)
  }

  /** @internal Our Done was sent. */
  sentAll(): void {
    this.#checkLive()
  }

  /** @internal */
  starved(): void {
    this.end(ending('SYNC_LIMIT', 'there is no memory for a frame to the peer'))
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
    const bytes = itemBytes(header.bytes, body)
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
      logKey: table.find(author, logId)?.key ?? rowKey(author, logId),
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
    this.#waitLonger()
    this.#sending.taken(bytes)
  }

  /** Sends what can be sent. */
  pump(): void {
    this.#sending.pump()
  }

  /** Asks the peer to end, and goes on reading until it does. */
  sayClose(why: EndCode): void {
    if (this.closed || this.closing) return
    if (!this.live) return this.end(ending(why, 'the session was ended here'))
    this.closing = why
    this.#closeAt = this.#closeBy = this.#shared.after(this.#shared.limits.closeMs)
    this.#waitLonger()
    this.#sending.control(encodeClose())
    this.#shared.arm(this.#closeAt)
  }

  /** While all closes, a peer has time from the last sign of life on. */
  #waitLonger(): void {
    if (this.closing !== 'CLOSED') return
    this.#closeAt = Math.min(
      this.#closeBy,
      this.#shared.after(this.#shared.limits.farewellMs),
    ) as Instant
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
    this.unlock()
    this.#sending[Symbol.dispose]()
    this.#host.ended(this, end)
  }

  /** Gives up what is held, without a word to anybody. */
  [Symbol.dispose](): void {
    if (this.closed) return
    this.closed = true
    this.#giveReserved()
    this.unlock()
    this.#sending[Symbol.dispose]()
  }

  rowGone(row: LogRow): void {
    this.#sending.rowGone(row)
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
    if (!this.#sending.asked(ticket)) return false
    this.end(ending('STORE_FAILED', `the store could not be read: ${message}`))
    return true
  }

  #giveReserved(): void {
    if (this.#reserved !== undefined) this.#host.release(this.#reserved, 1)
    this.#reserved = undefined
  }

  digest(fold: (word: number) => void): void {
    fold(this.link)
    fold(PHASES.indexOf(this.receiving))
    fold(this.pending)
    fold((this.closing ? 1 : 0) + (this.#paused ? 2 : 0))
    this.#sending.digest(fold)
  }
}

const PHASES = Object.freeze(['have', 'pre-sync', 'operations', 'done'])
