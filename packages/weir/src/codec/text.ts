/** Strict UTF-8 in both directions: nothing is replaced, a byte order mark is kept as a character. */
import { asBuffer } from './bytes.ts'
import { malformed, unencodable } from './errors.ts'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of `bytes[start, end)`; invalid UTF-8 is refused, never replaced by U+FFFD. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  let at = start
  while (at < end && bytes[at]! < 0x80) at++
  if (at === end) return decodeAscii(bytes, start, end)
  try {
    return decoder.decode(bytes.subarray(start, end))
  } catch {
    throw malformed(start, 'the text is not valid UTF-8')
  }
}

function decodeAscii(bytes: Uint8Array, start: number, end: number): string {
  // Building a short string by hand beats the call into native code.
  if (end - start > 24) return asBuffer(bytes).toString('latin1', start, end)
  let text = ''
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at]!)
  return text
}

/** Bytes of `text` in UTF-8; text with half a surrogate pair has no UTF-8 form and is refused. */
export function utf8Length(text: string): number {
  let length = text.length
  let at = 0
  while (at < length && text.charCodeAt(at) < 0x80) at++
  if (at === length) return length
  if (!text.isWellFormed()) throw unencodable('The text has half a surrogate pair')
  for (const end = text.length; at < end; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x80) continue
    // A pair is two units and four bytes: one byte more for each of its units.
    length += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2
  }
  return length
}

/** Writes `text` of `length` UTF-8 bytes at `offset`; the room is the caller's duty. */
export function encodeTextInto(
  text: string,
  length: number,
  bytes: Uint8Array,
  offset: number,
): void {
  if (length === text.length && length <= 64) {
    for (let at = 0; at < length; at++) bytes[offset + at] = text.charCodeAt(at)
    return
  }
  asBuffer(bytes).write(text, offset, length, 'utf8')
}

/** The order of the two texts' CBOR encodings: the one with fewer UTF-8 bytes first, then by code point. */
export function compareTextKeys(left: string, right: string): number {
  const difference = utf8Length(left) - utf8Length(right)
  if (difference !== 0) return difference
  const length = Math.min(left.length, right.length)
  for (let at = 0; at < length; at++) {
    const a = left.charCodeAt(at)
    const b = right.charCodeAt(at)
    if (a !== b) return codePointRank(a) - codePointRank(b)
  }
  return left.length - right.length
}

/** UTF-16 puts U+E000 to U+FFFF after the surrogates; in code points, and so in UTF-8, they come before. */
function codePointRank(unit: number): number {
  return unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}
