/**
 * The logs that nodes write in the simulation. They are signed once and shared by all seeds: signing would take most of
 * the time.
 */
import {
  buildHeader,
  encodeNodeExtensions,
  type Hash,
  KeyPair,
  topicId,
  topicLogId,
} from 'weir-mesh/core'
import type { StoredOperation } from 'weir-mesh/store'
import { stored } from '../packages/weir/src/sync/fixtures.ts'

export const NODES_MAX = 4
/** Operations of a log with small bodies, and of one with large ones, which cost more to hash. */
const SMALL_OPERATIONS = 60
const LARGE_OPERATIONS = 24

export const TOPIC = topicId(new Uint8Array(32).fill(3))
export const LOG = topicLogId(TOPIC)

export const keys = Object.freeze(
  Array.from({ length: NODES_MAX }, (_, at) => KeyPair.fromSeed(new Uint8Array(32).fill(at + 1))),
)

/** One log for each node. */
export type Logs = readonly (readonly StoredOperation[])[]

const smallBody = (seq: number) => (seq * 37) % 300
/** From nothing to what just fits into a frame of 64 KiB; a few of these fill every pool of bytes and no list of entries. */
const LARGE_BODIES = Object.freeze([54_000, 0, 1, 54_000, 54_000, 300, 16_384, 65_100, 0, 30_000])
const largeBody = (seq: number) => LARGE_BODIES[seq % LARGE_BODIES.length]!

const never = () => false
const small = Object.freeze([
  makeLogs(SMALL_OPERATIONS, smallBody, never),
  makeLogs(SMALL_OPERATIONS, smallBody, (seq) => seq % 17 === 16),
])
const large = Object.freeze([
  makeLogs(LARGE_OPERATIONS, largeBody, never),
  makeLogs(LARGE_OPERATIONS, largeBody, (seq) => seq % 7 === 6),
])

export const logsOf = (bodies: 'small' | 'large', pruned: boolean): Logs =>
  (bodies === 'small' ? small : large)[pruned ? 1 : 0]!

function makeLogs(
  count: number,
  bodyBytes: (seq: number) => number,
  prunes: (seq: number) => boolean,
): Logs {
  return keys.map((key) => {
    const operations: StoredOperation[] = []
    let backlink: Hash | undefined
    for (let seq = 0; seq < count; seq++) {
      const length = bodyBytes(seq)
      const body = length > 0 ? new Uint8Array(length).fill(seq) : undefined
      const prune = prunes(seq)
      const extensions = encodeNodeExtensions({ logId: LOG, timestampMicros: seq, prune })
      const header = buildHeader(key, { seq, backlink, body, extensions })
      operations.push(stored(header.bytes, body, LOG, prune))
      backlink = header.id
    }
    return operations
  })
}
