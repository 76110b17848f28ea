/**
 * A Weir node with one topic over its own QUIC, made of the parts that `Node` is made of, so that tests can set every
 * limit and look at every counter. `WEIR_INTEROP_TRANSPORT=iroh` takes the binding instead.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Ledger, Term } from 'weir-mesh/bounds'
import { CborWriter } from 'weir-mesh/codec'
import {
  blake3,
  buildHeader,
  coreTerms,
  decodeHeader,
  decodeNodeExtensions,
  encodeNodeExtensions,
  type Hash,
  type Header,
  idHex,
  idKey,
  KeyPair,
  type NodeId,
  networkId,
  nodeIdFromHex,
  PROTOCOL_LOG_SYNC,
  protocolAlpn,
  type TopicId,
  topicId,
  topicLogId,
  Verifier,
  VerifyPool,
} from 'weir-mesh/core'
import { describeError, isWeirError, type Scope, systemRandom } from 'weir-mesh/runtime'
import {
  type LogStore,
  MemoryStore,
  memoryStoreTerms,
  SqliteStore,
  type StoredOperation,
  sqliteStoreTerms,
} from 'weir-mesh/store'
import {
  SyncAcceptor,
  type SyncLimits,
  type SyncReport,
  syncLimits,
  syncTerms,
  TopicSync,
  topicStreamPolicy,
  verifyOnPool,
} from 'weir-mesh/sync'
import {
  type Address,
  type Endpoint,
  loadTransport,
  type PlannedTransport,
} from 'weir-mesh/transport'
import type { RustPeer } from './rust-peer.ts'

export const TRANSPORT = process.env['WEIR_INTEROP_TRANSPORT'] === 'iroh' ? 'iroh' : 'quic'
const loaded = await loadTransport(TRANSPORT)

/** Network of the tests; the Rust peers get it as `--network-id`. */
export const NETWORK: Hash = networkId('weir-interop')
export const TOPIC: TopicId = topicId(new Uint8Array(32).fill(0x11))

export const keyOf = (index: number): KeyPair => KeyPair.fromSeed(new Uint8Array(32).fill(index))
export const seedHex = (index: number): string => idHex(new Uint8Array(32).fill(index))

/** What the Rust peer has to be told to meet a Weir of these tests. */
export const RUST = Object.freeze({ topic: idHex(TOPIC), 'network-id': idHex(NETWORK) })

/** `ID@ADDRESS` as the Rust peer wants it. */
export const peerArgument = (weir: WeirPeer): string => `${idHex(weir.id)}@${weir.address}`

export interface WeirPlan {
  readonly limits: SyncLimits
  readonly terms: readonly Term[]
  readonly core: ReturnType<typeof coreTerms>
  readonly sync: ReturnType<typeof syncTerms>
  readonly memory: ReturnType<typeof memoryStoreTerms>
  readonly sqlite: ReturnType<typeof sqliteStoreTerms>
  readonly transport: PlannedTransport
}

export function planWeir(given: Partial<SyncLimits> = {}): WeirPlan {
  const limits = syncLimits({ topicsMax: 1, ...given })
  const core = coreTerms()
  const sync = syncTerms(limits)
  const memory = memoryStoreTerms()
  const sqlite = sqliteStoreTerms()
  const transport = loaded.plan()
  const terms = [core, sync, memory, sqlite].flatMap((set): Term[] => Object.values(set))
  return { limits, terms: [...terms, ...transport.terms], core, sync, memory, sqlite, transport }
}

export interface WeirOptions {
  readonly plan: WeirPlan
  readonly ledger: Ledger
  readonly scope: Scope
  /** Seed of the key. Default 1. */
  readonly key?: number
  /** File of an SQLite store. Default: a store in memory. */
  readonly path?: string
  readonly network?: Hash
  /** Called before anything else hears of an operation. */
  onOperation?(operation: StoredOperation): void | Promise<void>
}

/** When an operation was made, by the clock of its author, in microseconds. */
export const madeAt = (operation: StoredOperation): number =>
  Number(decodeNodeExtensions(decodeHeader(operation.header).extensions).timestampMicros)

