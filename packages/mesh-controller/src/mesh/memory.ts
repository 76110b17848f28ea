/** The places of the controller's replication that can hold memory. */
import {
  BUFFER_SHELL_BYTES,
  MAP_NODE_BYTES,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from 'weir-mesh/bounds'
import { BODY_BYTES_MAX, CHUNK_BYTES_MAX, CONTENT_ITEMS_MAX } from './sizes.ts'

export interface MeshLimits {
  /** Objects of all kinds in this zone, own and foreign. A power of two uses its table best. */
  readonly objectsMax: number
  /** Zones of the mesh, this one included. */
  readonly zonesMax: number
  /** Bytes of operations that were decided on and not yet written to the own log. */
  readonly publishBytesMax: number
  /** What the store has for the own log: a snapshot makes it short in time. */
  readonly logBytesMax: number
  /** Kubernetes writes under way at once. */
  readonly appliesMax: number
  /** Writes that may be pending before operations of peers wait in the store. */
  readonly pendingMax: number
}

/** A row with its observed state and one desired entry, beside the characters of its names. */
export const ROW_BYTES = MAP_NODE_BYTES + 724
/** Each further zone that wants the same object. */
export const DESIRED_BYTES = 120
/** What a write holds of an object, for each byte of content and for each value in it: two trees and three texts. */
export const APPLY_BYTES_PER_BYTE = 4
export const APPLY_BYTES_PER_ITEM = 96
const APPLY_BYTES_MAX =
  APPLY_BYTES_PER_BYTE * BODY_BYTES_MAX + APPLY_BYTES_PER_ITEM * CONTENT_ITEMS_MAX
/** An item of a chunk beside its bytes. */
export const CHUNK_ITEM_BYTES = BUFFER_SHELL_BYTES

export function meshTerms(
  limits: MeshLimits,
): Terms<'objects' | 'zones' | 'publish' | 'chunk' | 'applies' | 'tooLarge'> {
  return {
    objects: term({
      name: 'mesh.objects',
      why: 'one row per object: names, versions and hashes, no content',
      entriesMax: limits.objectsMax,
      table: 'map',
      shellBytes: ROW_BYTES,
      payloadBytesMax: limits.objectsMax * 192,
      overflow: 'refuse',
      shedAt: 'never',
    }),
    zones: term({
      name: 'mesh.zones',
      why: 'one record per zone of the mesh',
      entriesMax: limits.zonesMax,
      table: 'map',
      shellBytes: MAP_NODE_BYTES + STRING_SHELL_BYTES * 6 + 600,
      overflow: 'refuse',
      shedAt: 'never',
    }),
    publish: term({
      name: 'mesh.publish-queue',
      why: 'own changes on their way into the log; the watch waits when it is full',
      arena: 'buffers',
      entriesMax: 1024,
      table: 'ring',
      shellBytes: 260,
      payloadBytesMax: limits.publishBytesMax,
      overflow: 'wait',
      shedAt: 'never',
    }),
    chunk: term({
      name: 'mesh.snapshot-chunk',
      why: 'objects collected for the next chunk of a snapshot',
      arena: 'buffers',
      payloadBytesMax: CHUNK_BYTES_MAX + BODY_BYTES_MAX + CHUNK_ITEM_BYTES,
      shedAt: 'never',
    }),
    applies: term({
      name: 'mesh.applies',
      why: 'objects being written to the API server',
      entriesMax: limits.appliesMax,
      shellBytes: 4096,
      payloadBytesMax: APPLY_BYTES_MAX,
      shedAt: 'never',
    }),
    tooLarge: term({
      name: 'mesh.too-large',
      why: 'names of own objects that are too large to travel, for /status',
      entriesMax: 256,
      table: 'map',
      shellBytes: MAP_NODE_BYTES + STRING_SHELL_BYTES,
      payloadBytesMax: 64 * 1024,
      overflow: 'evict',
      shedAt: 'never',
    }),
  }
}
