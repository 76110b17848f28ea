/**
 * The bodies of the controller's operations: deterministic CBOR arrays `[version, kind, zone, …]`, described in
 * docs/mesh-protocol.md.
 *
 * A snapshot is a run of operations: begin (the only one with the prune flag), chunks, end. Its size never matters,
 * and nothing is deleted because of a part of it.
 */
import { CborReader, CborWriter, malformed } from 'weir-mesh/codec'
import { WeirError } from 'weir-mesh/runtime'
import type { ObjectName } from './names.ts'
import { BODY_BYTES_MAX, CONTENT_BYTES_MAX } from './sizes.ts'

export const BODY_VERSION = 1
/** Objects that a chunk can hold: the smallest item has about 16 bytes. */
const CHUNK_ITEMS_MAX = 8192

const KIND = Object.freeze({ put: 0, delete: 1, begin: 2, chunk: 3, end: 4 })

export interface Item extends ObjectName {
  /** The owner's resourceVersion. */
  readonly version: string
  /** Content as CBOR; in a decoded body a view of it. */
  readonly content: Uint8Array
}

/** Of an own object that cannot travel as it is: it exists, and a replica of it stays as it is. */
export interface HeldItem extends ObjectName {
  readonly content?: undefined
}

export type Body =
  | { readonly kind: 'put'; readonly zone: string; readonly item: Item }
  | {
      readonly kind: 'delete'
      readonly zone: string
      readonly name: ObjectName
      readonly version: string
    }
  | {
      readonly kind: 'begin'
      readonly zone: string
      /** Which life of the zone writes this log. */
      readonly incarnation: number
      readonly snapshot: number
      /** uid of the namespace `kube-system`: another one means a rebuilt cluster. */
      readonly cluster: string
      /** Objects that will follow, as known when it begins; `end` has the exact number. */
      readonly count: number
    }
  | {
      readonly kind: 'chunk'
      readonly zone: string
      readonly snapshot: number
      readonly items: (Item | HeldItem)[]
    }
  | {
      readonly kind: 'end'
      readonly zone: string
      readonly snapshot: number
      readonly count: number
    }
  /** Of this version, but a kind that a newer controller knows: it is passed over and counted. */
  | { readonly kind: 'unknown'; readonly zone: string; readonly code: number }

export function encodePut(zone: string, item: Item): Uint8Array {
  const writer = head(KIND.put, zone, 1, item.content.length + 256)
  return writer.byteString(encodeItem(item)).finish()
}

export function encodeDelete(zone: string, name: ObjectName, version: string): Uint8Array {
  const writer = head(KIND.delete, zone, 4, 256)
  return writer.text(name.resource).text(name.namespace).text(name.name).text(version).finish()
}

export function encodeBegin(
  zone: string,
  fields: { incarnation: number; snapshot: number; cluster: string; count: number },
): Uint8Array {
  const writer = head(KIND.begin, zone, 4, 128)
  return writer
    .int(fields.incarnation)
    .int(fields.snapshot)
    .text(fields.cluster)
    .int(fields.count)
    .finish()
}

/** @param items encoded by `encodeItem` and `encodeHeld`. */
export function encodeChunk(
  zone: string,
  snapshot: number,
  items: readonly Uint8Array[],
): Uint8Array {
  const bytes = items.reduce((sum, item) => sum + item.length + 5, 0)
  const writer = head(KIND.chunk, zone, 2, bytes + 64)
    .int(snapshot)
    .array(items.length)
  for (const item of items) writer.byteString(item)
  return writer.finish()
}

export function encodeEnd(zone: string, snapshot: number, count: number): Uint8Array {
  return head(KIND.end, zone, 2, 64).int(snapshot).int(count).finish()
}

/** `[resource, namespace, name, version, content]`; chunks hold them as byte strings, so that one can be passed over. */
export function encodeItem(item: Item): Uint8Array {
  return new CborWriter({ sizeHint: item.content.length + 256 })
    .array(5)
    .text(item.resource)
    .text(item.namespace)
    .text(item.name)
    .text(item.version)
    .byteString(item.content)
    .finish()
}

/** `[resource, namespace, name]`: an item of a chunk that says only that the object is still there. */
export function encodeHeld(name: ObjectName): Uint8Array {
  return new CborWriter({ sizeHint: 256 })
    .array(3)
    .text(name.resource)
    .text(name.namespace)
    .text(name.name)
    .finish()
}