/** Microseconds since 1970. */
export const nowMicros = (): number =>
  Math.round((performance.timeOrigin + performance.now()) * 1_000)

export class WeirPeer implements AsyncDisposable {
  readonly id: NodeId
  readonly address: Address
  readonly sync: TopicSync
  readonly store: LogStore
  readonly scope: Scope
  readonly reports: SyncReport[] = []
  /** Ids, in hex, of what the consumer got. */
  readonly ids = new Set<string>()
  /** Operations that the consumer got. */
  taken = 0
  /** Sequence number after the last operation that the consumer got, by author. */
  readonly next = new Map<string, number>()
  /** Operations that the consumer got out of order or twice. */
  disorder = 0
  readonly #key: KeyPair
  readonly #endpoint: Endpoint
  readonly #addresses: Map<string, Address>
  #head: Header | undefined
  #seq: number

  static async open(options: WeirOptions): Promise<WeirPeer> {
    const { plan, ledger, path } = options
    const scope = options.scope.child('weir')
    const key = keyOf(options.key ?? 1)
    const store = await openStore(options, scope)
    const verifier = scope.own('verifier', new Verifier(ledger.require(plan.core.verifierKeys)))
    const pool = scope.own(
      'verify pool',
      new VerifyPool(ledger.require(plan.core.verifyJobs), verifier),
    )
    const network = options.network ?? NETWORK
    const protocol = protocolAlpn(PROTOCOL_LOG_SYNC, network)
    const addresses = new Map<string, Address>()
    const endpoint = await plan.transport.open({
      scope,
      ledger,
      keyPair: key,
      protocols: [protocol],
      lookup: {
        addresses: (node) => {
          const address = addresses.get(idKey(node))
          return address === undefined ? [] : [address]
        },
      },
    })
    let weir: WeirPeer
    const sync = await TopicSync.open({
      topic: TOPIC,
      self: key.id,
      store,
      connect: (peer, { signal }) => endpoint.connect(peer, protocol, { signal }),
      policy: topicStreamPolicy(TOPIC),
      verifier: verifyOnPool(pool),
      ledger,
      terms: plan.sync,
      limits: plan.limits,
      scope,
      random: systemRandom,
      // A restart shows that nothing of the file is delivered twice and nothing is left out.
      ...(path === undefined ? {} : { deliverFrom: (log) => log.height + 1 }),
      onOperation: (operation) => {
        weir.#took(operation)
        return options.onOperation?.(operation)
      },
      onReport: (report) => {
        weir.reports.push(report)
      },
    })
    const own = await store.log({ author: key.id, logId: topicLogId(TOPIC) })
    weir = new WeirPeer({
      key,
      endpoint,
      addresses,
      sync,
      store,
      scope,
      seq: (own?.height ?? -1) + 1,
    })
    weir.#accept(plan, ledger)
    // Closed in reverse: the sessions say Close, then the endpoint ends, and with it the loop that accepts.
    scope.defer('endpoint', () => endpoint.close())
    scope.defer('sync', () => sync.close())
    return weir
  }

  private constructor(parts: {
    readonly key: KeyPair
    readonly endpoint: Endpoint
    readonly addresses: Map<string, Address>
    readonly sync: TopicSync
    readonly store: LogStore
    readonly scope: Scope
    readonly seq: number
  }) {
    this.id = parts.key.id
    this.address = parts.endpoint.localAddresses[0]!
    this.sync = parts.sync
    this.store = parts.store
    this.scope = parts.scope
    this.#key = parts.key
    this.#endpoint = parts.endpoint
    this.#addresses = parts.addresses
    this.#seq = parts.seq
  }

  /** Keeps a session with a Rust peer. */
  connect(peer: Pick<RustPeer, 'id' | 'address'>): void {
    const id = nodeIdFromHex(peer.id)
    this.#addresses.set(idKey(id), peer.address)
    this.sync.connect(id)
  }

  disconnect(peer: Pick<RustPeer, 'id'>): void {
    this.sync.disconnect(nodeIdFromHex(peer.id))
  }

