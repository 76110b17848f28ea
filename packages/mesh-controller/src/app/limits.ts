/**
 * From the operator's one number to the limits of every part, and to the plan. Shares are fixed here; whoever wants
 * other caps changes this file and reads the plan again.
 */
import { FLOOR_BYTES, type Plan, planMemory, powerOfTwo, type Term } from 'weir-mesh/bounds'
import { coreTerms } from 'weir-mesh/core'
import { observeTerms } from 'weir-mesh/observe'
import { memoryStoreTerms } from 'weir-mesh/store'
import { syncLimits, syncTerms } from 'weir-mesh/sync'
import { loadTransport } from 'weir-mesh/transport'
import { DEFAULT_KUBE_LIMITS, kubeTerms } from '../kube/index.ts'
import { BODY_BYTES_MAX, type MeshLimits, meshTerms } from '../mesh/index.ts'
import type { Config } from './config.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Bytes of the limit for each object that can be known: its rows here and in the cache of the watch. */
const BYTES_PER_OBJECT = 12 * KIB
/** Share of the limit for the logs of all zones. */
const STORE_SHARE = 0.26
/** Headers, and the bytes of a frame around a body. */
const FRAME_SPARE_BYTES = 64 * KIB

export type ControllerPlan = Awaited<ReturnType<typeof planController>>

/**
 * @returns the plan of the controller with this config, and the terms and limits that it consists of.
 * @throws {WeirError} `PLAN_TOO_LARGE`, `TRANSPORT_MISSING`.
 */
export async function planController(
  config: Pick<Config, 'memoryBytes' | 'peers' | 'resources' | 'unknownPeers'>,
) {
  const { memoryBytes } = config
  const zonesMax = Math.max(config.peers.length + 1, config.unknownPeers === 'allow' ? 16 : 4)
  const objectsMax = Math.max(powerOfTwo(memoryBytes / BYTES_PER_OBJECT / 2), 1024)
  const mesh: MeshLimits = {
    objectsMax,
    zonesMax,
    publishBytesMax: 4 * MIB,
    appliesMax: 8,
    pendingMax: 256,
  }
  const sync = syncLimits({
    topicsMax: 1,
    logsMax: 2 * zonesMax + 2,
    peersMax: zonesMax,
    targetsMax: zonesMax,
    handshakesMax: 8,
    frameBytesMax: BODY_BYTES_MAX + FRAME_SPARE_BYTES,
    ingestMax: 256,
    ingestBytesMax: 3 * MIB,
    wireBytesMax: 6 * MIB,
    deliverMax: 64,
    liveMax: 64,
    queueBytesMax: 2 * MIB,
    heldMax: 128,
    heldBytesMax: 1 * MIB,
    locksMax: 64,
    seenMax: 1024,
  })
  const streams = config.resources.reduce((sum, each) => sum + (each.namespaces?.length ?? 1), 0)
  const kube = {
    ...DEFAULT_KUBE_LIMITS,
    resourcesMax: config.resources.length,
    streamsMax: streams,
    objectsMax: powerOfTwo(objectsMax / config.resources.length),
    cacheBytesMax: objectsMax * 256,
    bodiesBytesMax: 6 * MIB,
    responseBytesMax: 3 * MIB,
    requestsMax: 24,
  }
  const transport = (await loadTransport('iroh')).plan({
    connectionsMax: powerOfTwo(4 * zonesMax),
    streamsMax: 4,
    opensMax: 2,
    incomingMax: 16,
  })
  const terms = {
    core: coreTerms({ keysMax: zonesMax + 4 }),
    sync: syncTerms(sync),
    store: memoryStoreTerms({
      operationsMax: powerOfTwo(objectsMax * 2),
      bytesMax: Math.floor(memoryBytes * STORE_SHARE),
      bytesPerLogMax: Math.floor(memoryBytes * STORE_SHARE * 0.8),
      logsMax: 2 * zonesMax + 2,
      frontiersMax: 2 * zonesMax + 2,
      topicsMax: 1,
      pinsMax: 1,
    }),
    mesh: meshTerms(mesh),
    kube: kubeTerms(kube),
    observe: observeTerms(),
  }
  const all: Term[] = [
    ...Object.values(terms).flatMap((each) => Object.values(each) as Term[]),
    ...transport.terms,
  ]
  const plan: Plan = planMemory(all, {
    limitBytes: memoryBytes,
    floorBytes: FLOOR_BYTES.controller,
  })
  return { plan, terms, limits: { mesh, sync, kube }, transport }
}
