/**
 * From the operator's one number to the limits of every part of a node, and to its plan.
 *
 * There are a few sizes; the plan takes the largest that fits. A smaller one has fewer topics, peers and logs, shorter
 * queues, and shorter operations in the smallest two.
 */
import { floorBytes, type Plan, type Program, planMemory, type Term } from '../bounds/index.ts'
import { coreTerms } from '../core/index.ts'
import { observeLimits, observeTerms } from '../observe/index.ts'
import { assert, isWeirError } from '../runtime/index.ts'
import {
  type MemoryStoreLimits,
  memoryStoreTerms,
  type SqliteStoreLimits,
  sqliteStoreTerms,
} from '../store/index.ts'
import { type SyncLimits, syncLimits, syncTerms, wireBytesLeast } from '../sync/index.ts'
import { topicLimits, topicTerms } from '../topics/index.ts'
import { loadTransport, type Transport, type TransportName } from '../transport/index.ts'
import { acceptTerms } from './memory.ts'

export interface NodePlanOptions {
  /** The one number: bytes for all that the node may hold; with `program`, for the whole process. */
  readonly memoryBytes: number
  /** Default `quic`. */
  readonly transport?: TransportName | Transport
  /** Whether the node keeps its logs in a file. Default false: in memory. */
  readonly durable?: boolean
  /** Topics that are open at once; by default as many as the size has. */
  readonly topicsMax?: number
  /** Peers, of all topics together; by default as many as the size has. */
  readonly peersMax?: number
  /** The process is this program: its own memory and V8's garbage are part of the plan. Default: a library's plan. */
  readonly program?: Program
  /** What the program around the node holds. */
  readonly extraTerms?: readonly Term[]
}

/** The plan of a node, and the terms and limits that it consists of. */
export type NodePlan = Awaited<ReturnType<typeof planNode>>

const KIB = 1024
const MIB = 1024 * KIB

interface Size {
  readonly topicsMax: number
  readonly peersMax: number
  readonly logsMax: number
  /** Longest operation with its frame. */
  readonly frameBytesMax: number
  /** Operations in each queue. */
  readonly queueMax: number
  /** Bytes of all logs in memory, or of the page cache four times as much. */
  readonly storeBytesMax: number
}

/** Largest first. */
const SIZES: readonly Size[] = Object.freeze([
  size(16, 64, 512, MIB + 128 * KIB, 128, 128 * MIB),
  size(8, 32, 256, MIB + 128 * KIB, 64, 32 * MIB),
  size(4, 16, 128, MIB + 128 * KIB, 64, 8 * MIB),
  size(2, 8, 64, MIB + 128 * KIB, 32, 4 * MIB),
  size(2, 8, 64, 256 * KIB, 32, 2 * MIB),
  size(1, 4, 32, 64 * KIB, 16, MIB),
])

function size(
  topicsMax: number,
  peersMax: number,
  logsMax: number,
  frameBytesMax: number,
  queueMax: number,
  storeBytesMax: number,
): Size {
  return { topicsMax, peersMax, logsMax, frameBytesMax, queueMax, storeBytesMax }
}

/** Bytes of a log's place in the value of a cursor. */
const CURSOR_ROW_BYTES = 72

/** @throws {WeirError} `PLAN_TOO_LARGE` when the smallest size does not fit, `TRANSPORT_MISSING`. */
export async function planNode(options: NodePlanOptions) {
  const { transport: wanted = 'quic', topicsMax, peersMax } = options
  assert(options.memoryBytes > 0, `memoryBytes is ${options.memoryBytes}`)
  const transport = typeof wanted === 'string' ? await loadTransport(wanted) : wanted
  let problem: unknown
  for (const each of SIZES) {
    const fitting = {
      ...each,
      ...(topicsMax === undefined ? {} : { topicsMax }),
      ...(peersMax === undefined ? {} : { peersMax }),
    }
    try {
      return planFor(options, fitting, transport)
    } catch (error) {
      if (!isWeirError(error, 'PLAN_TOO_LARGE')) throw error
      problem = error
    }
  }
  throw problem
}

