/**
 * From the operator's one number to the limits of every part, and to the plan.
 *
 * What does not depend on the number of objects has fixed caps. The rest of the limit decides how many objects fit:
 * each costs its rows here and its share of the logs.
 */
import { floorBytes, type Plan, planMemory, type Term } from 'weir-mesh/bounds'
// Not from their folders: the process that gives way would load all of each for its terms.
import {
  coreTerms,
  memoryStoreTerms,
  observeLimits,
  observeTerms,
  planTransport,
  syncLimits,
  syncTerms,
  wireBytesLeast,
} from 'weir-mesh/plan'
import { assert, isWeirError } from 'weir-mesh/runtime'
import type { PlannedTransport } from 'weir-mesh/transport'
import { DEFAULT_KUBE_LIMITS, type KubeLimits, kubeTerms } from '../kube/index.ts'
import { BODY_BYTES_MAX, type MeshLimits, meshTerms } from '../mesh/index.ts'
import type { Config } from './config.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Bytes of all logs for each object: one of 2 KiB of JSON with its header. */
const STORE_BYTES_PER_OBJECT = 2.5 * KIB
/** Beside the objects, a log holds the changes since the last snapshot. */
const STORE_BYTES_LEAST = 5 * MIB
/** Names, and what a relist has to know, for each object. */
const CACHE_BYTES_PER_OBJECT = 192
/** Header of an operation and what stands around it in a frame. */
const FRAME_SPARE_BYTES = 64 * KIB
/** How many objects are tried, largest first: the plan takes the first that fits, and all that are smaller fit. */
const OBJECTS = Object.freeze([
  1_048_576, 786_432, 524_288, 393_216, 262_144, 196_608, 131_072, 98_304, 65_536, 49_152, 32_768,
  24_576, 16_384, 12_288, 8_192, 6_144, 4_096, 3_072, 2_048, 1_024,
])

type PlanConfig = Pick<Config, 'memoryBytes' | 'peers' | 'resources' | 'unknownPeers'> &
  Partial<Pick<Config, 'transport'>>

/** The plan of a controller, and the terms and limits that it consists of. */
export type ControllerPlan = Awaited<ReturnType<typeof planController>>

/** @throws {WeirError} `PLAN_TOO_LARGE` when not even 1 024 objects fit, `TRANSPORT_MISSING`. */
export async function planController(config: PlanConfig) {
  const transport = await planTransport(config.transport ?? 'quic', {
    connectionsMax: connectionsMax(config),
    streamsMax: 4,
    opensMax: 2,
    incomingMax: 16,
    receivePoolBytes: 2 * MIB,
  })
  // Halved each time: a plan takes a millisecond in a process that has just begun, and there are two of them.
  let tooLarge = -1
  let fits = OBJECTS.length
  let planned: ReturnType<typeof planFor> | undefined
  while (fits - tooLarge > 1) {
    const at = (tooLarge + fits) >> 1
    try {
      planned = planFor(config, OBJECTS[at]!, transport)
      fits = at
    } catch (error) {
      if (!isWeirError(error, 'PLAN_TOO_LARGE') || at === OBJECTS.length - 1) throw error
      tooLarge = at
    }
  }
  assert(planned !== undefined, 'the smallest plan has been tried')
  return planned
}

const zonesMax = (config: PlanConfig): number =>
  config.unknownPeers === 'allow' ? Math.max(config.peers.length + 1, 16) : config.peers.length + 1

// Two nodes that dial each other have two connections for a moment, and an old one may not be gone yet.
const connectionsMax = (config: PlanConfig): number => 2 * zonesMax(config) + 4

function planFor(config: PlanConfig, objectsMax: number, transport: PlannedTransport) {
  const storeBytes = STORE_BYTES_LEAST + objectsMax * STORE_BYTES_PER_OBJECT
  const limits = {
    mesh: meshLimits(config, objectsMax, storeBytes),
    sync: syncLimitsOf(config),
    kube: kubeLimits(config, objectsMax),
    observe: observeLimits({ responseBytesMax: 128 * KIB, metricsMax: 32, seriesMax: 128 }),
  }
  const logsMax = 2 * zonesMax(config) + 2
  const terms = {
    core: coreTerms({ verifierKeysMax: zonesMax(config) + 2, verifyJobsMax: 256 }),
    sync: syncTerms(limits.sync),
    store: memoryStoreTerms({
      operationsMax: 4 * objectsMax,
      bytesMax: storeBytes,
      logsMax,
      frontiersMax: logsMax,
      topicsMax: 1,
      pinsMax: 1,
      metaMax: 1,
      metaBytesMax: KIB,
    }),
    mesh: meshTerms(limits.mesh),
    kube: kubeTerms(limits.kube),
    observe: observeTerms(limits.observe),
  }
  const own = Object.values(terms).flatMap((each) => Object.values(each) as Term[])
  const plan: Plan = planMemory([...own, ...transport.terms], {
    limitBytes: config.memoryBytes,
    floorBytes: floorBytes('controller'),
    semiSpaceMiB: 1,
  })
  return { plan, terms, limits, transport }
}

function meshLimits(config: PlanConfig, objectsMax: number, logBytesMax: number): MeshLimits {
  return {
    objectsMax,
    zonesMax: zonesMax(config),
    publishBytesMax: 3 * MIB,
    logBytesMax,
    appliesMax: 8,
    pendingMax: 256,
  }
}

function syncLimitsOf(config: PlanConfig) {
  const zones = zonesMax(config)
  const frameBytesMax = BODY_BYTES_MAX + FRAME_SPARE_BYTES
  return syncLimits({
    topicsMax: 1,
    logsMax: 2 * zones + 2,
    peersMax: zones,
    targetsMax: zones,
    handshakesMax: 8,
    frameBytesMax,
    ingestMax: 256,
    ingestBytesMax: 2.25 * MIB,
    // Room for a session with each zone, and for the surplus ones while two zones dial each other.
    wireBytesMax: Math.max(3 * MIB, wireBytesLeast(frameBytesMax, 2 * zones)),
    deliverMax: 64,
    liveMax: 64,
    queueBytesMax: 1.5 * MIB,
    heldMax: 64,
    heldBytesMax: 1.125 * MIB,
    locksMax: 2 * zones + 2,
    seenMax: 512,
  })
}

function kubeLimits(config: PlanConfig, objectsMax: number): KubeLimits {
  return {
    ...DEFAULT_KUBE_LIMITS,
    resourcesMax: config.resources.length,
    streamsMax: config.resources.reduce((sum, each) => sum + (each.namespaces?.length ?? 1), 0),
    objectsMax: Math.ceil(objectsMax / config.resources.length),
    cacheBytesMax: objectsMax * CACHE_BYTES_PER_OBJECT,
    bodiesBytesMax: 4 * MIB,
    responseBytesMax: 2 * MIB,
    requestsMax: 24,
  }
}
