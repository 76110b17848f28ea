/**
 * Reads deterministic CBOR (RFC 8949 section 4.2.1) value by value, and nothing else.
 *
 * Refused: integers, lengths and floats that are not the shortest, indefinite lengths, tags, unsorted or duplicate
 * keys (`key` checks them), invalid UTF-8. Depth, items and lengths are checked against the limits, and lengths also
 * against the bytes that are left, before anything is allocated. What is returned is copied, except by the methods
 * that say `View`.
 *
 * Memory: the bytes it reads from, which it does not own, and a few numbers.
 */
import { assert } from '../runtime/index.ts'
import { copyBytes } from './bytes.ts'
import { type CborLimits, major } from './cbor-types.ts'
import { malformed, notCanonical, overLimit, trailing, truncated } from './errors.ts'
import { fitsSingle, halfFromSingle, halfToNumber } from './float.ts'
import { decodeText } from './text.ts'

const DEPTH_HARD_MAX = 512

const majorNames = [
  'an integer',
  'a negative integer',
  'a byte string',
  'a text',
  'an array',
  'a map',
  'a tag',
  'a simple value or float',
] as const

export class CborReader {
  readonly #bytes: Uint8Array
  /** Made for the first float or large integer: most headers have none, and making one costs as much as ten heads. */
  #lazyView: DataView | undefined
  readonly #end: number
  readonly #limits: CborLimits
  #offset: number
  #items = 0

  constructor(bytes: Uint8Array, limits: CborLimits, start = 0, end = bytes.length) {
    assert(limits.depthMax <= DEPTH_HARD_MAX, `depthMax is above ${DEPTH_HARD_MAX}`)
    if (end - start > limits.bytesMax) {
      throw overLimit('bytes of a CBOR value', limits.bytesMax, 0, end - start)
    }
    this.#bytes = bytes
    this.#offset = start
    this.#end = end
    this.#limits = limits
  }

  get offset(): number {
    return this.#offset
  }

  get left(): number {
    return this.#end - this.#offset
  }

