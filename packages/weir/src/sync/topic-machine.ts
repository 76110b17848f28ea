/**
 * Log sync of one topic with all its peers, as a machine: sessions, ingest, delivery, and whom to dial.
 *
 * What is published or received is first kept in the store, then offered to the other peers and to the consumer. Both
 * have bounded queues with the store as their overflow, so nothing is lost and nobody waits for the slowest.
 *
 * Memory: the terms of `syncTerms`, for one topic; nothing else grows.
 */
import { IdSet, type Ledger } from '../bounds/index.ts'
import { copyBytes, equalBytes } from '../codec/index.ts'
import type { NodeId, TopicId } from '../core/index.ts'
import {
  type Fold,
  type Instant,
  type Machine,
  NEVER,
  Reentry,
  type Ticket,
  Tickets,
} from '../machine/index.ts'
import { addMs, Backoff, msBetween, type Random } from '../runtime/index.ts'
import type { LogName, LogState, StoredOperation } from '../store/index.ts'
import type { Backlog, TopicEffects, TopicEvent } from './contract.ts'
import type { SyncCounters } from './counters.ts'
import { DeliveryMachine } from './delivery-machine.ts'
import { ending } from './errors.ts'
import { GossipBuffer } from './gossip-buffer.ts'
import { IngestMachine, type IngestOutcome, type Item } from './ingest-machine.ts'
import { KeeperMachine } from './keeper-machine.ts'
import type { SyncLimits } from './limits.ts'
import { type LogRow, LogTable, rowKey } from './log-table.ts'
import { itemBytes, type SyncTerms } from './memory.ts'
import { payloadBytes } from './messages.ts'
import type { LogPolicy } from './policy.ts'
import { type PeerState, Roster } from './roster.ts'
import { Shared } from './shared.ts'

export interface TopicMachineOptions {
  readonly topic: TopicId
  /** Our own node id: the author of what is published here. */
  readonly self: NodeId
  readonly policy: LogPolicy
  readonly limits: SyncLimits
  /** Made by `syncTerms` from the same limits, and part of the ledger's plan. */
  readonly terms: SyncTerms
  readonly ledger: Ledger
  readonly counters: SyncCounters
  readonly random: Random
  /** Whether operations of our own key are delivered as well. Default false. */
  readonly deliverOwn?: boolean | undefined
  /** See `TopicSyncOptions.relay`. Default `live`. */
  readonly relay?: 'live' | 'on-session' | undefined
  /** The first sequence number to deliver of a log that is in the store at the start. Default: only what is new. */
  readonly deliverFrom?: ((log: LogState) => number) | undefined
  /** Leaves to the store what waits for the peers of other topics. Returns whether anything did. Default: there are none. */
  readonly shedOthers?: (() => boolean) | undefined
}

const RESYNC_MOST_MS = 300_000

export class TopicMachine implements Machine<TopicEvent, TopicEffects> {
  readonly #options: TopicMachineOptions
  readonly #shared: Shared
  readonly #buffer: GossipBuffer<Item>
  readonly #ingest: IngestMachine
  readonly #delivery: DeliveryMachine
  readonly #keeper: KeeperMachine
  readonly #roster: Roster
  readonly #resyncBackoff: Backoff
  readonly #reentry = new Reentry()
  #loading: Ticket | undefined
  #loaded = false
  #disposed = false
  #resyncAt: Instant = NEVER
  #resyncedAt: Instant | undefined
  #reloadAt: Instant = NEVER
  /** The last question to the store that nobody's session ends for was not answered. */
  #storeFails = false

