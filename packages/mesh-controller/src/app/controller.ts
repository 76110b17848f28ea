/**
 * The controller of one zone: opens every part inside the plan, joins them, and closes them in reverse.
 *
 * Memory: the plan's; the controller holds nothing that is not an account of it.
 */
import { readFileSync } from 'node:fs'
import { Ledger, ProcessMemory } from 'weir-mesh/bounds'
import { equalBytes } from 'weir-mesh/codec'
import {
  idHex,
  idKey,
  type KeyPair,
  type NodeId,
  networkId,
  nodeIdFromHex,
  PROTOCOL_LOG_SYNC,
  protocolAlpn,
  Verifier,
  VerifyPool,
  zoneLogId,
} from 'weir-mesh/core'
import { AcceptLoop, readKeyFile } from 'weir-mesh/node'
import { Health, Metrics, StatusServer } from 'weir-mesh/observe'
import {
  type Clock,
  Counters,
  describeError,
  Heartbeats,
  isWeirError,
  type Logger,
  Scope,
  systemClock,
  systemRandom,
  WeirError,
} from 'weir-mesh/runtime'
import { MemoryStore, type StoredOperation } from 'weir-mesh/store'
import {
  nodeExtensionsPolicy,
  type Published,
  SyncAcceptor,
  type SyncReport,
  TopicSync,
  verifyOnPool,
} from 'weir-mesh/sync'
import { type Endpoint, FixedAddresses, parseAddress } from 'weir-mesh/transport'
import { inClusterConfig, KubeClient, loadKubeconfig } from '../kube/index.ts'
import { meshTopic, Replication, type ReplicationFaults } from '../mesh/index.ts'
import type { Config } from './config.ts'
import { Detour } from './detour.ts'
import { IdleCollector } from './idle-collector.ts'
import { nextIncarnation } from './incarnation.ts'
import type { ControllerPlan } from './limits.ts'

export interface ControllerOptions {
  readonly config: Config
  readonly planned: ControllerPlan
  readonly log: Logger
  readonly clock?: Clock
  /** For tests. */
  readonly faults?: ReplicationFaults & { readonly deliver?: () => Promise<void> | void }
}

const SAMPLE_MS = 1_000
const SWEEP_MS = 10_000
const CLOSE_DEADLINE_MS = 4_000
const DETOUR_MS = 1_000

export class Controller implements AsyncDisposable {
  readonly zone: string
  readonly id: NodeId
  readonly scope: Scope
  readonly ledger: Ledger
  readonly heartbeats: Heartbeats
  readonly counters = new Counters()
  readonly #options: ControllerOptions
  readonly #key: KeyPair
  #endpoint!: Endpoint
  #replication!: Replication
  #sync!: TopicSync
  #status!: StatusServer
  #health!: Health

  private constructor(options: ControllerOptions) {
    const { config, planned, log } = options
    this.#options = options
    this.zone = config.zone
    this.#key = readKeyFile(config.keyFile)
    this.id = this.#key.id
    this.scope = new Scope(config.zone, {
      log,
      counters: this.counters,
      clock: options.clock ?? systemClock,
      closeDeadlineMs: CLOSE_DEADLINE_MS,
    })
    this.heartbeats = new Heartbeats(this.scope.clock)
    this.ledger = new Ledger(planned.plan, { log, counters: this.counters })
  }

  /**
   * Opens a controller. It is ready when the readiness check says so; the cluster and the peers may come later.
   *
   * @throws {WeirError} what a person has to mend first: key file, data folder, kubeconfig, a taken port.
   */
  static async open(options: ControllerOptions): Promise<Controller> {
    const controller = new Controller(options)
    try {
      await controller.#open()
    } catch (error) {
      await controller.close()
      throw error
    }
    return controller
  }

  /** Where the others reach this zone. */
  get addresses(): readonly string[] {
    return this.#endpoint.localAddresses
  }

  get statusUrl(): string {
    return this.#status.url
  }

  get replication(): Replication {
    return this.#replication
  }

  get ready(): boolean {
    return this.#health.ready
  }

