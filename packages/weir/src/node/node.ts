/**
 * A node: an endpoint, a store, topic streams, and everything that lives beside them, opened inside one plan and closed
 * in reverse.
 *
 *     await using node = await Node.open({ memoryBytes: 64 * 2 ** 20, key, store: { path }, peers })
 *     await using stream = await node.stream(topic)
 *
 * Memory: the plan's; a node holds nothing that is not an account of it.
 */
import { Ledger, ProcessMemory } from '../bounds/index.ts'
import {
  idHex,
  idKey,
  KeyPair,
  type NodeId,
  networkId,
  PROTOCOL_LOG_SYNC,
  protocolAlpn,
  shortId,
  type TopicId,
  topicName,
  Verifier,
  VerifyPool,
} from '../core/index.ts'
import { Health } from '../observe/index.ts'
import {
  type Clock,
  Counters,
  Heartbeats,
  type Logger,
  Scope,
  silentLogger,
  systemClock,
  systemRandom,
} from '../runtime/index.ts'
import { type LogStore, MemoryStore, SqliteStore } from '../store/index.ts'
import { SyncAcceptor, type SyncReport, verifyOnPool } from '../sync/index.ts'
import { type OpenStreamOptions, type TopicStream, TopicStreams } from '../topics/index.ts'
import { type Address, type Endpoint, FixedAddresses, type FixedPeer } from '../transport/index.ts'
import { AcceptLoop } from './accept-loop.ts'
import { type NodePlan, type NodePlanOptions, planNode } from './plan.ts'

export interface NodeOptions extends Omit<NodePlanOptions, 'durable'> {
  /** Who the node is. Default: a new key, which is lost with the process. */
  readonly key?: KeyPair
  /** The file that keeps the logs. Default: they are in memory and lost with the process. */
  readonly store?: { readonly path: string }
  /** The key has never written on any topic; see `HEAD_UNKNOWN`. Default: true without `key`. */
  readonly freshKey?: boolean
  /** Address to bind. Default `127.0.0.1:0`. */
  readonly listen?: Address
  /** Nodes of other networks are never met. Default `p2panda`, as upstream's. */
  readonly networkId?: string
  /** Whom to keep a session with on each topic, and where they are. */
  readonly peers?: readonly FixedPeer[]
  /** What becomes of others who dial. Default `refuse`. */
  readonly unknownPeers?: 'accept' | 'refuse'
  /** A plan that was made before with the same options, so that it could be printed. */
  readonly plan?: NodePlan
  readonly log?: Logger
  readonly clock?: Clock
  readonly onReport?: (topic: TopicId, report: SyncReport) => void
}

const CLOSE_DEADLINE_MS = 4_000
const SWEEP_MS = 10_000
const SAMPLE_MS = 1_000
const PART_DEADLINE_MS = 8_000

export class Node implements AsyncDisposable {
  readonly id: NodeId
  readonly scope: Scope
  readonly ledger: Ledger
  readonly counters = new Counters()
  readonly heartbeats: Heartbeats
  readonly planned: NodePlan
  readonly health: Health
  readonly #options: NodeOptions
  readonly #key: KeyPair
  readonly #known: Readonly<Record<string, true>>
  #endpoint!: Endpoint
  #store!: LogStore
  #streams!: TopicStreams

  private constructor(options: NodeOptions, planned: NodePlan) {
    const log = options.log ?? silentLogger
    const clock = options.clock ?? systemClock
    const { counters } = this
    this.#options = options
    this.planned = planned
    this.#key = options.key ?? KeyPair.generate()
    this.id = this.#key.id
    this.#known = knownOf(options.peers ?? [])
    this.scope = new Scope('node', { log, clock, counters, closeDeadlineMs: CLOSE_DEADLINE_MS })
    this.heartbeats = new Heartbeats(clock)
    this.ledger = new Ledger(planned.plan, { log, counters })
    this.health = new Health({
      scope: this.scope,
      ledger: this.ledger,
      terms: planned.terms.observe,
      heartbeats: this.heartbeats,
    })
  }

  /**
   * Opens a node.
   *
   * @throws {WeirError} `PLAN_TOO_LARGE`, `TRANSPORT_MISSING`, `ADDRESS_IN_USE`, `ADDRESS_INVALID`, `STORE_LOCKED`,
   *   `STORE_VERSION`, `STORE_FAILED`. Nothing is left open then.
   */
  static async open(options: NodeOptions): Promise<Node> {
    const durable = options.store !== undefined
    const node = new Node(options, options.plan ?? (await planNode({ ...options, durable })))
    try {
      await node.#open()
      return node
    } catch (error) {
      await node.close()
      throw error
    }
  }

  /** Where the node was bound. */
  get addresses(): readonly Address[] {
    return this.#endpoint.localAddresses
  }

  get store(): LogStore {
    return this.#store
  }

  /** Opens a stream of a topic; see weir-mesh/topics. */
  stream(topic: TopicId, options: OpenStreamOptions = {}): Promise<TopicStream> {
    return this.#streams.open(topic, options)
  }

