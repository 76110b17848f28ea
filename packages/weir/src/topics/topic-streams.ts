/**
 * The streams of a node: eventually consistent, persisted, one sync per topic, any number of streams on it.
 *
 * A stream leaves by `unsubscribe`, disposal, the end of its loop, an error in it, or an abort, and then no index keeps a
 * trace of it (leak analysis, finding 3: the reference had no way out at all). Indexes hold ids and never the handle: a
 * forgotten handle is collected, reported with where it was made, and cleaned up. Ids are never used again.
 *
 * Memory: the terms of `topicTerms`, beside those of the sync of each topic.
 */
import { type Account, BoundedMap, type Ledger, limitError, MultiMap } from '../bounds/index.ts'
import {
  idKey,
  type KeyPair,
  type NodeId,
  type TopicId,
  topicLogId,
  topicName,
} from '../core/index.ts'
import { onAbort, type Random, type Scope, throwIfAborted, WeirError } from '../runtime/index.ts'
import type { LogName, LogState, LogStore, StoredOperation } from '../store/index.ts'
import {
  type BatchVerifier,
  type LogPolicy,
  type PeerState,
  SharedPools,
  type SyncLimits,
  type SyncReport,
  type SyncTerms,
  TopicSync,
  topicStreamPolicy,
} from '../sync/index.ts'
import type { Connection } from '../transport/index.ts'
import { Cursor } from './cursor.ts'
import { type TopicLimits, type TopicTerms, TRACE_CHARS_MAX } from './memory.ts'
import { OwnLog, type PublishOptions } from './own-log.ts'
import { type SlowConsumer, StreamState } from './stream-state.ts'
import { type StreamHost, TopicStream } from './topic-stream.ts'

export interface TopicStreamsOptions {
  /** Owns all topics and streams. */
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: TopicTerms
  readonly limits: TopicLimits
  /** Signs what is published here. */
  readonly key: KeyPair
  readonly store: LogStore
  readonly syncTerms: SyncTerms
  readonly syncLimits: SyncLimits
  readonly verifier: BatchVerifier
  readonly random: Random
  /** Dials a peer for log sync. */
  connect(peer: NodeId, options: { readonly signal: AbortSignal }): Promise<Connection>
  /** With whom each topic keeps a session; others may dial us. */
  readonly peers?: readonly NodeId[]
  /** The key has never written on any topic, so that a store that forgets needs no peer to know the head. */
  readonly freshKey?: boolean
  onReport?(topic: TopicId, report: SyncReport): void
}

export interface OpenStreamOptions {
  /**
   * Where the consumer begins in logs that are in the store already. `new` (default): with what comes from now on.
   * `start`: with the first operation that is kept. With a cursor it begins after what was acknowledged.
   */
  readonly from?: 'new' | 'start'
  /** Remembers in the store how far the consumer has come; see `ack`. Letters, digits, dots, dashes. */
  readonly cursor?: string
  /**
   * What a slow consumer means. `wait` (default): the topic waits with it, and so do its other streams; nothing is lost,
   * what is not yet delivered is in the store. `drop`: the oldest waiting operations go, and a gap event tells.
   */
  readonly slow?: SlowConsumer
  /** Whether there is a consumer. Default true; false for streams that only publish. */
  readonly consume?: boolean
  /** Whether operations of this node are delivered too. Decided by the first stream of a topic. Default false. */
  readonly deliverOwn?: boolean
  /** Which operations belong to the topic. Decided by the first stream. Default: those of p2panda's topic streams. */
  readonly policy?: LogPolicy
  /** Unsubscribes when it is aborted. */
  readonly signal?: AbortSignal
}

interface Topic {
  readonly topic: TopicId
  readonly scope: Scope
  /** Settles when the sync is open, or could not be opened. */
  opening: Promise<void>
  sync: TopicSync | undefined
  own: OwnLog | undefined
  closing: Promise<void> | undefined
}

export class TopicStreams implements AsyncDisposable {
  readonly #options: TopicStreamsOptions
  readonly #scope: Scope
  readonly #topics: BoundedMap<string, Topic>
  readonly #streams: BoundedMap<number, StreamState>
  readonly #byTopic: MultiMap<string, number>
  readonly #publishes: Account
  readonly #forgotten: FinalizationRegistry<number>
  readonly #host: StreamHost
  readonly #pools = new SharedPools()
  #nextId = 1
  #closing: Promise<void> | undefined