function planFor(options: NodePlanOptions, of: Size, transport: Transport) {
  const connectionsMax = connectionsOf(of)
  const limits = {
    sync: syncLimits(syncLimitsOf(of)),
    topics: topicLimits({
      topicsMax: of.topicsMax,
      streamsMax: 2 * of.topicsMax,
      queueMax: of.queueMax,
      operationBytesMax: of.frameBytesMax,
      queueBytesMax: 2 * of.frameBytesMax,
      publishesMax: 64,
      publishBytesMax: 2 * of.frameBytesMax,
      cursorLogsMax: of.logsMax,
    }),
    observe: observeLimits({
      connectionsMax: 8,
      responsesMax: 1,
      responseBytesMax: 128 * KIB,
      metricsMax: 16,
      seriesMax: 64,
    }),
    store: storeLimits(of),
  }
  const planned = transport.plan({
    connectionsMax,
    streamsMax: 4,
    opensMax: 2,
    incomingMax: 16,
    incomingBytesMax: 64 * KIB,
    receivePoolBytes: 2 * Math.max(of.frameBytesMax, MIB),
    // The credit of a connection is one stream's: a sync session has one after the other.
    connectionWindowBytesMax: Math.min(256 * KIB, of.frameBytesMax),
  })
  const store = options.durable
    ? { durable: true as const, terms: sqliteStoreTerms({ cacheBytes: cacheBytes(of) }) }
    : { durable: false as const, terms: memoryStoreTerms(limits.store.memory) }
  const terms = {
    core: coreTerms({ verifierKeysMax: of.logsMax, verifyJobsMax: 128 }),
    sync: syncTerms(limits.sync),
    topics: topicTerms(limits.topics),
    observe: observeTerms(limits.observe),
    accept: acceptTerms({ handshakesMax: 8, peersMax: of.peersMax }),
  }
  const all = [...Object.values(terms), store.terms].flatMap((set) => Object.values(set) as Term[])
  const plan: Plan = planMemory([...all, ...planned.terms, ...(options.extraTerms ?? [])], {
    limitBytes: options.memoryBytes,
    ...(options.program ? { floorBytes: floorBytes(options.program), semiSpaceMiB: 2 } : {}),
  })
  return { plan, terms, limits, store, transport: planned }
}

// Each session is a connection of its own.
const connectionsOf = (of: Size): number => 2 * of.peersMax + 4
/** One for each peer and topic; a second one with a peer is surplus and may be refused. */
const sessionsOf = (of: Size): number => Math.min(of.topicsMax * of.peersMax, connectionsOf(of))

function syncLimitsOf(of: Size): Partial<SyncLimits> {
  const { frameBytesMax: frame, queueMax } = of
  return {
    topicsMax: of.topicsMax,
    logsMax: of.logsMax,
    peersMax: of.peersMax,
    targetsMax: of.peersMax,
    handshakesMax: 8,
    frameBytesMax: frame,
    ingestMax: 4 * queueMax,
    ingestPerSessionMax: 2 * queueMax,
    ingestBytesMax: 2 * frame + 256 * KIB,
    wireBytesMax: Math.max(4 * frame, wireBytesLeast(frame, sessionsOf(of))),
    deliverMax: queueMax,
    liveMax: queueMax,
    queueBytesMax: 2 * frame,
    heldMax: 2 * queueMax,
    heldBytesMax: frame,
    locksMax: of.logsMax,
    seenMax: 16 * queueMax,
    // The close of a program takes 5 s at most, all of it.
    closeMs: 2_000,
  }
}

function storeLimits(of: Size): { memory: MemoryStoreLimits; sqlite: SqliteStoreLimits } {
  const logsMax = of.topicsMax * of.logsMax
  const meta = {
    metaMax: 64,
    metaBytesMax: 16 * KIB + of.topicsMax * of.logsMax * CURSOR_ROW_BYTES,
  }
  return {
    memory: {
      operationsMax: of.storeBytesMax / 512,
      bytesMax: of.storeBytesMax,
      logsMax,
      frontiersMax: logsMax,
      topicsMax: 2 * of.topicsMax,
      pinsMax: of.topicsMax,
      ...meta,
    },
    sqlite: meta,
  }
}

const cacheBytes = (of: Size): number => Math.max(Math.min(of.storeBytesMax / 4, 8 * MIB), MIB)