  /** Major type of the next value: 0 to 7. */
  peek(): number {
    if (this.#offset >= this.#end) throw truncated(this.#end, 'a CBOR value')
    return this.#bytes[this.#offset]! >>> 5
  }

  /** First byte of the next value. */
  peekByte(): number {
    if (this.#offset >= this.#end) throw truncated(this.#end, 'a CBOR value')
    return this.#bytes[this.#offset]!
  }

  /** A byte that was already read. */
  byteAt(offset: number): number {
    assert(offset < this.#offset, 'byteAt looks back only')
    return this.#bytes[offset]!
  }

  /** An unsigned integer up to `most`, which is a number: versions, sizes, sequence numbers. */
  uint(most = Number.MAX_SAFE_INTEGER): number {
    const start = this.#offset
    const value = this.#head(major.uint)
    if (typeof value === 'bigint' || value > most) {
      throw malformed(start, `${value} is above ${most}`)
    }
    return value
  }

  /** An unsigned 64-bit integer: a number up to 2^53 - 1, a bigint above. */
  uint64(): number | bigint {
    return this.#head(major.uint)
  }

  /** An integer from -2^64 to 2^64 - 1: a number when it is a safe one. */
  int(): number | bigint {
    if (this.peek() !== major.negative) return this.#head(major.uint)
    const value = this.#head(major.negative)
    if (typeof value === 'number' && value < Number.MAX_SAFE_INTEGER) return -1 - value
    return -1n - BigInt(value)
  }

  /** A byte string, of exactly `length` bytes when it is given. */
  byteString(length?: number): Uint8Array {
    const start = this.#string(major.bytes, length)
    return copyBytes(this.#bytes, start, this.#offset)
  }

  /** As `byteString`, without a copy: valid as long as the input is, and keeps all of it alive. */
  byteStringView(length?: number): Uint8Array {
    const start = this.#string(major.bytes, length)
    return this.#bytes.subarray(start, this.#offset)
  }

  /** Passes a byte string and gives where its contents start; they end at `offset`. */
  skipByteString(length?: number): number {
    return this.#string(major.bytes, length)
  }

  text(): string {
    const start = this.#string(major.text)
    return decodeText(this.#bytes, start, this.#offset)
  }

  bool(): boolean {
    const byte = this.#simple()
    if (byte !== 0xf4 && byte !== 0xf5) throw malformed(this.#offset - 1, 'this is not a bool')
    return byte === 0xf5
  }

  /** Whether the next value is null; it is passed when it is. */
  nullOr(): boolean {
    if (this.#offset >= this.#end || this.#bytes[this.#offset] !== 0xf6) return false
    this.#simple()
    return true
  }

  /**
   * A float in its shortest form.
   *
   * A NaN with a payload gives NaN, as upstream does: who needs the same bytes again keeps the raw ones.
   */
  float(): number {
    const start = this.#offset
    const value = this.#simple()
    if (value < 0xf9 || value > 0xfb) throw malformed(start, 'this is not a float')
    return this.#floatValue(start, value)
  }

  /** The count of an array whose elements are read next. */
  array(): number {
    return this.#count(major.array, 1)
  }

  /** The count of a map whose keys and values are read next. */
  map(): number {
    return this.#count(major.map, 2)
  }

  /**
   * Checks that the key in `[start, offset)` comes after the one in `[previousStart, previousEnd)`.
   *
   * Keys are ordered by their encoded bytes; an equal one is a duplicate.
   */
  key(start: number, previousStart: number, previousEnd: number): void {
    if (previousEnd === 0) return
    const bytes = this.#bytes
    const previousLength = previousEnd - previousStart
    const shared = Math.min(previousLength, this.#offset - start)
    for (let at = 0; at < shared; at++) {
      const difference = bytes[start + at]! - bytes[previousStart + at]!
      if (difference > 0) return
      if (difference < 0) throw notCanonical(start, 'a map key is not in order')
    }
    // No encoding of a value starts another one, so here the two are the same.
    throw notCanonical(start, 'a map key appears twice')
  }

  /**
   * Passes one whole value, checks it, and gives where it starts: it ends at `offset`.
   *
   * For values that are kept as they came, such as extensions. Unlike the other methods it accepts tags, `undefined`,
   * other simple values and NaN payloads, as upstream does in extensions: the bytes stay the same, so nothing is lost.
   *
   * @param depth Levels of nesting that are already used.
   */
  skip(depth = 0): number {
    const start = this.#offset
    switch (this.peek()) {
      case major.uint:
      case major.negative:
        this.#head(this.peek())
        break
      case major.bytes:
        this.#string(major.bytes)
        break
      case major.text:
        this.text()
        break
      case major.array:
        for (let left = this.#nested(this.array(), depth); left > 0; left--) this.skip(depth + 1)
        break
      case major.map:
        this.#skipMap(depth)
        break
      case major.tag:
        this.#skipTag(depth)
        break
      default:
        this.#skipSimple()
    }
    return start
  }

  /** One whole value as it came, checked as by `skip` and copied. */
  raw(depth = 0): Uint8Array {
    const start = this.skip(depth)
    return copyBytes(this.#bytes, start, this.#offset)
  }

  /** Nothing may be left. */
  finish(): void {
    if (this.#offset !== this.#end) throw trailing(this.#offset, this.left)
  }

  /** Refuses one level of nesting too many; the count is passed through. */
  #nested(count: number, depth: number): number {
    const { depthMax } = this.#limits
    if (depth >= depthMax) throw overLimit('nesting of a CBOR value', depthMax, depth, 1)
    return count
  }

  #skipMap(depth: number): void {
    let previousStart = 0
    let previousEnd = 0
    for (let left = this.#nested(this.map(), depth); left > 0; left--) {
      const start = this.skip(depth + 1)
      this.key(start, previousStart, previousEnd)
      previousStart = start
      previousEnd = this.#offset
      this.skip(depth + 1)
    }
  }

  #skipTag(depth: number): void {
    const start = this.#offset
    const tag = this.#head(major.tag)
    this.#nested(1, depth)
    const contents = this.skip(depth + 1)
    if (tag !== 2 && tag !== 3) return
    // A big number is only for what an integer cannot hold, and has no leading zero: RFC 8949 section 3.4.3.
    if (this.#bytes[contents]! >>> 5 !== major.bytes) {
      throw malformed(start, 'a big number is not a byte string')
    }
    const length = this.#offset - contents
    if (length <= 9 || this.#bytes[contents + headLength(this.#bytes[contents]!)] === 0) {
      throw notCanonical(start, 'a big number is not needed or has a leading zero')
    }
  }

  #skipSimple(): void {
    const start = this.#offset
    const byte = this.#simple()
    if (byte >= 0xf9 && byte <= 0xfb) this.#floatValue(start, byte)
  }

  /** Passes the first byte of a simple value or float, and the second one of a simple value that has it. */
  #simple(): number {
    const byte = this.#bytes[this.#offset]
    if (byte === undefined || this.#offset >= this.#end) {
      throw truncated(this.#end, 'a CBOR value')
    }
    if (byte < 0xe0) throw malformed(this.#offset, `this is ${majorNames[byte >>> 5]}`)
    if (byte > 0xfb) {
      if (byte === 0xff) throw notCanonical(this.#offset, 'an indefinite length ends here')
      throw malformed(this.#offset, 'this first byte has no meaning')
    }
    this.#item()
    this.#offset++
    if (byte === 0xf8) {
      const value = this.#bytes[this.#take(1, 'a simple value')]!
      if (value < 32) throw notCanonical(this.#offset - 2, 'a simple value is longer than needed')
    }
    return byte
  }

  #floatValue(start: number, first: number): number {
    if (first === 0xf9) return halfToNumber(this.#view.getUint16(this.#take(2, 'a float')))
    if (first === 0xfa) {
      const at = this.#take(4, 'a float')
      if (halfFromSingle(this.#view.getUint32(at)) >= 0) {
        throw notCanonical(start, 'a 32-bit float fits into 16 bits')
      }
      return this.#view.getFloat32(at)
    }
    const at = this.#take(8, 'a float')
    if (fitsSingle(this.#view.getUint32(at), this.#view.getUint32(at + 4))) {
      throw notCanonical(start, 'a 64-bit float fits into 32 bits')
    }
    return this.#view.getFloat64(at)
  }

  #count(wanted: number, elementItems: number): number {
    const start = this.#offset
    const count = this.#head(wanted)
    const { lengthMax, itemsMax } = this.#limits
    if (count > lengthMax) {
      throw overLimit('entries of an array or map', lengthMax, 0, Number(count))
    }
    const items = (count as number) * elementItems
    if (items > this.#end - this.#offset) throw truncated(this.#end, majorNames[wanted]!)
    if (this.#items + items > itemsMax) {
      throw overLimit('values in CBOR', itemsMax, this.#items, items)
    }
    assert(this.#offset > start, 'a count without a head')
    return count as number
  }

  /** Passes a string and gives where its contents start. */
  #string(wanted: number, exact?: number): number {
    const start = this.#offset
    const length = this.#head(wanted)
    const { lengthMax } = this.#limits
    if (length > lengthMax) throw overLimit('bytes of a string', lengthMax, 0, Number(length))
    if (exact !== undefined && length !== exact) {
      throw malformed(start, `${length} bytes where ${exact} are needed`)
    }
    return this.#take(length as number, majorNames[wanted]!)
  }

  /** Passes the head of a value of one major type and gives its argument. */
  #head(wanted: number): number | bigint {
    const at = this.#offset
    const first = this.#bytes[at]
    if (first === undefined || at >= this.#end) throw truncated(this.#end, 'a CBOR value')
    if (first >>> 5 !== wanted) {
      throw malformed(at, `this is ${majorNames[first >>> 5]}, not ${majorNames[wanted]}`)
    }
    this.#item()
    this.#offset = at + 1
    const short = first & 0x1f
    if (short < 24) return short
    return this.#argument(at, short)
  }

  #argument(at: number, short: number): number | bigint {
    let value: number | bigint
    if (short === 24) {
      value = this.#bytes[this.#take(1, 'a head')]!
      if (value >= 24) return value
    } else if (short === 25) {
      const start = this.#take(2, 'a head')
      value = (this.#bytes[start]! << 8) | this.#bytes[start + 1]!
      if (value > 0xff) return value
    } else if (short === 26) {
      value = this.#u32(this.#take(4, 'a head'))
      if (value > 0xffff) return value
    } else if (short === 27) {
      const start = this.#take(8, 'a head')
      const high = this.#u32(start)
      if (high > 0x1fffff) return this.#view.getBigUint64(start)
      if (high > 0) return high * 0x100000000 + this.#u32(start + 4)
    } else if (short === 31) {
      throw notCanonical(at, 'an indefinite length')
    } else {
      throw malformed(at, 'this first byte has no meaning')
    }
    throw notCanonical(at, 'an integer or length is longer than needed')
  }

  #u32(at: number): number {
    const bytes = this.#bytes
    const low = (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
    return bytes[at]! * 0x1000000 + low
  }

  get #view(): DataView {
    const { buffer, byteOffset, byteLength } = this.#bytes
    this.#lazyView ??= new DataView(buffer, byteOffset, byteLength)
    return this.#lazyView
  }

  #item(): void {
    const { itemsMax } = this.#limits
    if (this.#items >= itemsMax) throw overLimit('values in CBOR', itemsMax, this.#items, 1)
    this.#items++
  }

  /** Passes `length` bytes and gives where they start. */
  #take(length: number, what: string): number {
    const start = this.#offset
    if (length > this.#end - start) throw truncated(this.#end, what)
    this.#offset = start + length
    return start
  }
}

/** Bytes of the head that starts with this byte. */
function headLength(first: number): number {
  const short = first & 0x1f
  return short < 24 ? 1 : 1 + (1 << (short - 24))
}
