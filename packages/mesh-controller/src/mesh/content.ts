/**
 * The part of an object that travels: all of it but what belongs to one cluster.
 *
 * Left out: apiVersion and kind (the config says them), identity and bookkeeping of the API server, owner references
 * and finalizers (they name things of the other cluster), our markers, and kubectl's copy of the object. The content
 * is deterministic CBOR, so equal content has equal bytes and an equal hash in every zone.
 */
import { type CborLimits, type CborValue, decodeCbor, encodeCbor } from 'weir-mesh/codec'
import { blake3 } from 'weir-mesh/core'
import { WeirError } from 'weir-mesh/runtime'
import { isJsonObject, type Json, type JsonObject, setOwn } from '../kube/index.ts'
import { LAST_APPLIED_ANNOTATION, MARKER_PREFIX } from './markers.ts'
import { CONTENT_BYTES_MAX, CONTENT_ITEMS_MAX } from './sizes.ts'

const CONTENT_LIMITS: CborLimits = Object.freeze({
  bytesMax: CONTENT_BYTES_MAX,
  depthMax: 128,
  itemsMax: CONTENT_ITEMS_MAX,
  lengthMax: CONTENT_BYTES_MAX,
})

const MAJOR_BYTES = 2
const MAJOR_TEXT = 3
const TOP_LEVEL_LEFT_OUT = Object.freeze(['apiVersion', 'kind', 'metadata'])

/** The content of an object as a tree; parts are shared with the object. */
export function contentOf(object: JsonObject): JsonObject {
  const content: JsonObject = {}
  for (const [key, value] of Object.entries(object)) {
    if (!TOP_LEVEL_LEFT_OUT.includes(key)) setOwn(content, key, value)
  }
  const metadata: JsonObject = {}
  const from = isJsonObject(object.metadata) ? object.metadata : {}
  for (const field of ['annotations', 'labels']) {
    const kept = withoutMarkers(from[field])
    if (kept) metadata[field] = kept
  }
  if (Object.keys(metadata).length > 0) content.metadata = metadata
  return content
}

/** @throws {WeirError} `ENCODE_…` when the object is nested too deeply. */
export function encodeContent(content: JsonObject): Uint8Array {
  return encodeCbor(content as CborValue, { depthMax: CONTENT_LIMITS.depthMax })
}

/** @throws {WeirError} `DECODE_…` or `CONTENT_INVALID` for anything but one map of JSON within the limits. */
export function decodeContent(bytes: Uint8Array): JsonObject {
  const value = decodeCbor(bytes, { ...CONTENT_LIMITS, maps: 'object' }) as Json
  if (!isJsonObject(value) || !isJson(value)) {
    throw new WeirError('CONTENT_INVALID', 'the content of an object is not a map of JSON values')
  }
  return value
}

/** CBOR knows byte strings, JSON does not. */
function isJson(value: Json | Uint8Array): boolean {
  if (value instanceof Uint8Array) return false
  if (Array.isArray(value)) return value.every(isJson)
  return !isJsonObject(value) || Object.values(value).every(isJson)
}

/** How many values and names there are in content bytes; a cheap look at the heads alone. */
export function countItems(bytes: Uint8Array): number {
  let items = 0
  for (let at = 0; at < bytes.length; items++) {
    const head = bytes[at]!
    const info = head & 31
    const major = head >> 5
    let size = 1
    let value = info
    if (info >= 24 && info <= 27) {
      size += 1 << (info - 24)
      value = 0
      for (let byte = at + 1; byte < at + size; byte++) value = value * 256 + (bytes[byte] ?? 0)
    }
    at += size + (major === MAJOR_BYTES || major === MAJOR_TEXT ? value : 0)
  }
  return items
}

/** 128 bits of the hash of content bytes, as a string of 16 one-byte characters. */
export function contentHash(bytes: Uint8Array): string {
  return Buffer.from(blake3(bytes).subarray(0, 16)).toString('latin1')
}

function withoutMarkers(entries: Json | undefined): JsonObject | undefined {
  if (!isJsonObject(entries)) return undefined
  const kept: JsonObject = {}
  for (const [key, value] of Object.entries(entries)) {
    if (!key.startsWith(MARKER_PREFIX) && key !== LAST_APPLIED_ANNOTATION) setOwn(kept, key, value)
  }
  return Object.keys(kept).length > 0 ? kept : undefined
}