  /** Makes, keeps and sends operations of our own. */
  async publish(count: number, bodyBytes = 1_024): Promise<void> {
    for (let left = count; left > 0; left--) await this.sync.publish(await this.make(bodyBytes))
  }

  /** Puts operations of our own into the store before anybody asks: before sessions begin. */
  async fill(count: number, bodyBytes = 1_024): Promise<void> {
    for (let left = count; left > 0; ) {
      const batch: StoredOperation[] = []
      for (; left > 0 && batch.length < 64; left--) batch.push(await this.make(bodyBytes))
      for (const operation of batch) await this.sync.publish(operation)
    }
  }

  /** The next operation of our log, with a CBOR body as a p2panda node has it. */
  async make(bodyBytes = 1_024): Promise<StoredOperation> {
    const logId = topicLogId(TOPIC)
    let backlink: Hash | undefined = this.#head?.id
    if (!this.#head && this.#seq > 0) {
      backlink = (await this.store.log({ author: this.id, logId }))?.head
    }
    const body = new CborWriter({ sizeHint: bodyBytes + 4 })
      .byteString(new Uint8Array(bodyBytes).fill(this.#seq))
      .finish()
    const extensions = encodeNodeExtensions({ logId, timestampMicros: nowMicros(), prune: false })
    const header = buildHeader(this.#key, { seq: this.#seq, backlink, body, extensions })
    this.#head = header
    this.#seq++
    const { id, author, seq, payloadSize } = header
    return {
      ...{ id, author, logId, seq, backlink: header.backlink, payloadSize, prune: false },
      ...{ header: header.bytes, body },
    }
  }

  /** Sequence number of the next operation of our own. */
  get seq(): number {
    return this.#seq
  }

  /** A counter of sync, without its prefix. */
  counter(name: string): number {
    return this.scope.counters.value(`sync_${name}_total`)
  }

  /** BLAKE3 over the ids that the consumer got, in byte order: as the Rust peer counts it. */
  idsDigest(): string {
    return idHex(blake3(Buffer.from([...this.ids].sort().join(''), 'hex')))
  }

  /** The reports of one kind that have come. */
  all<T extends SyncReport['type']>(type: T): Extract<SyncReport, { readonly type: T }>[] {
    return this.reports.filter((report) => report.type === type) as never
  }

  /** The codes with which sessions have ended, in order. */
  get endings(): string[] {
    return this.all('ended').map(({ code }) => code)
  }

  close(): Promise<void> {
    return this.scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #took(operation: StoredOperation): void {
    const author = idHex(operation.author)
    const { seq } = operation
    if (seq !== (this.next.get(author) ?? seq)) this.disorder++
    this.taken++
    this.ids.add(idHex(operation.id))
    this.next.set(author, seq + 1)
  }

  #accept(plan: WeirPlan, ledger: Ledger): void {
    const { scope } = this
    const acceptor = new SyncAcceptor({
      ...{ ledger, terms: plan.sync, limits: plan.limits, scope },
      find: (topic) => (Buffer.compare(topic, TOPIC) === 0 ? this.sync : undefined),
    })
    scope.spawn('accept', async () => {
      for await (const incoming of this.#endpoint.incoming) {
        scope.spawn('accept one', async () => {
          try {
            acceptor.accept(await incoming.accept())
          } catch (error) {
            if (!isWeirError(error)) throw error
            scope.counters.counter('interop_accept_failed_total', 'Handshakes that failed.').add()
            scope.log.debug('a handshake failed', { error: describeError(error) })
          }
        })
      }
    })
  }
}

async function openStore(options: WeirOptions, scope: Scope): Promise<LogStore> {
  const { plan, ledger, path } = options
  if (path === undefined) {
    return scope.own('store', new MemoryStore({ ledger, terms: plan.memory, clock: scope.clock }))
  }
  const store = await SqliteStore.open({ path, ledger, terms: plan.sqlite })
  return scope.own('store', store)
}

/** A folder for one test, removed with the scope. */
export function temporaryFolder(scope: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-interop-'))
  scope.defer('folder', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Looks again and again until it holds; a test that waits for ever is ended by the runner. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 5))
}
