/**
 * Log sync of one topic: keeps sessions with peers, keeps what they send in a store, and gives it to a consumer.
 *
 *     const sync = await TopicSync.open({ topic, self, store, connect, policy, verifier, ... })
 *     sync.connect(peer)
 *     await sync.publish(operation)
 *     await sync.close()
 *
 * This is the shell around `TopicMachine`: it owns connections, tasks and one timer, and decides nothing.
 *
 * Memory: the terms of `syncTerms` for one topic, all charged inside the machine but for one entry per open topic.
 */
import { type Account, BoundedMap, type Ledger } from '../bounds/index.ts'
import type { NodeId, TopicId } from '../core/index.ts'
import type { Ticket } from '../machine/index.ts'
import {
  describeError,
  type Instant,
  isCloseError,
  isWeirError,
  msBetween,
  NEVER,
  type Random,
  type Scope,
  type Timer,
  WeirError,
  withTimeout,
} from '../runtime/index.ts'
import type { LogName, LogState, LogStore, StoredOperation } from '../store/index.ts'
import type { Connection } from '../transport/index.ts'
import { Consumer } from './consumer.ts'
import type {
  Backlog,
  LogRange,
  Published,
  SyncReport,
  TopicEffects,
  TopicEvent,
} from './contract.ts'
import { syncCounters } from './counters.ts'
import { type Ending, endError, ending } from './errors.ts'
import { offerTopic } from './handshake.ts'
import { type SyncLimits, wireBytesLeast } from './limits.ts'
import type { SyncTerms } from './memory.ts'
import type { LogPolicy } from './policy.ts'
import { publishError } from './publish-error.ts'
import { logReport } from './report-log.ts'
import type { PeerState } from './roster.ts'
import { type PoolMember, SharedPools } from './shared-pools.ts'
import { type LinkHost, SyncLink } from './sync-link.ts'
import { TopicMachine } from './topic-machine.ts'
import type { BatchVerifier } from './verifying.ts'

export interface TopicSyncOptions {
  readonly topic: TopicId
  /** Our own node id, the author of what is published. */
  readonly self: NodeId
  readonly store: LogStore
  /** Dials a peer for the log sync protocol; usually `endpoint.connect` with the ALPN. */
  connect(peer: NodeId, options: { readonly signal: AbortSignal }): Promise<Connection>
  readonly policy: LogPolicy
  /** `verifyHere(verifier)` or `verifyOnPool(pool)`. */
  readonly verifier: BatchVerifier
  readonly ledger: Ledger
  /** Made by `syncTerms(limits)` and part of the ledger's plan. */
  readonly terms: SyncTerms
  /** Made by `syncLimits`. */
  readonly limits: SyncLimits
  /** The parent of everything that runs here. */
  readonly scope: Scope
  readonly random: Random
  /** Shared by the topics of a node, as the pools of `terms` are. Default: this topic is the only one. */
  readonly pools?: SharedPools
  /** Whether operations of our own key reach `onOperation` as well. Default false. */
  readonly deliverOwn?: boolean
  /**
   * When operations of others reach peers from here: `live`, at once, as p2panda does, or `on-session`, when a session
   * begins. In a mesh where each author has a session with each peer the first sends everything twice. Default `live`.
   */
  readonly relay?: 'live' | 'on-session'
  /** The first sequence number to deliver of a log that is in the store at the start. Default: only what is new. */
  deliverFrom?(log: LogState): number
  /**
   * Takes the operations one by one, each log in order and each operation once; the next comes when the promise
   * settles. A rejection is logged and counted, and the next one comes.
   */
  onOperation?(operation: StoredOperation): void | Promise<void>
  /** Sessions, synced peers, refusals, forks: for logs, status and tests. */
  onReport?(report: SyncReport): void
}

export class TopicSync implements AsyncDisposable {
  readonly topic: TopicId
  readonly #options: TopicSyncOptions
  readonly #scope: Scope
  readonly #machine: TopicMachine
  readonly #account: Account
  readonly #links: BoundedMap<number, SyncLink>
  readonly #waiting: BoundedMap<Ticket, (result: Published) => void>
  readonly #fx: TopicEffects
  #nextLink = 1
  #nextTicket = -1
  #timer: Timer | undefined
  #timerAt: Instant = NEVER
  readonly #consumer: Consumer
  #closing: Promise<void> | undefined
  #loaded = Promise.withResolvers<void>()
  #emptied: (() => void) | undefined
  readonly #pools: SharedPools
  /** A frame found no memory in the step that is under way. */
  #crowded = false

