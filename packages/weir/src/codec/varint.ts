/**
 * LEB128 integers as postcard writes them: seven bits a byte, least significant first.
 *
 * A number has one encoding here. Upstream also reads over-long ones (`85 00` for 5); we refuse them, so that equal
 * messages have equal bytes.
 */
import { malformed, notCanonical, truncated } from './errors.ts'

export type VarintBits = 16 | 32 | 64

/** Bytes that `writeVarint` writes; `value` up to 2^53 - 1. */
export function varintLength(value: number): number {
  let length = 1
  let rest = value
  while (rest >= 0x80) {
    rest = Math.floor(rest / 128)
    length++
  }
  return length
}

/** Writes a safe integer and gives the offset after it; the room is the caller's duty. */
export function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  let at = offset
  let rest = value
  while (rest > 0x7fffffff) {
    bytes[at++] = (rest & 0x7f) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

/** As `writeVarint`, for what does not fit into a number. */
export function writeVarintBig(bytes: Uint8Array, offset: number, value: bigint): number {
  let at = offset
  let rest = value
  while (rest >= 0x80n) {
    bytes[at++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  bytes[at++] = Number(rest)
  return at
}

/** Where the varint that starts at `offset` ends; it is complete, at most `bits` wide, and not over-long. */
export function varintEnd(
  bytes: Uint8Array,
  offset: number,
  end: number,
  bits: VarintBits,
): number {
  const lengthMax = bits === 16 ? 3 : bits === 32 ? 5 : 10
  const lastMax = bits === 16 ? 0x03 : bits === 32 ? 0x0f : 0x01
  for (let length = 1; length <= lengthMax; length++) {
    const at = offset + length - 1
    if (at >= end) throw truncated(end, 'a varint')
    const byte = bytes[at]!
    if (byte >= 0x80) continue
    if (byte === 0 && length > 1) throw notCanonical(offset, 'a varint is longer than needed')
    if (length === lengthMax && byte > lastMax) break
    return at + 1
  }
  throw malformed(offset, `a varint does not fit into ${bits} bits`)
}

/** The value of the varint in `bytes[start, end)`: a number up to 2^53 - 1, a bigint above. */
export function varintValue(bytes: Uint8Array, start: number, end: number): number | bigint {
  if (end - start <= 7) {
    let value = 0
    for (let at = end - 1; at >= start; at--) value = value * 128 + (bytes[at]! & 0x7f)
    return value
  }
  let value = 0n
  for (let at = end - 1; at >= start; at--) value = (value << 7n) | BigInt(bytes[at]! & 0x7f)
  return value <= 0x1fffffffffffffn ? Number(value) : value
}
