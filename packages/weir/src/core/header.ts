/**
 * The header of an operation of p2panda 0.7.1: an array in deterministic CBOR.
 *
 *     [version, key, signature, payload size, [payload hash], sequence number, [backlink], [extensions]]
 *
 * The payload hash is there exactly when the size is not 0, the backlink exactly when the sequence number is not 0.
 * The received bytes are kept: their hash is the id, and without the signature they are what was signed. So there is
 * one encoding of a header, and a CBOR tag in front of it, which upstream lets pass, is refused here: it would give
 * one operation two ids.
 *
 * Memory: the bytes of the header, once; the fields are views of them.
 */
import { type CborLimits, CborReader, copyBytes, malformed } from '../codec/index.ts'
import { WeirError } from '../runtime/index.ts'
import { blake3 } from './blake3.ts'
import type { Hash, NodeId } from './ids.ts'
import { SIGNATURE_BYTES } from './keys.ts'

export const HEADER_VERSION = 1
export const SEQ_MAX = 0xffffffff
export const PAYLOAD_BYTES_MAX = 0xffffffff

/** Upstream's limits for strings, counts and nesting; the total is ours, upstream has none below its frame. */
export const HEADER_LIMITS: CborLimits = Object.freeze({
  bytesMax: 64 * 1024,
  depthMax: 64,
  itemsMax: 64 * 1024,
  lengthMax: 512,
})

/** Where the fields are in the bytes; 0 for those that are absent. */
interface Layout {
  readonly author: number
  readonly signature: number
  readonly payloadHash: number
  readonly backlink: number
  readonly extensions: number
}

/** A decoded header; not verified unless `verifyHeader` or `decodeVerifiedHeader` said so. */
export class Header {
  /** The header as it was received, with memory of its own. */
  readonly bytes: Uint8Array
  readonly seq: number
  /** Bytes of the payload; 0 says that there is none. */
  readonly payloadSize: number
  readonly #layout: Layout
  #id: Hash | undefined

  /** @internal `decodeHeader` and `buildHeader` make headers. */
  constructor(bytes: Uint8Array, seq: number, payloadSize: number, layout: Layout) {
    this.bytes = bytes
    this.seq = seq
    this.payloadSize = payloadSize
    this.#layout = layout
  }

  /** The id of the operation: BLAKE3 of the received bytes. */
  get id(): Hash {
    this.#id ??= blake3(this.bytes)
    return this.#id
  }

  get author(): NodeId {
    return this.#field(this.#layout.author, 32) as NodeId
  }

  get signature(): Uint8Array {
    return this.#field(this.#layout.signature, SIGNATURE_BYTES)
  }

  get payloadHash(): Hash | undefined {
    return this.#optional(this.#layout.payloadHash) as Hash | undefined
  }

  /** Id of the operation before, in the same log. */
  get backlink(): Hash | undefined {
    return this.#optional(this.#layout.backlink) as Hash | undefined
  }

  /** The extensions as they were received, in CBOR. */
  get extensions(): Uint8Array | undefined {
    const start = this.#layout.extensions
    return start === 0 ? undefined : this.bytes.subarray(start)
  }

  /** What the author signed: the header without its signature. */
  get signedBytes(): Uint8Array {
    const signed = new Uint8Array(this.signedLength)
    this.writeSigned(signed, 0)
    return signed
  }

  /** Bytes of `signedBytes`. The head of a byte string of 64 takes two bytes. */
  get signedLength(): number {
    return this.bytes.length - SIGNATURE_BYTES - 2
  }

  /** Writes `signedBytes` at `at`: those of a batch go into one buffer. */
  writeSigned(target: Uint8Array, at: number): void {
    const signature = this.#layout.signature
    const { bytes } = this
    target.set(bytes.subarray(0, signature - 2), at)
    target.set(bytes.subarray(signature + SIGNATURE_BYTES), at + signature - 2)
    // The array has one element less.
    target[at] = bytes[0]! - 1
  }

  #field(start: number, length: number): Uint8Array {
    return this.bytes.subarray(start, start + length)
  }

  #optional(start: number): Uint8Array | undefined {
    return start === 0 ? undefined : this.#field(start, 32)
  }
}

/**
 * Decodes a header; the signature is not looked at.
 *
 * @throws {WeirError} a `DECODE_` code, or `HEADER_VERSION` for a version that is not 1.
 */
export function decodeHeader(bytes: Uint8Array, limits: CborLimits = HEADER_LIMITS): Header {
  return ownHeader(copyBytes(bytes), limits)
}

/** @internal As `decodeHeader`, and takes over `bytes`, which nobody else may change. */
export function ownHeader(bytes: Uint8Array, limits: CborLimits = HEADER_LIMITS): Header {
  const reader = new CborReader(bytes, limits)
  const count = reader.array()
  const version = reader.uint(0xffff)
  if (version !== HEADER_VERSION) {
    throw new WeirError(
      'HEADER_VERSION',
      `The header has version ${version}, only ${HEADER_VERSION} is known; update the older side.`,
    )
  }
  const author = reader.skipByteString(32)
  const signature = reader.skipByteString(SIGNATURE_BYTES)
  const payloadSize = reader.uint(PAYLOAD_BYTES_MAX)
  const payloadHash = payloadSize === 0 ? 0 : reader.skipByteString(32)
  const seq = reader.uint(SEQ_MAX)
  const backlink = seq === 0 ? 0 : reader.skipByteString(32)
  const known = 5 + (payloadHash === 0 ? 0 : 1) + (backlink === 0 ? 0 : 1)
  if (count < known || count > known + 1) {
    throw malformed(0, `the header has ${count} elements where ${known} or ${known + 1} belong`)
  }
  const extensions = count > known ? reader.skip(1) : 0
  reader.finish()
  return new Header(bytes, seq, payloadSize, {
    author,
    signature,
    payloadHash,
    backlink,
    extensions,
  })
}