  private constructor(options: TopicSyncOptions, account: Account) {
    const { scope, ledger, terms } = options
    this.topic = options.topic
    this.#options = options
    this.#account = account
    this.#scope = scope.child('sync')
    this.#pools = options.pools ?? new SharedPools()
    this.#machine = new TopicMachine({
      ...options,
      counters: syncCounters(scope.counters),
      shedOthers: () => this.#pools.shed(),
    })
    this.#links = new BoundedMap(ledger.require(terms.links))
    this.#waiting = new BoundedMap(ledger.require(terms.publishes))
    this.#consumer = new Consumer({
      take: () => this.#machine.shift(),
      taken: () => this.#deliver({ type: 'taken' }),
    })
    this.#fx = this.#effects()
    this.#scope.defer('machine', () => this.#dispose())
    this.#scope.own('place', this.#pools.join(this.#member()))
  }

  /**
   * Opens a topic: asks the store what there is.
   *
   * @throws {WeirError} `LIMIT` when `topicsMax` topics are open, `CLOSED` when the scope is.
   */
  static async open(options: TopicSyncOptions): Promise<TopicSync> {
    const account = options.ledger.require(options.terms.topics)
    account.require(0, 1)
    const sync = new TopicSync(options, account)
    sync.#machine.start(sync.#now(), sync.#fx)
    const { onOperation } = options
    if (onOperation) {
      sync.#scope.spawn('consumer', () => sync.#consumer.run(sync.#scope, onOperation))
    }
    await sync.#loaded.promise
    return sync
  }

  /** Sessions that run, the surplus ones included. */
  get sessions(): number {
    return this.#machine.sessions
  }

  get backlog(): Backlog {
    return this.#machine.backlog
  }

  /** The peers with a session. */
  peers(): IterableIterator<PeerState> {
    return this.#machine.peers()
  }

  /** The next sequence number after all that is kept here or that a peer says it has; 0 for a log that nobody knows. */
  heightOf(log: LogName): number {
    return this.#machine.heightOf(log)
  }

  /** Keeps a session with a peer, over failures, until `disconnect`. Peers that dial us need no call. */
  connect(peer: NodeId): void {
    this.#deliver({ type: 'want', peer })
  }

  /** Ends the sessions with a peer and dials it no more. */
  disconnect(peer: NodeId): void {
    this.#deliver({ type: 'unwant', peer })
  }

  /**
   * Takes over a connection whose topic handshake is over, see `SyncAcceptor`.
   *
   * @throws {WeirError} `SYNC_LIMIT` when there is no room for a session; the connection was closed.
   */
  accept(connection: Connection): void {
    const link = this.#open(connection)
    this.#scope.spawn(`session ${link.link}`, () => this.#runLink(link))
  }

  /**
   * Keeps an own operation in the store and sends it to all peers. It must be the next of its log.
   *
   * @throws {WeirError} `STORE_FULL`, `STORE_FAILED` or `SYNC_BUSY` (all retryable), `OPERATION_TOO_LARGE`,
   *   `LOG_FORKED`, `LOG_GAP`, `CLOSED`.
   */
  async publish(operation: StoredOperation): Promise<void> {
    this.#checkOpen()
    const result = await new Promise<Published>((resolve) => {
      const ticket = this.#nextTicket-- as Ticket
      if (this.#waiting.set(ticket, resolve) !== 'ok') return resolve('busy')
      this.#deliver({ type: 'publish', ticket, operation })
    })
    if (result !== 'kept' && result !== 'duplicate') throw publishError(result)
  }

  /** Begins all sessions anew: each peer then sends what it has and we lack, of whatever author. */
  refresh(): void {
    this.#deliver({ type: 'refresh' })
  }

  /** Removes a log from the store and from memory; peers that still have it may send it again. */
  async deleteLog(log: LogName): Promise<boolean> {
    this.#checkOpen()
    const there = await this.#options.store.deleteLog(log)
    this.#deliver({ type: 'forget', log })
    return there
  }

  /** Says Close to all peers, waits for them within their deadline, and ends everything. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    if (!this.#scope.closed) {
      this.#deliver({ type: 'close' })
      if (this.#machine.sessions > 0) {
        await new Promise<void>((resolve) => {
          this.#emptied = resolve
          this.#scope.defer('close', resolve)
        })
      }
    }
    await this.#scope.close()
  }

  #dispose(): void {
    this.#timer?.cancel()
    this.#loaded.promise.catch(() => {})
    this.#loaded.reject(new WeirError('CLOSED', 'the topic was closed'))
    this.#machine[Symbol.dispose]()
    for (const resolve of this.#waiting.values()) resolve('failed')
    this.#waiting[Symbol.dispose]()
    this.#links[Symbol.dispose]()
    this.#account.give(0, 1)
    this.#account[Symbol.dispose]()
  }

  /** This topic, as the others of the node see it. */
  #member(): PoolMember {
    const machine = this.#machine
    return {
      get unfinishedSince() {
        return machine.unfinishedSince
      },
      yieldFrame: () => {
        const { sessions } = machine
        this.#deliver({ type: 'yield-frame' })
        return machine.sessions < sessions
      },
      shed: () => machine.shed(),
    }
  }

  #now(): Instant {
    return this.#scope.clock.now()
  }

  #checkOpen(): void {
    if (this.#closing || this.#scope.closed) throw new WeirError('CLOSED', 'the topic is closed')
  }

  #deliver(event: TopicEvent): void {
    if (this.#scope.closed) return
    this.#machine.handle(event, this.#now(), this.#fx)
    this.#afterStep()
  }

  #afterStep(): void {
    if (this.#emptied && this.#machine.sessions === 0) this.#emptied()
    if (this.#crowded) {
      this.#crowded = false
      this.#pools.yieldFrame()
    }
    const { wakeAt } = this.#machine
    if (wakeAt >= this.#timerAt || this.#scope.closed) return
    // A timer that comes too early is harmless, so it is only ever brought forward.
    this.#timer?.cancel()
    this.#timerAt = wakeAt
    this.#timer = this.#scope.timer('wake', Math.max(msBetween(this.#now(), wakeAt), 0), () => {
      this.#timer = undefined
      this.#timerAt = NEVER
      this.#machine.wake(this.#now(), this.#fx)
      this.#afterStep()
    })
  }

  #open(connection: Connection): SyncLink {
    const { ledger, terms, limits } = this.#options
    const number = this.#nextLink++
    const frame = this.#scope.closed ? undefined : ledger.open(terms.frame)
    // However many sessions there are, a frame of full length has room beside what they all read into.
    const { instances } = ledger.row(terms.frame)
    const crowd = wireBytesLeast(limits.frameBytesMax, instances) > limits.wireBytesMax
    const link =
      frame &&
      !crowd &&
      new SyncLink({
        link: number,
        connection,
        frame,
        frameBytesMax: limits.frameBytesMax,
        openMs: limits.handshakeMs,
        clock: this.#scope.clock,
        host: this.#host,
        signal: this.#scope.signal,
      })
    if (link && this.#links.set(number, link) === 'ok') return link
    if (crowd) frame?.refuse()
    frame?.[Symbol.dispose]()
    connection.close(0, '')
    throw endError(ending('SYNC_LIMIT', 'there is no room for another session of this topic'))
  }

  readonly #host: LinkHost = {
    deliver: (event) => this.#deliver(event),
    yieldFrame: () => this.#pools.yieldFrame(),
    reserve: (link, bytes) => {
      if (this.#scope.closed) return true
      const room = this.#machine.reserve(link, bytes, this.#now())
      if (!room) this.#afterStep()
      return room
    },
  }

  async #runLink(link: SyncLink): Promise<void> {
    try {
      await link.run()
    } finally {
      this.#links.delete(link.link)
    }
  }

  async #dial(ticket: Ticket, peer: NodeId, signal: AbortSignal): Promise<void> {
    const { limits, topic } = this.#options
    const { clock } = this.#scope
    let connection: Connection | undefined
    try {
      connection = await this.#connected(peer, signal)
      if (this.#machine.served(peer)) {
        connection.close(0, '')
        throw endError(ending('SURPLUS', 'the peer has dialled us meanwhile'))
      }
      await offerTopic(connection, topic, { clock, signal, timeoutMs: limits.handshakeMs })
      const link = this.#open(connection)
      await this.#runLink(link)
      // Means nothing when the session had begun. Upstream answers an unknown topic with a close without a word.
      const { lost } = link
      const unknown = lost?.by === 'remote' && lost.code === 0 && lost.reason === ''
      const code = unknown ? 'TOPIC_UNKNOWN' : 'SYNC_LOST'
      this.#deliver({ type: 'dial-failed', ticket, code })
    } catch (error) {
      connection?.close(0, '')
      if (!isWeirError(error)) throw error
      if (!isCloseError(error)) {
        this.#scope.log.debug('a peer was not reached', { error: describeError(error) })
      }
      this.#deliver({ type: 'dial-failed', ticket, code: error.code })
    }
  }

  async #connected(peer: NodeId, signal: AbortSignal): Promise<Connection> {
    const { limits } = this.#options
    const abort = new AbortController()
    const stop = () => abort.abort(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    const dial = this.#options.connect(peer, { signal: abort.signal })
    try {
      return await withTimeout(dial, limits.connectMs, 'the connection', this.#scope.clock)
    } catch (error) {
      if (!isWeirError(error, 'TIMEOUT')) throw error
      const late = endError(ending('CONNECT_TIMEOUT', error.message))
      abort.abort(late)
      // One that connects all the same is not wanted any more.
      dial.then(
        (connection) => connection.close(0, ''),
        () => {},
      )
      throw late
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** Runs what was asked for and brings the answer back as an event. */
  #ask(name: string, ticket: Ticket, run: () => Promise<TopicEvent>): void {
    if (this.#scope.closed) return
    this.#scope.spawn(name, async () => {
      let event: TopicEvent
      try {
        event = await run()
      } catch (error) {
        if (!isWeirError(error)) throw error
        event = { type: 'failed', ticket, message: describeError(error) }
      }
      this.#deliver(event)
      if (event.type === 'logs') this.#loaded.resolve()
    })
  }

  #effects(): TopicEffects {
    const { store, topic, verifier } = this.#options
    return {
      send: (link, frames) => this.#links.peek(link)?.send(frames),
      resume: (link) => this.#links.peek(link)?.resume(),
      close: (link, end) => this.#endLink(link, end),
      dial: (ticket, peer) => {
        if (this.#scope.closed) return
        this.#scope.spawn('dial', (signal) => this.#dial(ticket, peer, signal))
      },
      logs: (ticket) =>
        this.#ask('logs', ticket, async () => ({
          type: 'logs',
          ticket,
          logs: await store.logs(topic),
        })),
      measure: (ticket, ranges) =>
        this.#ask('measure', ticket, async () => ({
          type: 'measured',
          ticket,
          ...(await measure(store, ranges)),
        })),
      read: (ticket, range, bytesMax) =>
        this.#ask('read', ticket, async () => ({
          type: 'page',
          ticket,
          page: await store.read(range, range.from, range.until, bytesMax),
        })),
      verify: (ticket, headers) =>
        this.#ask('verify', ticket, async () => ({
          type: 'verified',
          ticket,
          valid: await verifier.verify(headers),
        })),
      append: (ticket, batch) =>
        this.#ask('append', ticket, async () => ({
          type: 'appended',
          ticket,
          answers: await store.append(topic, batch),
        })),
      published: (ticket, result) => {
        const resolve = this.#waiting.peek(ticket)
        this.#waiting.delete(ticket)
        resolve?.(result)
      },
      crowded: () => {
        this.#crowded = true
      },
      ready: () => this.#consumer.wake(),
      report: (report) => this.#report(report),
    }
  }

  #endLink(link: number, end: Ending): void {
    this.#links.peek(link)?.end(end)
  }

  /** Told one turn later: whoever hears it may call back into the topic. */
  #report(report: SyncReport): void {
    const { onReport } = this.#options
    logReport(this.#scope.log, report)
    if (!onReport) return
    queueMicrotask(() => {
      try {
        onReport(report)
      } catch (error) {
        this.#scope.log.error('the listener of a topic failed', { error })
      }
    })
  }
}

async function measure(store: LogStore, ranges: readonly LogRange[]) {
  let operations = 0
  let bytes = 0
  for (const range of ranges) {
    const part = await store.measure(range, range.from, range.until)
    operations += part.operations
    bytes += part.bytes
  }
  return { operations, bytes }
}