  /** Topics and their peers, for the status and for people. */
  status() {
    return {
      id: idHex(this.id),
      addresses: this.addresses,
      ready: this.health.ready,
      pressure: this.ledger.pressure.level,
      accountBytes: this.ledger.costBytes,
      topics: [...this.#streams.states()].map(({ peers, ...topic }) => ({
        ...topic,
        peers: peers.map(({ peer, ...state }) => ({ id: idHex(peer), ...state })),
      })),
    }
  }

  /** Ends all streams, says goodbye to the peers, and ends everything. Idempotent; at most 5 s. */
  close(): Promise<void> {
    return this.scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #open(): Promise<void> {
    const { scope, ledger } = this
    const { terms, limits, transport } = this.planned
    const options = this.#options
    await this.#openStore()
    const protocol = protocolAlpn(PROTOCOL_LOG_SYNC, networkId(options.networkId ?? 'p2panda'))
    this.#endpoint = await transport.open({
      scope,
      ledger,
      keyPair: this.#key,
      lookup: new FixedAddresses(options.peers ?? []),
      protocols: [protocol],
      ...(options.listen === undefined ? {} : { listen: options.listen }),
    })
    const verifier = scope.own('verifier', new Verifier(ledger.require(terms.core.verifierKeys)))
    scope.own(
      'verifier pressure',
      ledger.pressure.subscribe((level) => {
        if (level >= 2) verifier.shed(0)
      }),
    )
    const pool = new VerifyPool(ledger.require(terms.core.verifyJobs), verifier)
    scope.defer('verify pool', () => pool.close())
    this.#streams = new TopicStreams({
      scope,
      ledger,
      terms: terms.topics,
      limits: limits.topics,
      key: this.#key,
      store: this.#store,
      syncTerms: terms.sync,
      syncLimits: limits.sync,
      verifier: verifyOnPool(pool),
      random: systemRandom,
      connect: (peer, { signal }) => this.#endpoint.connect(peer, protocol, { signal }),
      peers: (options.peers ?? []).map(({ node }) => node),
      freshKey: options.freshKey ?? options.key === undefined,
      onReport: (topic, report) => this.#reported(topic, report),
    })
    this.#acceptPeers(protocol)
    // Registered after the endpoint and the acceptor, so that peers hear a goodbye while both still work.
    scope.defer('streams', () => this.#streams.close())
    this.#watchMemory()
  }

  async #openStore(): Promise<void> {
    const { scope, ledger, counters } = this
    const { store, limits } = this.planned
    const common = { ledger, clock: scope.clock, log: scope.log, counters }
    const { path } = this.#options.store ?? {}
    this.#store = store.durable
      ? await SqliteStore.open({
          ...common,
          path: path!,
          terms: store.terms,
          limits: limits.store.sqlite,
        })
      : new MemoryStore({ ...common, terms: store.terms, policy: 'lru-log' })
    scope.defer('store', () => this.#store.close())
    const heartbeat = scope.own(
      'store heartbeat',
      this.heartbeats.register('store', { deadlineMs: PART_DEADLINE_MS }),
    )
    heartbeat.idle()
    scope.every('store sweep', SWEEP_MS, async () => {
      heartbeat.beat()
      await this.#store.sweep()
      heartbeat.idle()
    })
  }

  #acceptPeers(protocol: Uint8Array): void {
    const { scope, ledger } = this
    const { terms, limits } = this.planned
    const acceptor = scope.own(
      'sync acceptor',
      new SyncAcceptor({
        ledger,
        terms: terms.sync,
        limits: limits.sync,
        scope,
        find: (topic) => this.#streams.find(topic),
      }),
    )
    const heartbeat = this.heartbeats.register('accept', { deadlineMs: PART_DEADLINE_MS })
    scope.own('accept heartbeat', heartbeat)
    const allowAll = this.#options.unknownPeers === 'accept'
    scope.own(
      'accept loop',
      new AcceptLoop({
        scope,
        endpoint: this.#endpoint,
        handlers: [{ protocol, accept: (connection) => acceptor.accept(connection) }],
        policy: (node) => (allowAll || this.#known[idKey(node)] ? 'accept' : 'refuse'),
        // Each topic has up to two sessions with a peer, for a moment.
        caps: { ledger, terms: terms.accept, perPeerMax: 2 * limits.topics.topicsMax },
        heartbeat,
      }),
    )
  }

  /** Only a program's plan is about the whole process. */
  #watchMemory(): void {
    const { plan } = this.planned
    if (plan.floorBytes === 0) return
    const { pressure } = this.ledger
    const memory = new ProcessMemory({ plan, pressure, clock: this.scope.clock })
    this.scope.every('memory sample', SAMPLE_MS, () => memory.sample())
  }

  #reported(topic: TopicId, report: SyncReport): void {
    const { log } = this.scope
    const about = { topic: topicName(topic) }
    switch (report.type) {
      case 'live':
        log.info('a peer is connected', { peer: shortId(report.peer), ...about })
        break
      case 'ended':
        log.info('a session ended', {
          peer: shortId(report.peer),
          code: report.code,
          reason: report.message,
          ...about,
        })
        break
      case 'dial-failed':
        log.debug('a peer was not reached', {
          peer: shortId(report.peer),
          code: report.code,
          retryMs: report.retryMs,
          ...about,
        })
        break
      case 'refused':
        log.warn('an operation was refused', { reason: report.reason, ...about })
        break
      default:
        break
    }
    this.#options.onReport?.(topic, report)
  }
}

function knownOf(peers: readonly FixedPeer[]): Readonly<Record<string, true>> {
  const known: Record<string, true> = Object.create(null)
  for (const { node } of peers) known[idKey(node)] = true
  return Object.freeze(known)
}
