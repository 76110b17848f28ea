/** What the tests of sync share: signed logs, and nodes over the memory transport. Not part of the public surface. */
import type { Ledger, Term } from '../bounds/index.ts'
import { FrameReader } from '../codec/index.ts'
import {
  buildHeader,
  coreTerms,
  decodeHeader,
  encodeNodeExtensions,
  type Hash,
  idKey,
  KeyPair,
  type LogId,
  type NodeId,
  type TopicId,
  topicId,
  topicLogId,
  Verifier,
} from '../core/index.ts'
import { type Scope, seededRandom } from '../runtime/index.ts'
import { MemoryStore, memoryStoreTerms, type StoredOperation } from '../store/index.ts'
import {
  type AddressLookup,
  type BiStream,
  type Connection,
  type Endpoint,
  MemoryEndpoint,
  MemoryNetwork,
  transportLimits,
  transportTerms,
} from '../transport/index.ts'
import { SyncAcceptor } from './acceptor.ts'
import type { SyncReport } from './contract.ts'
import { type SyncLimits, syncLimits } from './limits.ts'
import { syncTerms } from './memory.ts'
import { encodeHandshake } from './messages.ts'
import { topicStreamPolicy } from './policy.ts'
import { TopicSync, type TopicSyncOptions } from './topic-sync.ts'
import { verifyHere } from './verifying.ts'

export const TOPIC: TopicId = topicId(new Uint8Array(32).fill(7))
export const PROTOCOL = new Uint8Array(32).fill(9)

export const keyOf = (index: number): KeyPair => KeyPair.fromSeed(new Uint8Array(32).fill(index))

export interface LogOptions {
  readonly key: KeyPair
  readonly count: number
  readonly bodyBytes?: number
  readonly logId?: LogId
  readonly from?: number
  readonly backlink?: Hash
  /** Whether the operation at this sequence number prunes. */
  readonly prune?: (seq: number) => boolean
  /** Another branch has other bodies. */
  readonly branch?: number
}

/** A signed log, as a store keeps it. */
export function makeLog(options: LogOptions): StoredOperation[] {
  const { key, count, bodyBytes = 16, from = 0, branch = 0 } = options
  const logId = options.logId ?? topicLogId(TOPIC)
  const operations: StoredOperation[] = []
  let backlink = options.backlink
  for (let seq = from; seq < from + count; seq++) {
    const body = new Uint8Array(bodyBytes)
    for (let at = 0; at < Math.min(bodyBytes, 8); at++) body[at] = (seq >>> (at * 4)) + branch
    const prune = options.prune?.(seq) ?? false
    const extensions = encodeNodeExtensions({ logId, timestampMicros: seq, prune })
    const header = buildHeader(key, {
      seq,
      backlink,
      body: bodyBytes > 0 ? body : undefined,
      extensions,
    })
    operations.push(stored(header.bytes, bodyBytes > 0 ? body : undefined, logId, prune))
    backlink = header.id
  }
  return operations
}

export function stored(
  headerBytes: Uint8Array,
  body: Uint8Array | undefined,
  logId: LogId,
  prune = false,
): StoredOperation {
  const header = decodeHeader(headerBytes)
  return {
    id: header.id,
    author: header.author,
    logId,
    seq: header.seq,
    backlink: header.backlink,
    header: header.bytes,
    body,
    payloadSize: header.payloadSize,
    prune,
  }
}

export interface NodesOptions {
  readonly nodes: number
  readonly limits?: Partial<SyncLimits>
  readonly transport?: Parameters<typeof transportLimits>[0]
  readonly store?: Parameters<typeof memoryStoreTerms>[0]
}

/** The terms and limits of several nodes that share one ledger. */
export function planNodes(options: NodesOptions) {
  const { nodes } = options
  const limits = syncLimits({ topicsMax: nodes, ...options.limits })
  const each = transportLimits({ endpointsMax: nodes, ...options.transport })
  const transport = transportTerms(each)
  const stores = Array.from({ length: nodes }, (_, at) =>
    renamed(memoryStoreTerms(options.store), at),
  )
  const core = coreTerms()
  // Each node has an acceptor of its own, where a program has one.
  const base = syncTerms(limits)
  const sync = { ...base, handshakes: Object.freeze({ ...base.handshakes, instancesMax: nodes }) }
  const terms: Term[] = [transport, core, sync, ...stores].flatMap((set) => Object.values(set))
  return { limits, each, transport, stores, core, sync, terms, nodes }
}

/** Terms of a second instance of a module have names of their own. */
function renamed<T extends { readonly [name: string]: Term }>(terms: T, at: number): T {
  const copies = new Map<Term, Term>()
  const copy = (term: Term): Term => {
    const present = copies.get(term)
    if (present) return present
    const pool = term.pool && copy(term.pool)
    const made = Object.freeze({ ...term, name: `${term.name}.n${at}`, pool })
    copies.set(term, made)
    return made
  }
  return Object.fromEntries(Object.entries(terms).map(([name, term]) => [name, copy(term)])) as T
}

export interface TestNode {
  readonly key: KeyPair
  readonly id: NodeId
  readonly store: MemoryStore
  readonly endpoint: Endpoint
  readonly sync: TopicSync
  readonly got: StoredOperation[]
  readonly scope: Scope
  readonly reports: SyncReport[]
}

export interface Mesh {
  readonly plan: ReturnType<typeof planNodes>
  readonly network: MemoryNetwork
  readonly verifier: Verifier
  readonly lookup: AddressLookup
  known(id: NodeId, address: string): void
  node(
    index: number,
    options?: Partial<TopicSyncOptions> & { readonly key?: KeyPair },
    before?: (store: MemoryStore) => Promise<void>,
  ): Promise<TestNode>
}