  /** Ends everything, peers first; within the deadline of the scope. Idempotent. */
  async close(): Promise<void> {
    await this.scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #open(): Promise<void> {
    const { config, planned } = this.#options
    const { scope, ledger } = this
    const own = peersOf(config, this.id)
    const network = networkId(config.networkId)
    const topic = meshTopic(network)
    const incarnation = nextIncarnation(config.dataDir, scope.clock.wallMs())
    const client = new KubeClient({
      config: await clusterOf(config),
      scope,
      ledger,
      terms: planned.terms.kube,
    })
    const protocol = protocolAlpn(PROTOCOL_LOG_SYNC, network)
    this.#endpoint = await planned.transport.open({
      scope,
      ledger,
      keyPair: this.#key,
      lookup: new FixedAddresses(own.map(({ id, addresses }) => ({ node: id, addresses }))),
      protocols: [protocol],
      listen: config.listen,
    })
    const logId = zoneLogId(topic, this.zone, incarnation)
    const store = this.#openStore()
    store.pin({ author: this.id, logId })
    this.#sync = await this.#openSync(store, topic, protocol, (author, given) => {
      if (!equalBytes(author, this.id)) return this.#mayWrite(author, own)
      return equalBytes(given, logId) ? 'ok' : 'a log of an earlier life of this zone'
    })
    const faults = this.#options.faults
    this.#replication = scope.own(
      'replication',
      new Replication({
        scope,
        ledger,
        terms: planned.terms.mesh,
        limits: planned.limits.mesh,
        heartbeats: this.heartbeats,
        random: systemRandom,
        zone: this.zone,
        incarnation,
        key: this.#key,
        topic,
        resources: config.resources.map(({ namespaces, ...kind }) => ({
          ...kind,
          ...(namespaces ? { namespaces } : {}),
        })),
        client,
        store,
        bindUnknown: config.unknownPeers === 'allow',
        publish: (operation) => publish(this.#sync, operation),
        deleteLog: (log) => this.#sync.deleteLog(log),
        ...(faults ? { faults } : {}),
      }),
    )
    for (const { zone, id } of own) this.#replication.bind(zone, id)
    this.#acceptPeers(protocol, own)
    await this.#openStatus()
    this.#replication.start()
    for (const { id } of own) this.#sync.connect(id)
    const detour = new Detour(
      this.#sync,
      own.map(({ id }) => id),
    )
    scope.every('detour', DETOUR_MS, () => detour.step())
  }

  #openStore(): MemoryStore {
    const { scope, ledger, counters } = this
    const store = new MemoryStore({
      ledger,
      terms: this.#options.planned.terms.store,
      clock: scope.clock,
      log: scope.log,
      counters,
    })
    scope.defer('store', () => store.close())
    scope.every('store sweep', SWEEP_MS, () => store.sweep())
    return store
  }

  async #openSync(
    store: MemoryStore,
    topic: ReturnType<typeof meshTopic>,
    protocol: Uint8Array,
    check: (author: NodeId, logId: Uint8Array) => 'ok' | string,
  ): Promise<TopicSync> {
    const { scope, ledger } = this
    const { terms, limits } = this.#options.planned
    const verifier = scope.own('verifier', new Verifier(ledger.require(terms.core.verifierKeys)))
    const pool = new VerifyPool(ledger.require(terms.core.verifyJobs), verifier)
    scope.defer('verify pool', () => pool.close())
    const heartbeat = scope.own(
      'sync heartbeat',
      this.heartbeats.register('sync-delivery', { deadlineMs: 8_000 }),
    )
    heartbeat.idle()
    const sync: TopicSync = await TopicSync.open({
      topic,
      self: this.id,
      store,
      connect: (peer, { signal }) => this.#endpoint.connect(peer, protocol, { signal }),
      policy: nodeExtensionsPolicy((header, extensions) => check(header.author, extensions.logId)),
      verifier: verifyOnPool(pool),
      // Every zone has a session with every other: what they say to each other need not go through a third.
      relay: 'on-session',
      ledger,
      terms: terms.sync,
      limits: limits.sync,
      scope,
      random: systemRandom,
      onOperation: async (operation) => {
        heartbeat.beat()
        await this.#options.faults?.deliver?.()
        // Only where a log may begin does it matter how far it goes.
        const height = operation.prune ? sync.heightOf(operation) : undefined
        await this.#replication.deliver(operation, height)
        heartbeat.idle()
      },
      onReport: (report) => this.#reported(report),
    })
    scope.defer('sync', () => sync.close())
    return sync
  }

  /** Operations come through third peers too: who wrote them is what counts. */
  #mayWrite(author: NodeId, own: readonly Peer[]): 'ok' | string {
    if (own.some(({ id }) => equalBytes(id, author))) return 'ok'
    const { unknownPeers } = this.#options.config
    return unknownPeers === 'allow' ? 'ok' : 'the author is not a configured peer'
  }

  #acceptPeers(protocol: Uint8Array, own: readonly Peer[]): void {
    const { scope, ledger } = this
    const { terms, limits } = this.#options.planned
    const acceptor = scope.own(
      'sync acceptor',
      new SyncAcceptor({
        ledger,
        terms: terms.sync,
        limits: limits.sync,
        scope,
        find: (topic) => (equalBytes(topic, this.#sync.topic) ? this.#sync : undefined),
      }),
    )
    const allowAll = this.#options.config.unknownPeers === 'allow'
    scope.own(
      'accept loop',
      new AcceptLoop({
        scope,
        endpoint: this.#endpoint,
        handlers: [{ protocol, accept: (connection) => acceptor.accept(connection) }],
        policy: (node) =>
          allowAll || own.some(({ id }) => equalBytes(id, node)) ? 'accept' : 'refuse',
        heartbeat: scope.own(
          'accept heartbeat',
          this.heartbeats.register('accept', { deadlineMs: 8_000 }),
        ),
      }),
    )
  }

  async #openStatus(): Promise<void> {
    const { config, planned } = this.#options
    const { scope, ledger, heartbeats } = this
    const terms = planned.terms.observe
    this.#health = new Health({
      scope,
      ledger,
      terms,
      heartbeats,
      conditions: { replication: () => this.#replication.problem },
    })
    const metrics = scope.own('metrics', new Metrics(ledger, terms))
    this.#declareMetrics(metrics)
    const memory = new ProcessMemory({
      plan: planned.plan,
      pressure: ledger.pressure,
      clock: scope.clock,
    })
    scope.every('memory sample', SAMPLE_MS, () => memory.sample())
    const collector = new IdleCollector({
      busy: () => this.#replication.wasBusy(),
      tidy: () => this.#replication.shortenLog(),
    })
    scope.every('idle collection', SAMPLE_MS, () => collector.step())
    this.#status = await StatusServer.open({
      scope,
      ledger,
      terms,
      limits: planned.limits.observe,
      listen: parseAddress(config.statusListen),
      health: this.#health,
      heartbeats,
      metrics,
      ...(config.statusTokenFile ? { token: readToken(config.statusTokenFile) } : {}),
      sections: {
        zone: () => this.zone,
        id: () => idHex(this.id),
        replication: () => this.#replication.status,
        peers: () => this.#peerRows(),
      },
    })
  }

  #declareMetrics(metrics: Metrics): void {
    const status = () => this.#replication.status
    metrics.gauge(
      'mesh_objects',
      'Objects of all zones that are known here.',
      () => status().objects,
    )
    metrics.gauge(
      'mesh_own_objects',
      'Objects born here that the others have.',
      () => status().ownObjects,
    )
    metrics.gauge('mesh_pending', 'Objects that wait for a write.', () => status().pending)
    metrics.gauge('mesh_retrying', 'Objects whose last write failed.', () => status().retrying)
    metrics.gauge('mesh_queued', 'Own operations on their way into the log.', () => status().queued)
    metrics.gauge(
      'mesh_too_large',
      'Own objects that are too large to travel.',
      () => status().tooLarge.length,
    )
    metrics.gauge(
      'mesh_refused',
      'Configured kinds and namespaces that may not be read here.',
      () => status().refused.length,
    )
    metrics.gauge(
      'mesh_cluster_believed',
      'Whether what the cluster says is taken: 0 after it was replaced or restored from a copy.',
      () => (status().believed ? 1 : 0),
    )
    metrics.gauge('sync_sessions', 'Sync sessions that run.', () => this.#sync.sessions)
  }

  #peerRows() {
    return [...this.#sync.peers()]
  }

  #reported(report: SyncReport): void {
    const { log } = this.scope
    switch (report.type) {
      case 'live':
        return log.info('a peer is connected', { peer: this.#nameOf(report.peer) })
      case 'ended':
        return log[report.code === 'RESYNC' ? 'debug' : 'info']('a session ended', {
          peer: this.#nameOf(report.peer),
          code: report.code,
          reason: report.message,
        })
      case 'dial-failed':
        return log.debug('a peer was not reached', {
          peer: this.#nameOf(report.peer),
          code: report.code,
          retryMs: report.retryMs,
        })
      case 'refused':
        return log.warn('an operation was refused', { reason: report.reason })
      default:
        return
    }
  }

  #nameOf(peer: NodeId): string {
    return this.#replication?.zoneOf(peer)?.name ?? idHex(peer).slice(0, 10)
  }
}

