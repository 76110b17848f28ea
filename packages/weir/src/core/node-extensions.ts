/**
 * The extensions of p2panda's node: `[1, 0, log id, timestamp in µs, prune flag]`.
 *
 * Elements after the known ones belong to a later minor format: they are passed here and kept in the header's bytes.
 * Variant 1 (`[1, 1, log id, timestamp, [hashes]]`) is read and never written, as upstream does.
 */
import { CborReader, CborWriter, malformed } from '../codec/index.ts'
import { WeirError } from '../runtime/index.ts'
import { HEADER_LIMITS } from './header.ts'
import type { Hash, LogId } from './ids.ts'

const VERSION = 1
const BASIC = 0
const CAUSAL = 1

export interface NodeExtensions {
  readonly variant: 'basic' | 'causal'
  readonly logId: LogId
  /** Microseconds since 1970; a bigint above 2^53 - 1. By the author's clock: never trusted for order. */
  readonly timestampMicros: number | bigint
  /** Everything before this operation in its log may be dropped. Always false for `causal`. */
  readonly prune: boolean
  /** Operations that this one comes after; only `causal` has them. */
  readonly previous: readonly Hash[]
}

export function encodeNodeExtensions(fields: {
  readonly logId: LogId
  readonly timestampMicros: number | bigint
  readonly prune: boolean
}): Uint8Array {
  return new CborWriter({ sizeHint: 48 })
    .array(5)
    .int(VERSION)
    .int(BASIC)
    .byteString(fields.logId)
    .int(fields.timestampMicros)
    .bool(fields.prune)
    .finish()
}

/**
 * @param extensions One CBOR value, from `Header.extensions`; what is returned is copied from it.
 * @throws {WeirError} a `DECODE_` code, or `EXTENSIONS_UNSUPPORTED` for another version or variant.
 */
export function decodeNodeExtensions(extensions: Uint8Array | undefined): NodeExtensions {
  if (extensions === undefined) throw malformed(0, 'the header has no extensions')
  const reader = new CborReader(extensions, HEADER_LIMITS)
  const count = reader.array()
  if (count < 5) throw malformed(0, `the extensions have ${count} elements where 5 belong`)
  const version = reader.uint(0xffff)
  const variant = reader.uint(0xffff)
  if (version !== VERSION || variant > CAUSAL) {
    throw new WeirError(
      'EXTENSIONS_UNSUPPORTED',
      `Extensions of version ${version} and variant ${variant} are unknown; update this node.`,
    )
  }
  const logId = reader.byteString(32) as LogId
  const timestampMicros = reader.uint64()
  const prune = variant === BASIC && reader.bool()
  const previous = variant === CAUSAL ? readHashes(reader) : []
  for (let left = count - 5; left > 0; left--) reader.skip(1)
  reader.finish()
  const name = variant === BASIC ? 'basic' : 'causal'
  return { variant: name, logId, timestampMicros, prune, previous }
}

function readHashes(reader: CborReader): Hash[] {
  const hashes: Hash[] = []
  for (let left = reader.array(); left > 0; left--) hashes.push(reader.byteString(32) as Hash)
  return hashes
}
