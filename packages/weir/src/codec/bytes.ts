/**
 * Small operations on byte arrays.
 *
 * Results are plain `Uint8Array`s with memory of their own: `Buffer.prototype.slice` gives a view, and a view of
 * 32 bytes keeps the whole datagram under it alive.
 */
import { malformed } from './errors.ts'

/** A copy of `bytes[start, end)` that shares no memory with it. */
export function copyBytes(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  const length = end - start
  const copy = new Uint8Array(length)
  // Ids and signatures are short: a loop beats making a view and calling into native code.
  if (length <= 64) for (let at = 0; at < length; at++) copy[at] = bytes[start + at]!
  else copy.set(length === bytes.length ? bytes : bytes.subarray(start, end))
  return copy
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const whole = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

/** Not in constant time: for ids and hashes, never for tags, tokens or secrets. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false
  return true
}

/** Bytewise order, a prefix before what continues it. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const shared = Math.min(left.length, right.length)
  for (let at = 0; at < shared; at++) {
    const difference = left[at]! - right[at]!
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

/** A view as `Buffer`, for its fast text methods; never handed out. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Lower case. */
export function toHex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('hex')
}

/** Strict: only pairs of hex digits, and exactly `length` bytes when it is given. */
export function fromHex(text: string, length?: number): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) throw malformed(0, 'the text is not hexadecimal')
  if (length !== undefined && text.length !== length * 2) {
    throw malformed(0, `the text has ${text.length} hex digits where ${length * 2} are needed`)
  }
  return copyBytes(Buffer.from(text, 'hex'))
}