  constructor(options: TopicMachineOptions) {
    const { ledger, limits, terms, random } = options
    const account = (name: keyof SyncTerms) => ledger.require(terms[name])
    this.#options = options
    this.#shared = new Shared({
      ...options,
      tickets: new Tickets(),
      table: new LogTable(account('logs'), (row) => this.#rowGone(row)),
      seen: new IdSet(account('seen'), random),
    })
    this.#buffer = new GossipBuffer<Item>({
      held: account('held'),
      buffers: account('buffers'),
      locks: account('locks'),
      holdMs: limits.holdMs,
      lockMs: limits.lockMs,
      onLost: (_topic, _author, _why, item) => {
        this.#shared.counters.held_dropped.add()
        this.#lost(item as Item)
      },
      onUnlocked: (_topic, author, why) => {
        if (why === 'expired') this.#shared.counters.lock_expired.add()
        if (!this.#disposed) this.#ingest.drain(author)
      },
    })
    this.#ingest = new IngestMachine(this.#shared, account('ingest'), this.#buffer, this.#outcome())
    this.#delivery = new DeliveryMachine(
      this.#shared,
      account('deliver'),
      () => this.#roster.shed() || (options.shedOthers?.() ?? false),
    )
    this.#keeper = new KeeperMachine(this.#shared, account('targets'), random, (peer) =>
      this.#roster.has(peer),
    )
    this.#roster = new Roster(this.#shared, {
      keeper: this.#keeper,
      reserve: (bytes) => this.#ingest.reserve(bytes),
      release: (bytes, entries) => this.#ingest.release(bytes, entries),
      received: (item) => this.#ingest.add(item),
      lock: (author) => this.#buffer.lock(options.topic, author, this.#shared.now),
    })
    this.#resyncBackoff = new Backoff(random, { firstMs: limits.resyncMs, mostMs: RESYNC_MOST_MS })
  }

  get wakeAt(): Instant {
    return this.#shared.wakeAt
  }

  /** Whether the heights of the store are known: sessions may begin from then on. */
  get loaded(): boolean {
    return this.#loaded
  }

  get sessions(): number {
    return this.#roster.size
  }

  get targets(): number {
    return this.#keeper.size
  }

  get backlog(): Backlog {
    return {
      ingest: this.#ingest.size,
      held: this.#buffer.size,
      locks: this.#buffer.locks,
      deliver: this.#delivery.size,
      settled: this.#delivery.settled,
    }
  }

  /** Since when the oldest unfinished frame is there; NEVER without one. */
  get unfinishedSince(): Instant {
    return this.#roster.unfinished?.unfinishedSince ?? NEVER
  }

  /** Leaves to the store what waits for peers. @returns whether anything did. */
  shed(): boolean {
    return this.#roster.shed()
  }

  heightOf({ author, logId }: LogName): number {
    return this.#roster.heightOf(this.#shared.table.find(author, logId))
  }

  peers(): IterableIterator<PeerState> {
    return this.#roster.states()
  }

  /** Whether a peer is served already, so that a dial that has just connected must not go on. */
  served(peer: NodeId): boolean {
    return this.#roster.pulls(peer)
  }

  /** Asks for room for a frame before it is given. False: wait for `resume`. */
  reserve(link: number, bytes: number, now: Instant): boolean {
    const session = this.#roster.session(link)
    if (!session) return true
    this.#shared.now = now
    return session.reserve(bytes)
  }

  /** The next operation for the consumer. An event `taken` follows, at the latest when there is none left. */
  shift(): StoredOperation | undefined {
    return this.#delivery.shift()
  }

  /** Asks the store what there is. Called once, before any event. */
  start(now: Instant, fx: TopicEffects): void {
    this.#run(now, fx, () => this.#load())
  }

  handle(event: TopicEvent, now: Instant, fx: TopicEffects): void {
    this.#run(now, fx, () => this.#handle(event))
  }

  wake(now: Instant, fx: TopicEffects): void {
    this.#run(now, fx, () => {
      this.#shared.wakeAt = NEVER
      for (const session of this.#roster.sessions()) session.wake()
      if (now >= this.#buffer.sweepAt) this.#buffer.sweep(now)
      if (now >= this.#resyncAt) this.#resync()
      if (now >= this.#reloadAt) this.#load()
      this.#keeper.step()
      for (const session of this.#roster.sessions()) this.#shared.arm(session.wakeAt)
      this.#shared.arm(this.#keeper.wakeAt)
      this.#shared.arm(this.#resyncAt)
      this.#shared.arm(this.#reloadAt)
    })
  }

  digest(fold: Fold): void {
    for (const session of this.#roster.sessions()) session.digest(fold)
    for (let row = this.#shared.table.first; row; row = row.nextRow) {
      fold(row.index)
      fold(row.ours)
      fold(row.next)
    }
    fold(this.#ingest.size)
    fold(this.#buffer.size)
    fold(this.#delivery.size)
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#roster[Symbol.dispose]()
    this.#ingest[Symbol.dispose]()
    this.#delivery[Symbol.dispose]()
    this.#buffer[Symbol.dispose]()
    this.#keeper[Symbol.dispose]()
    this.#shared.seen[Symbol.dispose]()
    this.#shared.table[Symbol.dispose]()
  }

  #run(now: Instant, fx: TopicEffects, step: () => void): void {
    if (this.#disposed) return
    this.#reentry.enter(() => {
      const shared = this.#shared
      shared.now = now
      shared.fx = fx
      step()
      this.#ingest.step()
      this.#delivery.step()
      if (this.#loaded) this.#keeper.step()
      shared.arm(this.#buffer.sweepAt)
      shared.arm(this.#delivery.wakeAt)
    })
  }

  #handle(event: TopicEvent): void {
    switch (event.type) {
      case 'frame':
        this.#roster.session(event.link)?.frame(event.bytes)
        return
      case 'sent':
        this.#roster.session(event.link)?.sent(event.bytes)
        return
      case 'flush':
        this.#roster.session(event.link)?.flushed(event.unfinished)
        return
      case 'taken':
        // What there is to do is done after every event.
        return
      case 'verified':
        this.#ingest.verified(event.ticket, event.valid)
        return
      case 'appended':
        if (this.#ingest.appended(event.ticket, event.answers)) this.#roster.pump()
        return
      case 'page':
        if (this.#delivery.page(event.ticket, event.page)) return this.#storeAnswered()
        for (const session of this.#roster.sessions()) {
          if (session.page(event.ticket, event.page)) return
        }
        return
      case 'measured':
        for (const session of this.#roster.sessions()) {
          if (session.measured(event.ticket, event.operations, event.bytes)) return
        }
        return
      case 'failed':
        this.#failed(event.ticket, event.message)
        return
      case 'publish':
        this.#publish(event.ticket, event.operation)
        return
      default:
        this.#control(event)
    }
  }

  #control(event: TopicEvent): void {
    switch (event.type) {
      case 'up':
        // Without the heights of the store there is nothing true to say.
        if (!this.#loaded) {
          this.#shared.fx.close(event.link, ending('CLOSED', 'the topic is not open yet'))
          return
        }
        this.#roster.up(event.link, event.peer, event.outbound)
        return
      case 'down':
        this.#roster.session(event.link)?.down(event.code, event.reason, event.by)
        return
      case 'finished':
        this.#roster.session(event.link)?.finished()
        return
      case 'broken':
        this.#roster.session(event.link)?.end(event.ending)
        return
      case 'want':
        this.#keeper.want(event.peer)
        return
      case 'unwant':
        this.#keeper.unwant(event.peer)
        this.#roster.drop(event.peer)
        return
      case 'yield-frame':
        this.#yieldFrame()
        return
      case 'refresh':
        this.#roster.refresh()
        return
      case 'dial-failed':
        this.#keeper.failed(event.ticket, event.code)
        return
      case 'logs':
        if (event.ticket === this.#loading) this.#load(event.logs)
        return
      case 'forget': {
        const row = this.#shared.table.find(event.log.author, event.log.logId)
        if (row) this.#shared.table.remove(row)
        return
      }
      case 'close':
        this.#roster.close()
    }
  }

  /** Asks for the logs of the store, and takes them in. */
  #load(logs?: readonly LogState[]): void {
    const { table, fx, tickets } = this.#shared
    if (!logs) {
      this.#reloadAt = NEVER
      this.#loading = tickets.next()
      fx.logs(this.#loading)
      return
    }
    this.#loading = undefined
    this.#storeAnswered()
    for (const log of logs) {
      const row = table.row(log.author, log.logId, false)
      if (!row) {
        this.#shared.counters.logs_full.add()
        continue
      }
      row.ours = log.height + 1
      row.next = Math.min(this.#options.deliverFrom?.(log) ?? row.ours, row.ours)
      row.silent = this.#isSilent(row)
      row.pushed = this.#isPushed(row)
      this.#delivery.resume(row)
    }
    this.#loaded = true
  }

  #isSilent(row: LogRow): boolean {
    return !this.#options.deliverOwn && equalBytes(row.author, this.#options.self)
  }

  #isPushed(row: LogRow): boolean {
    return this.#options.relay !== 'on-session' || equalBytes(row.author, this.#options.self)
  }

  #publish(ticket: Ticket, operation: StoredOperation): void {
    // It could be kept, and would never be sent.
    if (payloadBytes(operation, false) > this.#shared.limits.frameBytesMax) {
      this.#shared.fx.published(ticket, 'too-large')
      return
    }
    const bytes = itemBytes(operation.header, operation.body)
    if (!this.#loaded || !this.#ingest.reserve(bytes)) {
      this.#shared.fx.published(ticket, 'busy')
      return
    }
    const { author, logId, seq } = operation
    this.#ingest.add({
      session: undefined,
      ticket,
      header: undefined,
      operation,
      live: true,
      logKey: rowKey(author, logId),
      seq,
      bytes,
      state: 'valid',
      row: undefined,
      next: undefined,
    })
  }

  #failed(ticket: Ticket, message: string): void {
    if (ticket === this.#loading) {
      // Without the heights nothing can be said to a peer; the store may only be busy.
      this.#loading = undefined
      this.#reloadAt = this.#shared.after(this.#shared.limits.retryMostMs / 30)
      this.#shared.arm(this.#reloadAt)
      this.#storeFailed(message)
      return
    }
    if (this.#delivery.page(ticket, undefined)) return this.#storeFailed(message)
    if (this.#ingest.verified(ticket, undefined) || this.#ingest.appended(ticket, undefined)) return
    for (const session of this.#roster.sessions()) if (session.storeFailed(ticket, message)) return
  }

  #yieldFrame(): void {
    const session = this.#roster.unfinished
    const { limits, now } = this.#shared
    if (!session || now < addMs(session.unfinishedSince, limits.silenceMs / 3)) return
    session.end(ending('SYNC_LIMIT', 'a frame that took long had to make room for others'))
  }

  /** Told once, and not each time. */
  #storeFailed(message: string): void {
    if (!this.#storeFails) this.#shared.fx.report({ type: 'store-failed', message })
    this.#storeFails = true
  }

  #storeAnswered(): void {
    if (this.#storeFails) this.#shared.fx.report({ type: 'store-works' })
    this.#storeFails = false
  }

  #outcome(): IngestOutcome {
    return {
      kept: (row, item) => {
        const { operation, session, ticket } = item
        const { counters, seen, fx } = this.#shared
        counters.kept.add()
        seen.add(operation.id)
        session?.peer.reached(row, item.seq)
        row.silent = this.#isSilent(row)
        row.pushed = this.#isPushed(row)
        if (ticket !== undefined) row.published = true
        else if (row.published && equalBytes(row.author, this.#options.self)) {
          counters.key_shared.add()
          const { logId, seq } = operation
          fx.report({ type: 'key-shared', logId, seq, peer: session?.peer.id })
        }
        this.#roster.forward(row, operation)
        this.#delivery.kept(row, operation)
      },
      duplicate: (row, item) => {
        this.#shared.counters.duplicates.add()
        this.#shared.seen.add(item.operation.id)
        item.session?.peer.reached(row, item.seq)
      },
      forked: (item) => this.#forked(item),
      lost: (item) => this.#lost(item),
      published: (item, answer) => this.#shared.fx.published(item.ticket!, answer),
      left: (item) => item.session?.left(),
    }
  }

  #forked(item: Item): void {
    const { counters, fx } = this.#shared
    const { author, logId, seq } = item.operation
    const peer = item.session?.peer.id
    counters.forks.add()
    fx.report({ type: 'fork', author: copyBytes(author) as NodeId, logId, seq, peer })
    if (item.ticket !== undefined || !equalBytes(author, this.#options.self)) return
    counters.key_shared.add()
    fx.report({ type: 'key-shared', logId, seq, peer })
  }

  /** An operation was dropped that is not in the store: a new session with its sender brings it again. */
  #lost(item: Item): void {
    const peer = item.session?.peer
    if (!peer || peer.idle) return
    peer.lost = true
    if (this.#resyncAt !== NEVER) return
    const { now } = this.#shared
    if (this.#resyncedAt !== undefined && msBetween(this.#resyncedAt, now) > RESYNC_MOST_MS) {
      this.#resyncBackoff.reset()
    }
    this.#resyncAt = this.#shared.after(this.#resyncBackoff.next())
    this.#shared.arm(this.#resyncAt)
  }

  #resync(): void {
    this.#resyncAt = NEVER
    this.#resyncedAt = this.#shared.now
    this.#roster.resyncLost()
  }

  #rowGone(row: LogRow): void {
    if (this.#disposed) return
    this.#delivery.forget(row)
    this.#roster.rowGone(row)
  }
}
