/** Nodes with topic streams over the memory transport, each with a ledger of its own, for the tests of this folder. */
import { type Bench, withLedger } from '../../testing/index.ts'
import { Ledger, planMemory, type Term, term } from '../bounds/index.ts'
import {
  buildHeader,
  coreTerms,
  encodeNodeExtensions,
  idKey,
  KeyPair,
  type NodeId,
  type TopicId,
  topicId,
  topicLogId,
  Verifier,
} from '../core/index.ts'
import { type Scope, seededRandom } from '../runtime/index.ts'
import {
  type LogStore,
  MemoryStore,
  memoryStoreTerms,
  type SqliteStore,
  type StoredOperation,
  sqliteStoreTerms,
} from '../store/index.ts'
import {
  SyncAcceptor,
  type SyncLimits,
  type SyncTerms,
  syncLimits,
  syncTerms,
  verifyHere,
} from '../sync/index.ts'
import {
  type Connection,
  MemoryEndpoint,
  MemoryNetwork,
  transportLimits,
  transportTerms,
} from '../transport/index.ts'
import {
  type StreamEvent,
  type TopicLimits,
  type TopicStream,
  TopicStreams,
  type TopicStreamsOptions,
  topicLimits,
  topicTerms,
} from './index.ts'

export const TOPIC: TopicId = topicId(new Uint8Array(32).fill(7))
export const OTHER_TOPIC: TopicId = topicId(new Uint8Array(32).fill(8))
const PROTOCOL = new Uint8Array(32).fill(9)

export const keyOf = (index: number): KeyPair => KeyPair.fromSeed(new Uint8Array(32).fill(index))
export const text = (words: string): Uint8Array => new TextEncoder().encode(words)
export const wordsOf = (event: StreamEvent): string =>
  event.type === 'gap'
    ? `gap of ${event.lost}`
    : new TextDecoder().decode(event.operation.body ?? new Uint8Array())

export interface NodeSetup extends Partial<TopicStreamsOptions> {
  readonly limits?: TopicLimits
  readonly sync?: Partial<SyncLimits>
  /** Replaces the memory store; made with the ledger of the node. */
  openStore?(ledger: Ledger, terms: ReturnType<typeof sqliteStoreTerms>): Promise<SqliteStore>
}

export interface TestNode {
  readonly id: NodeId
  readonly ledger: Ledger
  readonly terms: ReturnType<typeof topicTerms>
  readonly syncTerms: SyncTerms
  readonly store: LogStore
  readonly streams: TopicStreams
  readonly scope: Scope
  /** A connection for log sync that its sync knows nothing of. */
  dial(peer: NodeId): Promise<Connection>
  close(): Promise<void>
}

export interface Nodes extends Bench {
  readonly scope: Scope
  /** Opens the node with this key; opening it again is a restart. */
  node(index: number, setup?: NodeSetup): Promise<TestNode>
}

export async function withNodes(run: (nodes: Nodes) => Promise<void>): Promise<void> {
  const ledgers: Ledger[] = []
  await withLedger([], async (_ledger, scope, bench) => {
    const network = scope.own('network', new MemoryNetwork({ clock: scope.clock }))
    const known = new Map<string, string>()
    const lookup = {
      addresses: (id: NodeId) => {
        const address = known.get(idKey(id))
        return address === undefined ? [] : [address]
      },
    }
    await run({
      ...bench,
      scope,
      node: async (index, setup = {}) => {
        const own = scope.child(`node ${index}`)
        const limits = setup.limits ?? topicLimits()
        const sync = syncLimits({
          topicsMax: limits.topicsMax,
          retryFirstMs: 20,
          closeMs: 1_000,
          ...setup.sync,
        })
        const each = transportLimits()
        const terms = {
          topics: topicTerms(limits),
          sync: syncTerms(sync),
          core: coreTerms(),
          transport: transportTerms(each),
          memory: memoryStoreTerms(),
          sqlite: sqliteStoreTerms(),
          spare: {
            spare: term({
              name: 'test.spare',
              why: 'keeps pressure low',
              payloadBytesMax: 2 ** 30,
            }),
          },
        }
        const all = Object.values(terms).flatMap((set) => Object.values(set) as Term[])
        const plan = planMemory(all, { limitBytes: 2 ** 33 })
        const ledger = new Ledger(plan, { log: scope.log, counters: scope.counters })
        ledgers.push(ledger)
        const key = keyOf(index)
        const store: LogStore =
          (await setup.openStore?.(ledger, terms.sqlite)) ??
          new MemoryStore({ ledger, terms: terms.memory, clock: scope.clock })
        own.defer('store', () => store.close())
        const verifier = own.own('verifier', new Verifier(ledger.require(terms.core.verifierKeys)))
        const endpoint = new MemoryEndpoint({
          network,
          nodeId: key.id,
          protocols: [PROTOCOL],
          ledger,
          terms: terms.transport,
          limits: each,
          lookup,
          scope: own,
        })
        known.set(idKey(key.id), endpoint.address)
        const { openStore: _, sync: __, ...given } = setup
        const streams = new TopicStreams({
          scope: own,
          ledger,
          terms: terms.topics,
          key,
          store,
          syncTerms: terms.sync,
          syncLimits: sync,
          verifier: verifyHere(verifier),
          random: seededRandom(index),
          connect: (peer, { signal }) => endpoint.connect(peer, PROTOCOL, { signal }),
          ...given,
          limits,
        })
        const acceptor = new SyncAcceptor({
          ledger,
          terms: terms.sync,
          limits: sync,
          scope: own,
          find: (topic) => streams.find(topic),
        })
        own.spawn('accept', async () => {
          for await (const incoming of endpoint.incoming) {
            // The dialling side may have gone: then there is nothing to accept.
            await incoming.accept().then(
              (connection) => acceptor.accept(connection),
              () => {},
            )
          }
        })
        own.defer('endpoint', () => endpoint.close())
        own.defer('streams', () => streams.close())
        const { id } = key
        return {
          id,
          ledger,
          terms: terms.topics,
          syncTerms: terms.sync,
          store,
          streams,
          scope: own,
          dial: (peer) => endpoint.connect(peer, PROTOCOL),
          close: () => own.close(),
        }
      },
    })
  })
  for (const ledger of ledgers) ledger.assertEmpty()
}

/** A signed log of an author that is no node, as a store keeps it: an operation for each body. */
export function logOf(topic: TopicId, index: number, bodies: readonly Uint8Array[]) {
  const logId = topicLogId(topic)
  const operations: StoredOperation[] = []
  for (const [seq, body] of bodies.entries()) {
    const backlink = operations[seq - 1]?.id
    const extensions = encodeNodeExtensions({ logId, timestampMicros: seq, prune: false })
    const header = buildHeader(keyOf(index), { seq, backlink, body, extensions })
    const { id, author, bytes, payloadSize } = header
    const place = { id, author, logId, seq, backlink }
    operations.push({ ...place, header: bytes, body, payloadSize, prune: false })
  }
  return operations
}

/** The next events of a stream, as words. */
export async function take(stream: TopicStream, count: number): Promise<string[]> {
  const iterator = stream[Symbol.asyncIterator]()
  const words: string[] = []
  while (words.length < count) {
    const { value, done } = await iterator.next()
    if (done) break
    words.push(wordsOf(value))
  }
  return words
}

/** Looks again and again until it holds; a test that waits for ever is ended by the runner. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 2))
}
