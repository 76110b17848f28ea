/**
 * Zones with real API servers, clients and stores, joined without a network: an operation that one zone keeps is given
 * to the stores of the others at once. For tests of replication that are not about sync.
 */
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair, type TopicId } from 'weir-mesh/core'
import { Counters, createLogger, Heartbeats, Scope, systemRandom } from 'weir-mesh/runtime'
import { MemoryStore, memoryStoreTerms, type StoredOperation } from 'weir-mesh/store'
import { openCluster, type TestCluster } from '../src/api-server/testing.ts'
import { DEFAULT_KUBE_LIMITS, KubeClient, type KubeObject, kubeTerms } from '../src/kube/index.ts'
import {
  type MeshLimits,
  meshTerms,
  meshTopic,
  Replication,
  type ReplicationFaults,
} from '../src/mesh/index.ts'

export const TEST_LIMITS: MeshLimits = Object.freeze({
  objectsMax: 4096,
  zonesMax: 8,
  publishBytesMax: 4 * 1024 * 1024,
  logBytesMax: 1 << 24,
  appliesMax: 8,
  pendingMax: 64,
})

export interface DirectZone {
  readonly name: string
  readonly cluster: TestCluster
  readonly key: KeyPair
  readonly replication: Replication
  readonly heartbeats: Heartbeats
  readonly counters: Counters
  readonly ledger: Ledger
  readonly lines: string[]
  /** Stops the controller; its cluster goes on. */
  stop(): Promise<void>
  /** Starts a new life of the controller on the same cluster. */
  restart(faults?: ReplicationFaults): void
}

export class DirectMesh {
  readonly zones: DirectZone[] = []
  readonly #topic: TopicId = meshTopic(new Uint8Array(32))

  static async open(
    count: number,
    options: {
      faults?: ReplicationFaults
      limits?: Partial<MeshLimits>
      storeBytesMax?: number
      namespaces?: readonly string[]
      sameUid?: boolean
    } = {},
  ): Promise<DirectMesh> {
    const mesh = new DirectMesh()
    for (let index = 0; index < count; index++) {
      const cluster = await openCluster()
      mesh.zones.push(mesh.#zone(`zone-${'abcdef'[index]}`, cluster, options))
    }
    for (const zone of mesh.zones) zone.restart(options.faults)
    return mesh
  }

  /** Closes all zones, and throws what went wrong with the first that did not end well. */
  async close(): Promise<void> {
    const ends = [
      ...(await Promise.allSettled(this.zones.map((zone) => zone.stop()))),
      ...(await Promise.allSettled(this.zones.map((zone) => zone.cluster.close()))),
    ]
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  #zone(
    name: string,
    cluster: TestCluster,
    options: {
      limits?: Partial<MeshLimits>
      storeBytesMax?: number
      namespaces?: readonly string[]
      sameUid?: boolean
    },
  ): DirectZone {
    const mesh = this
    const storeBytesMax =
      (name === 'zone-a' ? options.storeBytesMax : undefined) ?? 16 * 1024 * 1024
    const limits = { ...TEST_LIMITS, logBytesMax: storeBytesMax, ...options.limits }
    let life: Life | undefined
    let incarnation = 0
    const lines: string[] = []
    return {
      name,
      cluster,
      key: KeyPair.generate(systemRandom),
      lines,
      get replication() {
        return life!.replication
      },
      get heartbeats() {
        return life!.heartbeats
      },
      get counters() {
        return life!.counters
      },
      get ledger() {
        return life!.ledger
      },
      async stop() {
        await life?.close()
        life = undefined
      },
      restart(faults) {
        life = new Life({
          zone: this,
          incarnation: ++incarnation,
          topic: mesh.#topic,
          limits,
          storeBytesMax,
          namespaces: options.namespaces ?? ['default'],
          sameUid: options.sameUid ?? false,
          others: () => mesh.zones.filter((each) => each !== this),
          ...(faults ? { faults } : {}),
        })
      },
    }
  }
}

interface LifeOptions {
  readonly zone: DirectZone
  readonly incarnation: number
  readonly topic: TopicId
  readonly limits: MeshLimits
  readonly storeBytesMax: number
  readonly namespaces: readonly string[]
  /** Whether another server at the same address is the same cluster, as one that was restored from a copy. */
  readonly sameUid: boolean
  readonly others: () => DirectZone[]
  readonly faults?: ReplicationFaults
}

/** Sees the same cluster in whatever answers. */
class RestoredClient extends KubeClient {
  override async get(...call: Parameters<KubeClient['get']>): Promise<KubeObject> {
    const object = await super.get(...call)
    if (call[2] === 'kube-system') object.metadata.uid = 'the-same'
    return object
  }
}

const lives = new WeakMap<DirectZone, Life>()

class Life {
  readonly scope: Scope
  readonly ledger: Ledger
  readonly counters = new Counters()
  readonly heartbeats: Heartbeats
  readonly replication: Replication
  readonly store: MemoryStore
  #turn: Promise<void> = Promise.resolve()

