/** What sync may hold, as terms of the plan. */
import {
  BUFFER_SHELL_BYTES,
  MAP_NODE_BYTES,
  OBJECT_BYTES,
  PROMISE_BYTES,
  pool,
  ID_BYTES as SET_ID_BYTES,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from '../bounds/index.ts'
import { ID_BYTES } from '../core/index.ts'
import type { SyncLimits } from './limits.ts'

export type SyncTerms = Terms<
  | 'wireBytes'
  | 'ingestBytes'
  | 'queueBytes'
  | 'heldBytes'
  | 'topics'
  | 'logs'
  | 'peers'
  | 'sessions'
  | 'targets'
  | 'handshakes'
  | 'links'
  | 'publishes'
  | 'frame'
  | 'send'
  | 'ingest'
  | 'live'
  | 'deliver'
  | 'held'
  | 'buffers'
  | 'locks'
  | 'seen'
>

/** Most bytes that a session reads from its stream at once. */
export const READ_BYTES = 32 * 1024
/** What is charged for it while the session lives: with the buffer under it, and those of an unfinished frame. */
export const READ_COST_BYTES = READ_BYTES + 5 * BUFFER_SHELL_BYTES

/** Callers of `publish` that may wait at once, per topic. */
const PUBLISHES_MAX = 64

/** A 32-byte array of its own. */
const ID_SHELL_BYTES = BUFFER_SHELL_BYTES + ID_BYTES
/**
 * An operation in memory beside its header and body: two buffers, five views of 100 bytes, three objects. It is charged
 * with the bytes, so that the pools bound it for all topics and peers together.
 */
export const OPERATION_SHELL_BYTES = 2 * BUFFER_SHELL_BYTES + 5 * 104 + 3 * OBJECT_BYTES
/** The same until the store has it. */
export const ITEM_SHELL_BYTES = OPERATION_SHELL_BYTES + 320
/** A frame that the stream has not taken, beside its bytes: its buffer, and its link in the chain of writes. */
export const FRAME_SHELL_BYTES = BUFFER_SHELL_BYTES + 240

export function syncTerms(limits: SyncLimits): SyncTerms {
  const { topicsMax, peersMax } = limits
  const sessionsMax = 2 * peersMax
  const wireBytes = pool({
    name: 'sync.wire-bytes',
    why: 'unfinished frames of peers, and frames on their way to them',
    arena: 'buffers',
    payloadBytesMax: limits.wireBytesMax,
  })
  const ingestBytes = pool({
    name: 'sync.ingest-bytes',
    why: 'operations between the wire and the store',
    arena: 'buffers',
    payloadBytesMax: limits.ingestBytesMax,
  })
  const queueBytes = pool({
    name: 'sync.queue-bytes',
    why: 'operations that wait for a peer or a consumer',
    arena: 'buffers',
    payloadBytesMax: limits.queueBytesMax,
    shedAt: 1,
  })
  const heldBytes = pool({
    name: 'sync.held-bytes',
    why: 'operations that wait for their predecessor',
    arena: 'buffers',
    payloadBytesMax: limits.heldBytesMax,
    shedAt: 2,
  })
  return {
    wireBytes,
    ingestBytes,
    queueBytes,
    heldBytes,
    topics: term({
      name: 'sync.topics',
      why: 'topics that are open: machine, shell, timers',
      instancesMax: topicsMax,
      entriesMax: 1,
      shellBytes: 10.5 * 1024,
    }),
    logs: term({
      name: 'sync.logs',
      why: 'logs of a topic: name, height, what the consumer has',
      instancesMax: topicsMax,
      entriesMax: limits.logsMax,
      table: 'map',
      shellBytes:
        MAP_NODE_BYTES + STRING_SHELL_BYTES + 2 * ID_BYTES + 2 * OBJECT_BYTES + 2 * ID_SHELL_BYTES,
    }),
    peers: term({
      name: 'sync.peers',
      why: 'peers of a topic: what they have of each log',
      instancesMax: topicsMax,
      entriesMax: peersMax,
      table: 'map',
      shellBytes:
        MAP_NODE_BYTES +
        STRING_SHELL_BYTES +
        ID_BYTES +
        8 * OBJECT_BYTES +
        ID_SHELL_BYTES +
        BUFFER_SHELL_BYTES +
        4 * limits.logsMax,
    }),
    sessions: term({
      name: 'sync.sessions',
      why: 'sessions: state, and what is to be sent of each log',
      instancesMax: topicsMax,
      entriesMax: sessionsMax,
      table: 'map',
      shellBytes: MAP_NODE_BYTES + 8 * OBJECT_BYTES + 3 * BUFFER_SHELL_BYTES + 12 * limits.logsMax,
    }),
    targets: term({
      name: 'sync.targets',
      why: 'peers that a topic keeps a session with',
      instancesMax: topicsMax,
      entriesMax: limits.targetsMax,
      table: 'map',
      shellBytes:
        MAP_NODE_BYTES + STRING_SHELL_BYTES + ID_BYTES + 3 * OBJECT_BYTES + ID_SHELL_BYTES,
      shedAt: 'never',
    }),
    handshakes: term({
      name: 'sync.handshakes',
      why: 'connections that have not yet said their topic',
      entriesMax: limits.handshakesMax,
      shellBytes: 6 * OBJECT_BYTES + 6 * PROMISE_BYTES + 2 * 1024,
    }),
    links: term({
      name: 'sync.links',
      why: 'connections with a session: shell, reading task, writing task',
      instancesMax: topicsMax,
      // A session that was replaced may still be closing.
      entriesMax: 2 * sessionsMax,
      table: 'map',
      shellBytes: MAP_NODE_BYTES + 8 * OBJECT_BYTES + 11 * PROMISE_BYTES,
    }),
    publishes: term({
      name: 'sync.publishes',
      why: 'own operations whose caller waits for the store',
      instancesMax: topicsMax,
      entriesMax: Math.min(limits.ingestMax, PUBLISHES_MAX),
      table: 'map',
      shellBytes: MAP_NODE_BYTES + 3 * PROMISE_BYTES,
      shedAt: 'never',
    }),
    frame: term({
      name: 'sync.frame',
      why: 'what was read for a session and not handled: a chunk, and an unfinished frame',
      arena: 'buffers',
      instancesMax: topicsMax * sessionsMax,
      payloadBytesMax: limits.frameBytesMax + READ_COST_BYTES,
      pool: wireBytes,
    }),
    send: term({
      name: 'sync.send',
      why: 'frames that a stream has not yet taken',
      arena: 'buffers',
      instancesMax: topicsMax * sessionsMax,
      payloadBytesMax: limits.sendWindowBytes + limits.frameBytesMax + FRAME_SHELL_BYTES,
      pool: wireBytes,
    }),
    ingest: term({
      name: 'sync.ingest',
      why: 'operations between the wire and the store, in order of arrival',
      instancesMax: topicsMax,
      entriesMax: limits.ingestMax,
      payloadBytesMax: limits.ingestBytesMax,
      pool: ingestBytes,
    }),
    live: term({
      name: 'sync.live',
      why: 'operations that wait for a peer in live mode; more wait in the store',
      instancesMax: topicsMax * peersMax,
      entriesMax: limits.liveMax,
      table: 'ring',
      payloadBytesMax: limits.queueBytesMax,
      pool: queueBytes,
      shedAt: 1,
    }),
    deliver: term({
      name: 'sync.deliver',
      why: 'operations that wait for the consumer; more wait in the store',
      instancesMax: topicsMax,
      entriesMax: limits.deliverMax,
      table: 'ring',
      payloadBytesMax: limits.queueBytesMax,
      pool: queueBytes,
    }),
    held: term({
      name: 'sync.held',
      why: 'operations that wait for their predecessor or for a catch-up',
      instancesMax: topicsMax,
      entriesMax: limits.heldMax,
      payloadBytesMax: limits.heldBytesMax,
      pool: heldBytes,
      overflow: 'drop-new',
      shedAt: 2,
    }),
    buffers: term({
      name: 'sync.buffers',
      why: 'authors with a lock or a held operation',
      instancesMax: topicsMax,
      entriesMax: limits.locksMax,
      table: 'map',
      shellBytes:
        MAP_NODE_BYTES + STRING_SHELL_BYTES + 2 * ID_BYTES + 2 * OBJECT_BYTES + ID_SHELL_BYTES,
    }),
    locks: term({
      name: 'sync.locks',
      why: 'locks of authors whose catch-up runs',
      instancesMax: topicsMax,
      entriesMax: limits.locksMax,
      shellBytes: 2 * OBJECT_BYTES,
    }),
    seen: term({
      name: 'sync.seen',
      why: 'ids of operations that were kept lately, so that echoes cost nothing',
      arena: 'buffers',
      instancesMax: topicsMax,
      entriesMax: limits.seenMax,
      table: 'slab',
      shellBytes: SET_ID_BYTES,
    }),
  }
}

/** What an operation is charged wherever it waits. */
export const operationBytes = (header: Uint8Array, body: Uint8Array | undefined): number =>
  OPERATION_SHELL_BYTES + header.length + (body?.length ?? 0)

/** What it is charged until the store has it, with its decoded header, its place in a list and the name of its log. */
export const itemBytes = (header: Uint8Array, body: Uint8Array | undefined): number =>
  ITEM_SHELL_BYTES + header.length + (body?.length ?? 0)
