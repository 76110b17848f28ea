/**
 * Writes postcard 1.x: integers as LEB128 varints, everything else concatenated without names or tags.
 *
 * The wire of gossip, discovery and log sync. https://postcard.jamesmunns.com/wire-format
 */
import { assert } from '../runtime/index.ts'
import { ByteWriter } from './byte-writer.ts'
import { encodeTextInto, utf8Length } from './text.ts'
import { varintLength, writeVarint, writeVarintBig } from './varint.ts'

export class PostcardWriter extends ByteWriter {
  u8(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xff, 'not a u8')
    return this.byte(value)
  }

  u16(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xffff, 'not a u16')
    return this.#varint(value)
  }

  u32(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xffffffff, 'not a u32')
    return this.#varint(value)
  }

  u64(value: number | bigint): this {
    if (typeof value === 'number') {
      assert(Number.isSafeInteger(value) && value >= 0, 'not a u64')
      return this.#varint(value)
    }
    assert(value >= 0n && value <= 0xffffffffffffffffn, 'not a u64')
    if (value <= 0x1fffffffffffffn) return this.#varint(Number(value))
    // Nine bytes hold 63 bits.
    const start = this.reserve(value < 1n << 56n ? 8 : value < 1n << 63n ? 9 : 10)
    writeVarintBig(this.bytes, start, value)
    return this
  }

  bool(value: boolean): this {
    return this.byte(value ? 1 : 0)
  }

  /** An enum tag, or a count of elements. */
  variant(index: number): this {
    return this.u32(index)
  }

  /** `None`, or `Some` and what `write` puts after it. */
  option<T>(value: T | undefined, write: (value: T) => void): this {
    if (value === undefined) return this.byte(0)
    this.byte(1)
    write(value)
    return this
  }

  /** Bytes behind their length; `raw` writes an array of fixed size. */
  lengthBytes(value: Uint8Array): this {
    this.#varint(value.length)
    return this.raw(value)
  }

  text(value: string): this {
    const length = utf8Length(value)
    this.#varint(length)
    // The array may be replaced by the reservation, so it is read afterwards.
    const start = this.reserve(length)
    encodeTextInto(value, length, this.bytes, start)
    return this
  }

  #varint(value: number): this {
    if (value < 0x80) return this.byte(value)
    const start = this.reserve(varintLength(value))
    writeVarint(this.bytes, start, value)
    return this
  }
}
