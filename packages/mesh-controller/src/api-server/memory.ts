/** The terms of the embedded API: what its users can make it hold, and where it ends. */
import { OBJECT_BYTES, pool, STRING_SHELL_BYTES, type Terms, term } from 'weir-mesh/bounds'

export interface ApiLimits {
  /** Objects of all kinds. Default 32 768. */
  readonly objectsMax: number
  /** Bytes of their JSON text. Default 64 MiB. */
  readonly objectBytesMax: number
  /** Kinds: built-in ones and versions of custom ones. Default 64. */
  readonly kindsMax: number
  /** Bytes of schemas with their validators, two for each byte of text. Default 8 MiB. */
  readonly schemaBytesMax: number
  /** Changes that a watch can still be given; older ones are answered with 410. Default 16 384. */
  readonly historyMax: number
  /** Bytes of these changes. Default 32 MiB. */
  readonly historyBytesMax: number
  /** Watches that are open at once. Default 128. */
  readonly watchersMax: number
  /** Requests that run at once, without watches. Default 64. */
  readonly requestsMax: number
  /** Connections. Default 256. */
  readonly connectionsMax: number
  /** Bytes of one request body. Default 3 MiB, as in a real API server. */
  readonly requestBytesMax: number
  /** Bytes of all request bodies that are being received. Default 16 MiB. */
  readonly incomingBytesMax: number
  /** Bytes of answers that the other side has not taken yet. Default 16 MiB. */
  readonly outgoingBytesMax: number
}

const MIB = 1024 * 1024

export const DEFAULT_API_LIMITS: ApiLimits = Object.freeze({
  objectsMax: 32_768,
  objectBytesMax: 64 * MIB,
  kindsMax: 64,
  schemaBytesMax: 8 * MIB,
  historyMax: 16_384,
  historyBytesMax: 32 * MIB,
  watchersMax: 128,
  requestsMax: 64,
  connectionsMax: 256,
  requestBytesMax: 3 * MIB,
  incomingBytesMax: 16 * MIB,
  outgoingBytesMax: 16 * MIB,
})

/** A node of the ordered map with its value object and the strings of both. */
const NODE_BYTES = 2 * OBJECT_BYTES + 4 * STRING_SHELL_BYTES
/** A kind with its names and columns; schema and validator are charged by the text of the schema. */
const KIND_BYTES = 5_200
const WATCHER_BYTES = 9 * 1024
/** A request with its answer, its task, and the chunk that came last with the 64 KiB under it: 86 kB measured. */
const REQUEST_BYTES = 88 * 1024
/** A TLS socket of node:https, mostly outside the heap: 55 to 58 kB measured, and more while it works. */
const CONNECTION_BYTES = 80 * 1024

export type ApiTerms = Terms<
  | 'objects'
  | 'kinds'
  | 'history'
  | 'watchers'
  | 'requests'
  | 'incoming'
  | 'outgoing'
  | 'connections'
>

export function apiTerms(limits: ApiLimits = DEFAULT_API_LIMITS): ApiTerms {
  const incoming = pool({
    name: 'api.incoming',
    why: 'request bodies that are being received',
    arena: 'buffers',
    payloadBytesMax: limits.incomingBytesMax,
    shedAt: 'never',
  })
  return {
    incoming,
    objects: term({
      name: 'api.objects',
      why: 'the stored objects as JSON text',
      entriesMax: limits.objectsMax,
      shellBytes: NODE_BYTES,
      payloadBytesMax: limits.objectBytesMax,
    }),
    kinds: term({
      name: 'api.kinds',
      why: 'kinds with their schema and validator',
      entriesMax: limits.kindsMax,
      table: 'map',
      shellBytes: KIND_BYTES,
      payloadBytesMax: limits.schemaBytesMax,
      shedAt: 'never',
    }),
    history: term({
      name: 'api.history',
      why: 'changes that a watch can still be given',
      entriesMax: limits.historyMax,
      table: 'ring',
      shellBytes: OBJECT_BYTES + 2 * STRING_SHELL_BYTES,
      payloadBytesMax: limits.historyBytesMax,
      overflow: 'drop-old',
      shedAt: 2,
    }),
    watchers: term({
      name: 'api.watchers',
      why: 'open watches',
      entriesMax: limits.watchersMax,
      table: 'map',
      shellBytes: WATCHER_BYTES,
      shedAt: 3,
    }),
    requests: term({
      name: 'api.requests',
      why: 'requests that run, with their bodies',
      arena: 'buffers',
      instancesMax: limits.requestsMax,
      entriesMax: 1,
      shellBytes: REQUEST_BYTES,
      // Text with a character beyond Latin-1 takes two bytes for each.
      payloadBytesMax: 2 * limits.requestBytesMax,
      pool: incoming,
      // A delete is a request too, and is what makes room.
      shedAt: 'never',
    }),
    outgoing: term({
      name: 'api.outgoing',
      why: 'answers that the other side has not taken yet',
      arena: 'buffers',
      payloadBytesMax: limits.outgoingBytesMax,
      overflow: 'wait',
      shedAt: 'never',
    }),
    connections: term({
      name: 'api.connections',
      why: 'connections of clients',
      arena: 'native',
      entriesMax: limits.connectionsMax,
      shellBytes: CONNECTION_BYTES,
      shedAt: 'never',
    }),
  }
}
