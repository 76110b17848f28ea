/**
 * Writes deterministic CBOR (RFC 8949 section 4.2.1) value by value.
 *
 * Every integer, length and float is the shortest one. The order of map keys is the caller's duty here;
 * `encodeCbor` sorts them.
 */
import { assert } from '../runtime/index.ts'
import { ByteWriter } from './byte-writer.ts'
import { major } from './cbor-types.ts'
import { unencodable } from './errors.ts'
import { halfFromSingle, singleBits } from './float.ts'
import { encodeTextInto, utf8Length } from './text.ts'

const floatView = new DataView(new ArrayBuffer(8))

export class CborWriter extends ByteWriter {
  /** An integer from -2^64 to 2^64 - 1. */
  int(value: number | bigint): this {
    if (typeof value === 'bigint') return this.#bigInt(value)
    assert(Number.isSafeInteger(value), 'not a safe integer')
    if (value >= 0) return this.#head(major.uint, value)
    return this.#head(major.negative, -1 - value)
  }

  byteString(value: Uint8Array): this {
    return this.#head(major.bytes, value.length).raw(value)
  }

  text(value: string): this {
    const length = utf8Length(value)
    this.#head(major.text, length)
    const start = this.reserve(length)
    encodeTextInto(value, length, this.bytes, start)
    return this
  }

  /** The head of an array; its `count` elements are written next. */
  array(count: number): this {
    return this.#head(major.array, count)
  }

  /** The head of a map; its `count` keys and values are written next, in the order of the encoded keys. */
  map(count: number): this {
    return this.#head(major.map, count)
  }

  bool(value: boolean): this {
    return this.byte(value ? 0xf5 : 0xf4)
  }

  null(): this {
    return this.byte(0xf6)
  }

  /** A float in the shortest form that is exact, also when it holds an integer. */
  float(value: number): this {
    if (Number.isNaN(value)) return this.#half(0x7e00)
    if (Math.fround(value) !== value) {
      floatView.setFloat64(0, value)
      return this.#float(0xfb, floatView.getUint32(0), floatView.getUint32(4))
    }
    const bits = singleBits(value)
    const half = halfFromSingle(bits)
    return half >= 0 ? this.#half(half) : this.#float(0xfa, bits)
  }

  #bigInt(value: bigint): this {
    const negative = value < 0n
    const argument = negative ? -1n - value : value
    if (argument > 0xffffffffffffffffn) {
      throw unencodable('An integer does not fit into 64 bits')
    }
    const type = negative ? major.negative : major.uint
    if (argument <= 0x1fffffffffffffn) return this.#head(type, Number(argument))
    const start = this.reserve(9)
    this.bytes[start] = (type << 5) | 27
    this.#word(start + 1, Number(argument >> 32n))
    this.#word(start + 5, Number(argument & 0xffffffffn))
    return this
  }

  #half(bits: number): this {
    const start = this.reserve(3)
    this.bytes[start] = 0xf9
    this.bytes[start + 1] = bits >>> 8
    this.bytes[start + 2] = bits
    return this
  }

  #float(first: number, high: number, low?: number): this {
    const start = this.reserve(low === undefined ? 5 : 9)
    this.bytes[start] = first
    this.#word(start + 1, high)
    if (low !== undefined) this.#word(start + 5, low)
    return this
  }

  #head(type: number, value: number): this {
    const first = type << 5
    if (value < 24) return this.byte(first | value)
    if (value <= 0xff) {
      const start = this.reserve(2)
      this.bytes[start] = first | 24
      this.bytes[start + 1] = value
    } else if (value <= 0xffff) {
      const start = this.reserve(3)
      this.bytes[start] = first | 25
      this.bytes[start + 1] = value >>> 8
      this.bytes[start + 2] = value
    } else if (value <= 0xffffffff) {
      const start = this.reserve(5)
      this.bytes[start] = first | 26
      this.#word(start + 1, value)
    } else {
      const start = this.reserve(9)
      this.bytes[start] = first | 27
      this.#word(start + 1, Math.floor(value / 0x100000000))
      this.#word(start + 5, value % 0x100000000)
    }
    return this
  }

  #word(at: number, value: number): void {
    this.bytes[at] = value >>> 24
    this.bytes[at + 1] = value >>> 16
    this.bytes[at + 2] = value >>> 8
    this.bytes[at + 3] = value
  }
}
