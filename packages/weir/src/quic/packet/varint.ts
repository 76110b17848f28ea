/**
 * The integers of QUIC (RFC 9000 section 16): 1, 2, 4 or 8 bytes, the two highest bits say which.
 *
 * Values are numbers. Above 2^53 they lose their lowest bits, which matters to nobody: no offset, id or packet number
 * of a connection that we allow comes near, and limits that large mean "no limit".
 */

const WORD = 2 ** 32

export function varintSize(value: number): 1 | 2 | 4 | 8 {
  if (value < 64) return 1
  if (value < 16_384) return 2
  return value < 2 ** 30 ? 4 : 8
}

/** Writes a varint and gives the offset after it; the room is the caller's duty. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  if (value < 64) {
    bytes[at] = value
    return at + 1
  }
  if (value < 16_384) {
    bytes[at] = 0x40 | (value >>> 8)
    bytes[at + 1] = value & 255
    return at + 2
  }
  if (value < 2 ** 30) {
    bytes[at] = 0x80 | (value >>> 24)
    bytes[at + 1] = value >>> 16
    bytes[at + 2] = value >>> 8
    bytes[at + 3] = value
    return at + 4
  }
  const high = Math.floor(value / WORD)
  const low = value >>> 0
  bytes[at] = 0xc0 | (high >>> 24)
  bytes[at + 1] = high >>> 16
  bytes[at + 2] = high >>> 8
  bytes[at + 3] = high
  bytes[at + 4] = low >>> 24
  bytes[at + 5] = low >>> 16
  bytes[at + 6] = low >>> 8
  bytes[at + 7] = low
  return at + 8
}

/** Writes a value below 16 384 in two bytes, so that it can be filled in later. */
export function writeVarint2(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = 0x40 | (value >>> 8)
  bytes[at + 1] = value & 255
}

const NOTHING = new Uint8Array(0)

/**
 * Reads from a part of a buffer. Reading past the end sets `failed` and gives zeros, so that a reader checks once.
 *
 * Memory: refers to the buffer until the next `reset`; one cursor serves all packets.
 */
export class Cursor {
  bytes: Uint8Array = NOTHING
  at = 0
  end = 0
  failed = false

  reset(bytes: Uint8Array, at = 0, end = bytes.length): this {
    this.bytes = bytes
    this.at = at
    this.end = end
    this.failed = false
    return this
  }

  get left(): number {
    return this.end - this.at
  }

  byte(): number {
    if (this.at >= this.end) return this.#fail()
    return this.bytes[this.at++]!
  }

  uint16(): number {
    return (this.byte() << 8) | this.byte()
  }

  uint32(): number {
    return ((this.uint16() << 16) | this.uint16()) >>> 0
  }

  varint(): number {
    if (this.at >= this.end) return this.#fail()
    const { bytes, at } = this
    const first = bytes[at]!
    const size = 1 << (first >>> 6)
    if (at + size > this.end) return this.#fail()
    this.at = at + size
    switch (size) {
      case 1:
        return first
      case 2:
        return ((first & 0x3f) << 8) | bytes[at + 1]!
      case 4:
        return (
          ((first & 0x3f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
        )
      default: {
        const high =
          ((first & 0x3f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
        const low =
          ((bytes[at + 4]! << 24) |
            (bytes[at + 5]! << 16) |
            (bytes[at + 6]! << 8) |
            bytes[at + 7]!) >>>
          0
        return high * WORD + low
      }
    }
  }

  /** Skips so many bytes. @returns where they started. */
  skip(length: number): number {
    const start = this.at
    if (length > this.end - start) {
      this.#fail()
      return start
    }
    this.at = start + length
    return start
  }

  #fail(): 0 {
    this.failed = true
    this.at = this.end
    return 0
  }
}