function head(kind: number, zone: string, more: number, sizeHint: number): CborWriter {
  return new CborWriter({ sizeHint })
    .array(3 + more)
    .int(BODY_VERSION)
    .int(kind)
    .text(zone)
}

const LIMITS = Object.freeze({
  bytesMax: BODY_BYTES_MAX,
  depthMax: 8,
  itemsMax: CHUNK_ITEMS_MAX + 16,
  lengthMax: BODY_BYTES_MAX,
})

/**
 * Reads a body. Contents are views of `bytes`.
 *
 * @throws {WeirError} a `DECODE_` code, or `BODY_VERSION_UNSUPPORTED` for a body of a later version.
 */
export function decodeBody(bytes: Uint8Array): Body {
  const reader = new CborReader(bytes, LIMITS)
  const elements = reader.array()
  const version = reader.uint(0xffff)
  if (version !== BODY_VERSION) {
    throw new WeirError(
      'BODY_VERSION_UNSUPPORTED',
      `the operation's body has version ${version}; update this controller`,
    )
  }
  const kind = reader.uint(0xffff)
  const zone = shortText(reader, 63)
  const body = readBody(reader, kind, zone, elements - 3)
  if (body.kind !== 'unknown') reader.finish()
  return body
}

function readBody(reader: CborReader, kind: number, zone: string, left: number): Body {
  const expect = (count: number) => {
    if (left !== count)
      throw malformed(reader.offset, `kind ${kind} has ${left} fields, not ${count}`)
  }
  switch (kind) {
    case KIND.put:
      expect(1)
      return { kind: 'put', zone, item: decodeItem(reader.byteStringView()) }
    case KIND.delete: {
      expect(4)
      const name = readName(reader)
      return { kind: 'delete', zone, name, version: shortText(reader, 64) }
    }
    case KIND.begin:
      expect(4)
      return {
        kind: 'begin',
        zone,
        incarnation: reader.uint(Number.MAX_SAFE_INTEGER),
        snapshot: reader.uint(Number.MAX_SAFE_INTEGER),
        cluster: shortText(reader, 64),
        count: reader.uint(Number.MAX_SAFE_INTEGER),
      }
    case KIND.chunk: {
      expect(2)
      const snapshot = reader.uint(Number.MAX_SAFE_INTEGER)
      const items: (Item | HeldItem)[] = []
      for (let count = reader.array(); count > 0; count--) {
        items.push(decodeChunkItem(reader.byteStringView()))
      }
      return { kind: 'chunk', zone, snapshot, items }
    }
    case KIND.end:
      expect(2)
      return {
        kind: 'end',
        zone,
        snapshot: reader.uint(Number.MAX_SAFE_INTEGER),
        count: reader.uint(Number.MAX_SAFE_INTEGER),
      }
    default:
      return { kind: 'unknown', zone, code: kind }
  }
}

function decodeItem(bytes: Uint8Array): Item {
  const item = decodeChunkItem(bytes)
  if (!item.content) throw malformed(0, 'what was put has no content')
  return item
}

/** Reads one item; its content is a view. */
function decodeChunkItem(bytes: Uint8Array): Item | HeldItem {
  const reader = new CborReader(bytes, LIMITS)
  const elements = reader.array()
  if (elements === 3) {
    const held = readName(reader)
    reader.finish()
    return held
  }
  if (elements !== 5) throw malformed(0, `an item has ${elements} fields, not 5 or 3`)
  const name = readName(reader)
  const version = shortText(reader, 64)
  const content = reader.byteStringView()
  reader.finish()
  if (content.length > CONTENT_BYTES_MAX) {
    throw malformed(0, `a content of ${content.length} bytes is over the limit`)
  }
  return { ...name, version, content }
}

function readName(reader: CborReader): ObjectName {
  const resource = shortText(reader, 320)
  const namespace = shortText(reader, 63)
  const name = shortText(reader, 253)
  if (name === '' || resource === '' || /\s/.test(resource + namespace + name)) {
    throw malformed(reader.offset, 'an object has an impossible name')
  }
  return { resource, namespace, name }
}

function shortText(reader: CborReader, most: number): string {
  const text = reader.text()
  if (text.length > most) throw malformed(reader.offset, `a name has more than ${most} characters`)
  return text
}
