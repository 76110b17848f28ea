/**
 * Encodes a tree of values as deterministic CBOR (RFC 8949 section 4.2.1).
 *
 * Safe integers become integers, other numbers the shortest float, a bigint an integer. A `Map` and an object with its
 * own enumerable keys both become a map, sorted by encoded keys. What has no encoding is refused, never left out:
 * `undefined`, functions, symbols, class instances other than `CborFloat`, text with half a surrogate pair.
 */
import { compareBytes } from './bytes.ts'
import { CborFloat, type CborValue } from './cbor-types.ts'
import { CborWriter } from './cbor-writer.ts'
import { encodeLimit, unencodable } from './errors.ts'
import { compareTextKeys } from './text.ts'

export interface CborEncodeOptions {
  /** Most bytes of the result; more is `ENCODE_LIMIT`. Default 2^31 - 1. */
  readonly bytesMax?: number
  /** Deepest nesting; what refers to itself ends here. Default 256, at most 512. */
  readonly depthMax?: number
  /** Bytes reserved at the start. Default 128. */
  readonly sizeHint?: number
}

export function encodeCbor(value: CborValue, options: CborEncodeOptions = {}): Uint8Array {
  const writer = new CborWriter(options)
  writeValue(writer, value, Math.min(options.depthMax ?? 256, 512))
  return writer.finish()
}

/** Appends the encoding of `value`; for values inside a message that is written by hand. */
export function writeCborValue(writer: CborWriter, value: CborValue, depthMax = 256): void {
  writeValue(writer, value, depthMax)
}

function writeValue(writer: CborWriter, value: CborValue, levels: number): void {
  switch (typeof value) {
    case 'string':
      writer.text(value)
      return
    case 'number':
      // -0 is no integer in CBOR.
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) writer.int(value)
      else writer.float(value)
      return
    case 'boolean':
      writer.bool(value)
      return
    case 'bigint':
      writer.int(value)
      return
    case 'object':
      if (value === null) writer.null()
      else writeObject(writer, value, levels)
      return
    default:
      throw unencodable(`A value of type ${typeof value} has no CBOR encoding`)
  }
}

function writeObject(writer: CborWriter, value: object, levels: number): void {
  if (value instanceof Uint8Array) {
    writer.byteString(value)
    return
  }
  if (value instanceof CborFloat) {
    writer.float(value.value)
    return
  }
  if (levels <= 0) throw encodeLimit('nesting of a CBOR value', 0, 0, 1)
  if (Array.isArray(value)) {
    writer.array(value.length)
    for (let at = 0; at < value.length; at++) writeValue(writer, value[at], levels - 1)
  } else if (value instanceof Map) {
    writeMap(writer, value, levels)
  } else {
    writePlain(writer, value, levels)
  }
}

function writePlain(writer: CborWriter, value: object, levels: number): void {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) {
    throw unencodable(`An object of class ${prototype.constructor?.name} has no CBOR encoding`)
  }
  const keys = Object.keys(value)
  if (keys.length > 1) keys.sort(compareTextKeys)
  writer.map(keys.length)
  for (const key of keys) {
    writer.text(key)
    writeValue(writer, (value as Record<string, CborValue>)[key] as CborValue, levels - 1)
  }
}

function writeMap(writer: CborWriter, value: Map<CborValue, CborValue>, levels: number): void {
  writer.map(value.size)
  const keys: { readonly encoded: Uint8Array; readonly value: CborValue }[] = []
  for (const [key, item] of value) {
    const keyWriter = new CborWriter({ sizeHint: 64 })
    writeValue(keyWriter, key, levels - 1)
    keys.push({ encoded: keyWriter.finish(), value: item })
  }
  keys.sort((left, right) => compareBytes(left.encoded, right.encoded))
  for (let at = 0; at < keys.length; at++) {
    const { encoded, value: item } = keys[at]!
    if (at > 0 && compareBytes(encoded, keys[at - 1]!.encoded) === 0) {
      throw unencodable('Two keys of a Map have the same CBOR encoding')
    }
    writer.raw(encoded)
    writeValue(writer, item, levels - 1)
  }
}
