/**
 * HKDF with SHA-256 (RFC 5869) and HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7.1).
 *
 * Both suites that we speak use SHA-256, so the hash is not a parameter. What is returned is the caller's to zero.
 */
import { createHmac, hash } from 'node:crypto'
import { assert } from '../../runtime/index.ts'

export const HASH_BYTES = 32

const noBytes = new Uint8Array(0)

export function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer')
}

export function hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(bytes).digest()
}

export function hkdfExtract(salt: Uint8Array, input: Uint8Array): Uint8Array {
  return hmacSha256(salt, input)
}

export function hkdfExpand(secret: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  assert(length <= 255 * HASH_BYTES, 'HKDF gives at most 255 blocks')
  const output = new Uint8Array(length)
  const input = new Uint8Array(HASH_BYTES + info.length + 1)
  input.set(info, HASH_BYTES)
  for (let block = 1, at = 0; at < length; block++, at += HASH_BYTES) {
    input[input.length - 1] = block
    // The first block has no block before it.
    const part = hmacSha256(secret, block === 1 ? input.subarray(HASH_BYTES) : input)
    output.set(part.subarray(0, Math.min(HASH_BYTES, length - at)), at)
    input.set(part)
    part.fill(0)
  }
  input.fill(0)
  return output
}

/** The label is written without its prefix `tls13 `. */
export function expandLabel(
  secret: Uint8Array,
  label: string,
  length: number,
  context: Uint8Array = noBytes,
): Uint8Array {
  const name = `tls13 ${label}`
  const info = new Uint8Array(2 + 1 + name.length + 1 + context.length)
  info[0] = length >>> 8
  info[1] = length
  info[2] = name.length
  for (let at = 0; at < name.length; at++) info[3 + at] = name.charCodeAt(at)
  info[3 + name.length] = context.length
  info.set(context, 4 + name.length)
  return hkdfExpand(secret, info, length)
}