  constructor(options: TopicStreamsOptions) {
    const { ledger, terms } = options
    this.#options = options
    this.#scope = options.scope.child('topics')
    this.#publishes = this.#scope.own('publishes', ledger.require(terms.publishes))
    this.#topics = this.#scope.own('topics', new BoundedMap(ledger.require(terms.topics)))
    this.#byTopic = this.#scope.own(
      'by topic',
      new MultiMap<string, number>(ledger.require(terms.byTopic), {
        valuesPerKeyMax: options.limits.streamsMax,
      }),
    )
    this.#streams = this.#scope.own(
      'streams',
      new BoundedMap<number, StreamState>(ledger.require(terms.streams), {
        onExit: (_id, state) => state.close(),
      }),
    )
    this.#scope.defer('close streams', () => this.#closeAll())
    this.#forgotten = new FinalizationRegistry((id) => this.#forget(id))
    this.#host = {
      publish: (topicKey, body, publish) => this.#publish(topicKey, body, publish),
      headKnown: (topicKey) => this.#topics.peek(topicKey)?.own?.headKnown ?? false,
      unsubscribe: (id) => this.#unsubscribe(id),
    }
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size
  }

  /** Topics with a stream. */
  get topics(): number {
    return this.#topics.size
  }

  /**
   * Opens a stream.
   *
   * @throws {WeirError} `LIMIT` when there are too many streams or topics, `TOPIC_OPEN` when a further stream of a topic
   *   asks for what only the first can have, `CURSOR_NAME_INVALID`, `CLOSED`, or what the store says.
   */
  async open(topic: TopicId, options: OpenStreamOptions = {}): Promise<TopicStream> {
    throwIfAborted(options.signal)
    if (this.#closing) throw new WeirError('CLOSED', 'the streams are closed')
    throwIfAborted(this.#scope.signal)
    // Taken here, where the frame of the caller is still on the stack.
    const trace = this.#options.limits.traced ? traceHere() : ''
    const state = await this.#openState(topic, options, trace)
    const stream = new TopicStream(topic, state, this.#host)
    this.#forgotten.register(stream, state.id, state)
    return stream
  }

  /** The sync of a topic, for connections that others dial; undefined when no stream has it open. */
  find(topic: TopicId): TopicSync | undefined {
    const state = this.#topics.peek(idKey(topic))
    return state?.closing ? undefined : state?.sync
  }

  /** What is open, for the status. Topics are secrets of their members: a part of their log id names them. */
  *states(): IterableIterator<{
    readonly name: string
    readonly streams: number
    readonly headKnown: boolean
    readonly peers: readonly PeerState[]
  }> {
    for (const [key, { topic, sync, own }] of this.#topics) {
      if (!sync || !own) continue
      yield {
        name: topicName(topic),
        streams: this.#byTopic.count(key),
        headKnown: own.headKnown,
        peers: [...sync.peers()],
      }
    }
  }

  /** Ends all streams, says goodbye to the peers of each topic, and ends everything. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll().then(() => this.#scope.close())
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #openState(
    topic: TopicId,
    options: OpenStreamOptions,
    trace: string,
  ): Promise<StreamState> {
    const { ledger, terms, store } = this.#options
    const name = options.cursor
    let cursor: Cursor | undefined
    if (name !== undefined) {
      const account = ledger.require(terms.cursors, { label: topicName(topic) })
      cursor = await Cursor.open(store, { name, topic, account })
    }
    let state: StreamState | undefined
    try {
      throwIfAborted(this.#scope.signal)
      state = new StreamState({
        id: this.#nextId++,
        topicKey: idKey(topic),
        slow: options.slow ?? 'wait',
        consume: options.consume ?? true,
        cursor,
        trace,
        queue: ledger.require(options.slow === 'drop' ? terms.dropQueue : terms.waitQueue),
      })
      await this.#join(topic, state, options)
      return state
    } catch (error) {
      cursor?.[Symbol.dispose]()
      state?.close()
      if (state) await this.#unsubscribe(state.id)
      throw error
    }
  }

  /** Enters the stream into the indexes, and opens its topic if it is the first. */
  async #join(topic: TopicId, state: StreamState, options: OpenStreamOptions): Promise<void> {
    const { id, topicKey } = state
    let present = this.#topics.peek(topicKey)
    while (present?.closing) {
      await present.closing
      throwIfAborted(this.#scope.signal)
      present = this.#topics.peek(topicKey)
    }
    if (present) checkFurther(options)
    const admission = this.#streams.set(id, state)
    if (admission !== 'ok') throw limitError(this.#streams.account, admission, 0)
    const room = this.#byTopic.add(topicKey, id)
    if (room !== 'ok') throw limitError(this.#streams.account, room, 0)
    await (present ?? this.#openTopic(topic, state, options)).opening
    if (state.closed) throw new WeirError('CLOSED', 'the stream was closed while it was opened')
    const { signal } = options
    if (!signal) return
    throwIfAborted(signal)
    const leave = onAbort(signal, () => {
      if (!this.#scope.closed) this.#scope.spawn('unsubscribe', () => this.#unsubscribe(id))
    })
    state.attach(leave)
  }

  #openTopic(topic: TopicId, state: StreamState, options: OpenStreamOptions): Topic {
    const entry: Topic = {
      topic,
      scope: this.#scope.child(`topic ${topicName(topic)}`),
      opening: Promise.resolve(),
      sync: undefined,
      own: undefined,
      closing: undefined,
    }
    const admission = this.#topics.set(state.topicKey, entry)
    if (admission !== 'ok') {
      this.#scope.spawn('close topic', () => entry.scope.close())
      throw limitError(this.#topics.account, admission, 0)
    }
    entry.opening = this.#startTopic(entry, state, options)
    return entry
  }

  async #startTopic(entry: Topic, state: StreamState, options: OpenStreamOptions): Promise<void> {
    const { key, store, limits, peers, onReport } = this.#options
    const { topic, scope } = entry
    const { topicKey, cursor } = state
    const logId = topicLogId(topic)
    const name = { author: key.id, logId }
    const own = new OwnLog({
      key,
      logId,
      store,
      clock: scope.clock,
      account: this.#publishes,
      operationBytesMax: limits.operationBytesMax,
      fresh: this.#options.freshKey ?? false,
      publish: (operation) => entry.sync!.publish(operation),
    })
    // Before anything can be evicted for what peers send.
    store.pin(name)
    scope.defer('unpin', () => store.unpin(name))
    const first = (log: LogState) => {
      if (cursor) return Math.max(cursor.next(log), log.from)
      return options.from === 'start' ? log.from : log.height + 1
    }
    entry.sync = await TopicSync.open({
      topic,
      self: key.id,
      store,
      connect: this.#options.connect,
      policy: options.policy ?? topicStreamPolicy(topic),
      verifier: this.#options.verifier,
      ledger: this.#options.ledger,
      terms: this.#options.syncTerms,
      limits: this.#options.syncLimits,
      scope,
      random: this.#options.random,
      pools: this.#pools,
      deliverOwn: options.deliverOwn ?? false,
      deliverFrom: first,
      onOperation: (operation) => this.#deliver(topicKey, operation),
      onReport: (report) => {
        if (report.type === 'synced' && !scope.closed) scope.spawn('head', () => own.synced())
        if (report.type === 'too-long' && report.for === 'consumer') this.#missed(topicKey, report)
        onReport?.(topic, report)
      },
    })
    entry.own = own
    for (const peer of peers ?? []) entry.sync.connect(peer)
  }

  /** Gives an operation to each consumer of a topic, one after the other; see `slow`. */
  async #deliver(topicKey: string, operation: StoredOperation): Promise<void> {
    for (const id of this.#byTopic.of(topicKey)) {
      await this.#streams.peek(id)?.offer(operation, this.#scope)
    }
  }

  /** An operation that sync could not deliver. */
  #missed(topicKey: string, operation: LogName & { readonly seq: number }): void {
    for (const id of this.#byTopic.of(topicKey)) this.#streams.peek(id)?.missed(operation)
  }

  async #publish(
    topicKey: string,
    body: Uint8Array | undefined,
    options: PublishOptions,
  ): Promise<StoredOperation> {
    const own = this.#topics.peek(topicKey)?.own
    if (!own) throw new WeirError('CLOSED', 'the topic was closed')
    return own.write(body, options)
  }

  async #unsubscribe(id: number): Promise<void> {
    const state = this.#streams.peek(id)
    if (!state) return
    const { topicKey } = state
    this.#streams.delete(id)
    this.#byTopic.delete(topicKey, id)
    this.#forgotten.unregister(state)
    if (this.#byTopic.has(topicKey)) return
    const entry = this.#topics.peek(topicKey)
    if (!entry) return
    entry.closing ??= this.#closeTopic(topicKey, entry)
    await entry.closing
  }

  async #closeTopic(topicKey: string, entry: Topic): Promise<void> {
    try {
      await entry.opening.catch(() => {})
      await entry.sync?.close()
      await entry.scope.close()
    } finally {
      this.#topics.delete(topicKey)
    }
  }

  async #closeAll(): Promise<void> {
    await Promise.all([...this.#streams.keys()].map((id) => this.#unsubscribe(id)))
  }

  /** A handle was collected and nobody had closed it: a bug of the program, which costs it nothing more than a line. */
  #forget(id: number): void {
    const state = this.#streams.peek(id)
    if (!state || this.#scope.closed) return
    this.#scope.counters
      .counter(
        'topics_streams_forgotten_total',
        'Streams that were collected without being closed.',
      )
      .add()
    this.#scope.log.warn('a topic stream was forgotten and is closed; unsubscribe it', {
      opened: state.trace || 'unknown: set NODE_ENV=development to note it',
    })
    this.#scope.spawn('unsubscribe', () => this.#unsubscribe(id))
  }
}

/** What only the first stream of a topic can ask for, because the sync of the topic is opened with it. */
function checkFurther(options: OpenStreamOptions): void {
  const { from, cursor, deliverOwn, policy } = options
  const asked = { from: from === 'start' || undefined, cursor, deliverOwn, policy }
  for (const [name, value] of Object.entries(asked)) {
    if (value === undefined) continue
    throw new WeirError(
      'TOPIC_OPEN',
      `the topic has a stream already, so '${name}' cannot be chosen any more; open this stream first`,
    )
  }
}

function traceHere(): string {
  const lines = (new Error('opened').stack ?? '').split('\n').slice(1)
  const outside = lines.filter((line) => !line.includes(import.meta.url))
  return outside
    .map((line) => line.trim())
    .join(' ')
    .slice(0, TRACE_CHARS_MAX)
}