/** A memory network with room for the planned nodes; each node's parts are closed with the scope. */
export function makeMesh(plan: ReturnType<typeof planNodes>, ledger: Ledger, scope: Scope): Mesh {
  const network = scope.own('network', new MemoryNetwork({ clock: scope.clock }))
  const verifier = scope.own('verifier', new Verifier(ledger.require(plan.core.verifierKeys)))
  const known = new Map<string, string>()
  const lookup = {
    addresses: (id: NodeId) => {
      const address = known.get(idKey(id))
      return address === undefined ? [] : [address]
    },
  }
  return {
    plan,
    network,
    verifier,
    lookup,
    known: (id, address) => void known.set(idKey(id), address),
    async node(index, options = {}, before) {
      const own = scope.child(`node ${index}`)
      const key = options.key ?? keyOf(index + 1)
      const store = own.own(
        'store',
        new MemoryStore({ ledger, terms: plan.stores[index]!, clock: scope.clock }),
      )
      await before?.(store)
      const endpoint = own.own(
        'endpoint',
        new MemoryEndpoint({
          network,
          nodeId: key.id,
          protocols: [PROTOCOL],
          ledger,
          terms: plan.transport,
          limits: plan.each,
          lookup,
          scope: own,
        }),
      )
      known.set(idKey(key.id), endpoint.address)
      const got: StoredOperation[] = []
      const reports: SyncReport[] = []
      const sync = await TopicSync.open({
        topic: TOPIC,
        self: key.id,
        store,
        connect: (peer, { signal }) => endpoint.connect(peer, PROTOCOL, { signal }),
        policy: topicStreamPolicy(TOPIC),
        verifier: verifyHere(verifier),
        ledger,
        terms: plan.sync,
        limits: plan.limits,
        scope: own,
        random: seededRandom(index + 1),
        onOperation: (operation) => {
          got.push(operation)
        },
        onReport: (report) => {
          reports.push(report)
        },
        ...options,
      })
      const acceptor = new SyncAcceptor({
        ledger,
        terms: plan.sync,
        limits: plan.limits,
        scope: own,
        find: (topic) => (Buffer.compare(topic, sync.topic) === 0 ? sync : undefined),
      })
      own.spawn('accept', async () => {
        for await (const incoming of endpoint.incoming) {
          try {
            acceptor.accept(await incoming.accept())
          } catch {
            // The dialling side has gone: there is nothing to accept.
          }
        }
      })
      own.defer('endpoint', () => endpoint.close())
      own.defer('sync', () => sync.close())
      return { key, id: key.id, store, endpoint, sync, got, scope: own, reports }
    },
  }
}

/** Looks again and again until it holds; a test that waits for ever is ended by the runner. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** A peer that speaks raw frames, for what a well-behaved one never does. */
export class RawPeer {
  readonly connection: Connection
  readonly #readers = {
    1: new FrameReader({ frameBytesMax: 2 ** 22 }),
    2: new FrameReader({ frameBytesMax: 2 ** 22 }),
  }
  readonly #streams: { 1?: BiStream; 2?: BiStream } = {}

  constructor(connection: Connection) {
    this.connection = connection
  }

  async open(stream: 1 | 2): Promise<void> {
    this.#streams[stream] = await this.connection.openBi()
  }

  async accept(stream: 1 | 2): Promise<void> {
    this.#streams[stream] = await this.connection.acceptBi()
  }

  async send(stream: 1 | 2, bytes: Uint8Array): Promise<void> {
    await this.#streams[stream]!.send.write(bytes)
  }

  async finish(stream: 1 | 2): Promise<void> {
    await this.#streams[stream]!.send.finish()
  }

  /** The next frame without its length; undefined at the end or when the connection is closed. */
  async frame(stream: 1 | 2): Promise<Uint8Array | undefined> {
    const reader = this.#readers[stream]
    try {
      for (;;) {
        const frame = reader.next()
        if (frame) return frame.slice()
        const chunk = await this.#streams[stream]!.receive.read(65_536)
        if (!chunk) return undefined
        reader.push(chunk)
      }
    } catch {
      return undefined
    }
  }

  /** Dials and does the topic handshake; the sync stream is open then. */
  async handshake(topic: TopicId = TOPIC): Promise<void> {
    await this.open(1)
    await this.send(1, encodeHandshake({ type: 'topic', topic }))
    await this.frame(1)
    await this.send(1, encodeHandshake({ type: 'done' }))
    await this.open(2)
  }
}

/** An endpoint of a mesh that is no node: it dials as a raw peer, or hears who dials it. */
export function rawEndpoint(mesh: Mesh, ledger: Ledger, scope: Scope, index: number) {
  const key = keyOf(index + 1)
  const endpoint = scope.own(
    `raw ${index}`,
    new MemoryEndpoint({
      network: mesh.network,
      nodeId: key.id,
      protocols: [PROTOCOL],
      ledger,
      terms: mesh.plan.transport,
      limits: mesh.plan.each,
      lookup: mesh.lookup,
      scope,
    }),
  )
  mesh.known(key.id, endpoint.address)
  return {
    key,
    endpoint,
    async dial(node: TestNode): Promise<RawPeer> {
      return new RawPeer(await endpoint.connect(node.id, PROTOCOL))
    },
    async accept(): Promise<RawPeer> {
      for await (const incoming of endpoint.incoming) return new RawPeer(await incoming.accept())
      throw new Error('the endpoint was closed')
    },
  }
}
