/**
 * Reads postcard 1.x from bytes of a peer.
 *
 * Every length and count is checked against the limit and against the bytes that are left before anything is
 * allocated for it. What is returned is copied, except by the methods that say `View`.
 *
 * Memory: the bytes it reads from, which it does not own, and an offset.
 */
import { copyBytes } from './bytes.ts'
import { malformed, overLimit, trailing, truncated } from './errors.ts'
import { decodeText } from './text.ts'
import { varintEnd, varintValue } from './varint.ts'

export class PostcardReader {
  readonly #bytes: Uint8Array
  readonly #end: number
  #offset: number

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#offset = start
    this.#end = end
  }

  get offset(): number {
    return this.#offset
  }

  get left(): number {
    return this.#end - this.#offset
  }

  u8(): number {
    if (this.#offset >= this.#end) throw truncated(this.#end, 'a byte')
    return this.#bytes[this.#offset++]!
  }

  u16(): number {
    return this.#varint(16) as number
  }

  u32(): number {
    return this.#varint(32) as number
  }

  /** A number up to 2^53 - 1, a bigint above. */
  u64(): number | bigint {
    return this.#varint(64)
  }

  bool(): boolean {
    return this.#flag('a bool')
  }

  /** An enum tag below `variants`. */
  variant(variants: number): number {
    const start = this.#offset
    const index = this.u32()
    if (index >= variants) throw malformed(start, `variant ${index} is unknown`)
    return index
  }

  option<T>(read: (reader: this) => T): T | undefined {
    return this.#flag('an option') ? read(this) : undefined
  }

  /**
   * The count of a sequence or map.
   *
   * @param countMax Most elements that are accepted.
   * @param elementBytesMin Fewest bytes of one element: a count that the rest cannot hold is refused here.
   */
  count(countMax: number, elementBytesMin = 1): number {
    const count = this.#varint(32) as number
    if (count > countMax) throw overLimit('elements of a sequence', countMax, 0, count)
    if (count * elementBytesMin > this.left) throw truncated(this.#end, `a sequence of ${count}`)
    return count
  }

  /** `length` bytes without a length before them. */
  fixedBytes(length: number): Uint8Array {
    const start = this.#skip(length)
    return copyBytes(this.#bytes, start, start + length)
  }

  /** Bytes behind their length. */
  lengthBytes(lengthMax: number): Uint8Array {
    const length = this.#length(lengthMax)
    const start = this.#skip(length)
    return copyBytes(this.#bytes, start, start + length)
  }

  /** As `lengthBytes`, without a copy: valid as long as the input is, and keeps all of it alive. */
  lengthBytesView(lengthMax: number): Uint8Array {
    const length = this.#length(lengthMax)
    const start = this.#skip(length)
    return this.#bytes.subarray(start, start + length)
  }

  /** Bytes behind a length that must be `length`: how keys, hashes and topics are written. */
  exactBytes(length: number): Uint8Array {
    const start = this.#offset
    const found = this.#varint(32) as number
    if (found !== length) throw malformed(start, `${found} bytes where ${length} are needed`)
    return this.fixedBytes(length)
  }

  text(lengthMax: number): string {
    const length = this.#length(lengthMax)
    const start = this.#skip(length)
    return decodeText(this.#bytes, start, start + length)
  }

  /** Nothing may be left. Upstream ignores trailing bytes inside a frame; callers that must, do not call this. */
  finish(): void {
    if (this.#offset !== this.#end) throw trailing(this.#offset, this.left)
  }

  #varint(bits: 16 | 32 | 64): number | bigint {
    const start = this.#offset
    const first = this.#bytes[start]
    if (first !== undefined && first < 0x80 && start < this.#end) {
      this.#offset = start + 1
      return first
    }
    const end = varintEnd(this.#bytes, start, this.#end, bits)
    this.#offset = end
    return varintValue(this.#bytes, start, end)
  }

  #length(lengthMax: number): number {
    const length = this.#varint(32) as number
    if (length > lengthMax) throw overLimit('bytes of a string', lengthMax, 0, length)
    return length
  }

  #skip(length: number): number {
    const start = this.#offset
    if (length > this.#end - start) throw truncated(this.#end, `${length} bytes`)
    this.#offset = start + length
    return start
  }

  #flag(what: string): boolean {
    const byte = this.u8()
    if (byte > 1) throw malformed(this.#offset - 1, `${what} starts with ${byte}, not with 0 or 1`)
    return byte === 1
  }
}
