/** The terms of the Kubernetes client: what a cluster can make us hold, and where it ends. */
import {
  MAP_NODE_BYTES,
  OBJECT_BYTES,
  pool,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from 'weir-mesh/bounds'

export interface KubeLimits {
  /** Resources that are watched, one Reflector each. Default 8. */
  readonly resourcesMax: number
  /** Lists and watches that are open at once: one per resource and namespace. Default 16. */
  readonly streamsMax: number
  /** Objects of one resource that are remembered. Default 16 384. */
  readonly objectsMax: number
  /** Bytes of all projections and names that are remembered. Default 32 MiB. */
  readonly cacheBytesMax: number
  /** Bytes of one object in a list or watch; a larger one is passed over and named. Default 1.5 MiB. */
  readonly objectBytesMax: number
  /** Bytes of one other answer. Default 4 MiB. */
  readonly responseBytesMax: number
  /** Bytes of all objects and answers that are being received. Default 8 MiB. */
  readonly bodiesBytesMax: number
  /** Requests that run or wait for a socket, without watches. Default 64. */
  readonly requestsMax: number
  /** Sockets for requests; each stream may have one more. Default 8. */
  readonly socketsMax: number
}

export const DEFAULT_KUBE_LIMITS: KubeLimits = Object.freeze({
  resourcesMax: 8,
  streamsMax: 16,
  objectsMax: 16_384,
  cacheBytesMax: 32 * 1024 * 1024,
  objectBytesMax: 1536 * 1024,
  responseBytesMax: 4 * 1024 * 1024,
  bodiesBytesMax: 8 * 1024 * 1024,
  requestsMax: 64,
  socketsMax: 8,
})

/** A request on its way with its deadline, its connection's state and its promise, 10 kB measured, without the answer. */
const REQUEST_BYTES = 14 * 1024
/** A TLS socket with a watch on it, mostly outside the heap: 62 to 70 kB measured. */
const SOCKET_BYTES = 84 * 1024
/** The chunk that the reader has, a TLS record at most; what the system hands over at once meanwhile; the body itself. */
export const READ_AHEAD_BYTES = (16 + 64 + 12) * 1024

export type KubeTerms = Terms<
  'cache' | 'cacheBytes' | 'streams' | 'responses' | 'bodies' | 'sockets'
>

export function kubeTerms(limits: KubeLimits = DEFAULT_KUBE_LIMITS): KubeTerms {
  const bodies = pool({
    name: 'kube.bodies',
    why: 'objects and answers of the cluster that are being received',
    arena: 'buffers',
    payloadBytesMax: limits.bodiesBytesMax,
    shedAt: 'never',
  })
  const cacheBytes = pool({
    name: 'kube.cache-bytes',
    why: 'names and projections of watched objects',
    payloadBytesMax: limits.cacheBytesMax,
    shedAt: 'never',
  })
  return {
    bodies,
    cacheBytes,
    cache: term({
      name: 'kube.cache',
      why: 'one entry per watched object, so that a relist finds what was deleted',
      instancesMax: limits.resourcesMax,
      entriesMax: limits.objectsMax,
      table: 'map',
      shellBytes: MAP_NODE_BYTES + OBJECT_BYTES + 5 * STRING_SHELL_BYTES,
      payloadBytesMax: limits.cacheBytesMax,
      pool: cacheBytes,
      // An object that is not remembered would never be deleted: control data keeps its cap, and only its cap.
      shedAt: 'never',
    }),
    streams: term({
      name: 'kube.streams',
      why: 'the object of a list or watch that is not complete yet',
      arena: 'buffers',
      instancesMax: limits.streamsMax,
      entriesMax: 1,
      shellBytes: READ_AHEAD_BYTES,
      payloadBytesMax: limits.objectBytesMax,
      pool: bodies,
      overflow: 'drop-new',
      shedAt: 'never',
    }),
    responses: term({
      name: 'kube.responses',
      why: 'requests to the cluster that run or wait for a socket, with their answers',
      arena: 'buffers',
      instancesMax: limits.requestsMax,
      entriesMax: 1,
      shellBytes: REQUEST_BYTES,
      payloadBytesMax: limits.responseBytesMax,
      pool: bodies,
      shedAt: 'never',
    }),
    sockets: term({
      name: 'kube.sockets',
      why: 'connections to the cluster',
      arena: 'native',
      entriesMax: limits.socketsMax + limits.streamsMax,
      shellBytes: SOCKET_BYTES,
      shedAt: 'never',
    }),
  }
}