interface Peer {
  readonly zone: string
  readonly id: NodeId
  readonly addresses: readonly string[]
}

function peersOf(config: Config, self: NodeId): Peer[] {
  const peers = config.peers.map(({ zone, id, addresses }) => ({
    zone,
    id: nodeIdFromHex(id),
    addresses,
  }))
  const same = peers.find(({ id }) => idKey(id) === idKey(self))
  if (same) {
    throw new WeirError(
      'CONFIG_INVALID',
      `peers: ${same.zone} has the key of this zone; each zone needs a key file of its own`,
    )
  }
  return peers
}

async function clusterOf(config: Config) {
  const { kubeconfig, inCluster } = config.kubernetes
  return inCluster ? inClusterConfig() : loadKubeconfig(kubeconfig!)
}

function readToken(path: string): string {
  try {
    const token = readFileSync(path, 'utf8').trim()
    if (token.length >= 16) return token
  } catch (error) {
    throw new WeirError('TOKEN_FILE_UNREADABLE', `the token file ${path} cannot be read`, {
      cause: error,
    })
  }
  throw new WeirError('TOKEN_FILE_INVALID', `${path} holds fewer than 16 characters`)
}

const RETRYABLE: Readonly<Record<string, Published>> = Object.freeze({
  STORE_FULL: 'full',
  STORE_FAILED: 'failed',
  SYNC_BUSY: 'busy',
  LOG_FORKED: 'fork',
  LOG_GAP: 'gap',
})

async function publish(sync: TopicSync, operation: StoredOperation): Promise<Published> {
  try {
    await sync.publish(operation)
    return 'kept'
  } catch (error) {
    const answer = isWeirError(error) ? RETRYABLE[error.code] : undefined
    if (answer) return answer
    throw new WeirError('PUBLISH_FAILED', describeError(error), { cause: error })
  }
}