  constructor(options: LifeOptions) {
    const { zone, topic, limits } = options
    const log = createLogger({ level: 'debug', write: (line) => void zone.lines.push(line) })
    this.scope = new Scope(zone.name, { log, counters: this.counters })
    this.heartbeats = new Heartbeats(this.scope.clock)
    const mesh = meshTerms(limits)
    const kube = kubeTerms(DEFAULT_KUBE_LIMITS)
    const storeTerms = memoryStoreTerms({ bytesMax: options.storeBytesMax })
    const terms = [mesh, kube, storeTerms].flatMap((each) => Object.values(each))
    this.ledger = new Ledger(planMemory(terms, { limitBytes: 2 ** 31 }), {
      counters: this.counters,
      assertLeaks: true,
      log,
    })
    this.store = new MemoryStore({ ledger: this.ledger, terms: storeTerms, log })
    this.replication = new Replication({
      scope: this.scope,
      ledger: this.ledger,
      terms: mesh,
      limits,
      heartbeats: this.heartbeats,
      random: systemRandom,
      zone: zone.name,
      incarnation: options.incarnation,
      key: zone.key,
      topic,
      resources: [
        {
          group: 'demo.weir.example',
          version: 'v1',
          kind: 'Widget',
          namespaces: options.namespaces,
        },
      ],
      client: new (options.sameUid ? RestoredClient : KubeClient)({
        config: zone.cluster.config,
        scope: this.scope,
        ledger: this.ledger,
        terms: kube,
      }),
      store: this.store,
      publish: async (operation) => {
        const [answer] = await this.store.append(topic, [operation])
        if (answer === 'kept') {
          for (const other of options.others()) lives.get(other)?.receive(topic, operation)
        }
        return answer!
      },
      deleteLog: (log) => this.store.deleteLog(log),
      heartbeatMs: 500,
      ...(options.faults ? { faults: options.faults } : {}),
    })
    for (const other of options.others()) this.replication.bind(other.name, other.key.id)
    lives.set(zone, this)
    // What the others have kept so far, as a session would bring it.
    for (const other of options.others()) {
      const life = lives.get(other)
      if (life) this.#turn = this.#turn.then(() => life.sendAll(topic, other, this))
    }
    this.replication.start()
  }

  receive(topic: TopicId, operation: StoredOperation): void {
    const copy = { ...operation, body: operation.body?.slice() }
    this.#turn = this.#turn.then(() => this.#take(topic, copy)).catch(() => {})
  }

  async sendAll(topic: TopicId, from: DirectZone, to: Life): Promise<void> {
    for (const state of await this.store.logs(topic)) {
      if (!Buffer.from(state.author).equals(from.key.id)) continue
      const page = await this.store.read(state, state.from, state.height, 1 << 30)
      for (const operation of page.operations) await to.#take(topic, operation, state.height + 1)
    }
  }

  async #take(topic: TopicId, operation: StoredOperation, height?: number): Promise<void> {
    if (this.scope.closed) return
    const [answer] = await this.store.append(topic, [operation])
    if (answer === 'kept') await this.replication.deliver(operation, height)
  }

  async close(): Promise<void> {
    await this.replication.close()
    await this.scope.close()
    await this.store.close()
    this.ledger.assertEmpty()
  }
}
