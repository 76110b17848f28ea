/**
 * Decodes one deterministic CBOR value into a tree, within limits.
 *
 * What it accepts, `encodeCbor` encodes to the same bytes. So it also refuses what JavaScript cannot give back: tags,
 * `undefined` and other simple values, NaN payloads, and floats such as `1.0`, unless they are asked for as
 * `CborFloat`. Foreign keys never become keys of a plain object: maps are a `Map` or have no prototype.
 *
 * Memory: the tree is at most about 16 bytes a value above the strings it holds, and has at most `itemsMax` values.
 */
import { CborReader } from './cbor-reader.ts'
import {
  type CborDecodeOptions,
  CborFloat,
  type CborObject,
  type CborValue,
  major,
} from './cbor-types.ts'
import { malformed, notCanonical, overLimit } from './errors.ts'

/** Decodes all of `bytes`; a byte after the value is refused. */
export function decodeCbor(bytes: Uint8Array, options: CborDecodeOptions): CborValue {
  const reader = new CborReader(bytes, options)
  const value = readCborValue(reader, options)
  reader.finish()
  return value
}

/** Decodes the next value of a reader; for values inside a message that is read by hand. */
export function readCborValue(
  reader: CborReader,
  options: CborDecodeOptions,
  depth = 0,
): CborValue {
  switch (reader.peek()) {
    case major.uint:
    case major.negative:
      return reader.int()
    case major.bytes:
      return reader.byteString()
    case major.text:
      return reader.text()
    case major.array:
      return readArray(reader, options, depth)
    case major.map:
      return options.maps === 'object'
        ? readObject(reader, options, depth)
        : readMap(reader, options, depth)
    case major.tag:
      throw malformed(reader.offset, 'a tag is not accepted')
    default:
      return readSimple(reader, options)
  }
}

function readArray(reader: CborReader, options: CborDecodeOptions, depth: number): CborValue[] {
  checkDepth(options, depth)
  const values: CborValue[] = []
  for (let left = reader.array(); left > 0; left--) {
    values.push(readCborValue(reader, options, depth + 1))
  }
  return values
}

function readMap(
  reader: CborReader,
  options: CborDecodeOptions,
  depth: number,
): Map<CborValue, CborValue> {
  checkDepth(options, depth)
  const entries = new Map<CborValue, CborValue>()
  let previousStart = 0
  let previousEnd = 0
  for (let left = reader.map(); left > 0; left--) {
    const start = reader.offset
    const key = readCborValue(reader, options, depth + 1)
    reader.key(start, previousStart, previousEnd)
    previousStart = start
    previousEnd = reader.offset
    entries.set(key, readCborValue(reader, options, depth + 1))
  }
  return entries
}

function readObject(reader: CborReader, options: CborDecodeOptions, depth: number): CborObject {
  checkDepth(options, depth)
  const object: { [key: string]: CborValue } = Object.create(null)
  let previousStart = 0
  let previousEnd = 0
  for (let left = reader.map(); left > 0; left--) {
    const start = reader.offset
    const key = reader.text()
    reader.key(start, previousStart, previousEnd)
    previousStart = start
    previousEnd = reader.offset
    object[key] = readCborValue(reader, options, depth + 1)
  }
  return object
}

function readSimple(reader: CborReader, options: CborDecodeOptions): CborValue {
  if (reader.nullOr()) return null
  const start = reader.offset
  const first = reader.peekByte()
  if (first === 0xf4 || first === 0xf5) return reader.bool()
  const value = reader.float()
  if (Number.isNaN(value)) {
    if (first !== 0xf9 || reader.byteAt(start + 1) !== 0x7e || reader.byteAt(start + 2) !== 0) {
      throw notCanonical(start, 'a NaN has a payload')
    }
    return value
  }
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    if (options.integralFloats !== 'wrap') {
      throw notCanonical(start, `the float ${value}.0 is an integer`)
    }
    return new CborFloat(value)
  }
  return value
}

function checkDepth({ depthMax }: CborDecodeOptions, depth: number): void {
  if (depth >= depthMax) throw overLimit('nesting of a CBOR value', depthMax, depth, 1)
}
