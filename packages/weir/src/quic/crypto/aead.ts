/**
 * The two AEADs of node:crypto (RFC 5116) on a buffer of the caller: what is sealed or opened stays where it lies.
 *
 * Memory: nothing is kept. The object of node:crypto lives as long as one call, because it has no way to be used again.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Suite } from '../contract.ts'

export const TAG_BYTES = 16
export const NONCE_BYTES = 12

export const AES_128_GCM: Suite = 0x1301
export const CHACHA20_POLY1305: Suite = 0x1303

/** The bytes of the AEAD key and of the header protection key. */
export function keyBytesOf(suite: Suite): number {
  return suite === AES_128_GCM ? 16 : 32
}

const withTag = Object.freeze({ authTagLength: TAG_BYTES })

/** Seals [plainAt, plainEnd) and writes the tag after it; [start, plainAt) is what is authenticated with it. */
export function sealInPlace(
  suite: Suite,
  key: Uint8Array,
  nonce: Uint8Array,
  buffer: Uint8Array,
  start: number,
  plainAt: number,
  plainEnd: number,
): void {
  const cipher =
    suite === AES_128_GCM
      ? createCipheriv('aes-128-gcm', key, nonce)
      : createCipheriv('chacha20-poly1305', key, nonce, withTag)
  const associated = buffer.subarray(start, plainAt)
  cipher.setAAD(associated, { plaintextLength: plainEnd - plainAt })
  const sealed = cipher.update(buffer.subarray(plainAt, plainEnd))
  cipher.final()
  buffer.set(sealed, plainAt)
  buffer.set(cipher.getAuthTag(), plainEnd)
}

/**
 * Opens [sealedAt, tagAt), of which the tag follows.
 *
 * @returns false when it is not authentic with [start, sealedAt); the buffer is as it was then.
 */
export function openInPlace(
  suite: Suite,
  key: Uint8Array,
  nonce: Uint8Array,
  buffer: Uint8Array,
  start: number,
  sealedAt: number,
  tagAt: number,
): boolean {
  const decipher =
    suite === AES_128_GCM
      ? createDecipheriv('aes-128-gcm', key, nonce, withTag)
      : createDecipheriv('chacha20-poly1305', key, nonce, withTag)
  const associated = buffer.subarray(start, sealedAt)
  decipher.setAAD(associated, { plaintextLength: tagAt - sealedAt })
  decipher.setAuthTag(buffer.subarray(tagAt, tagAt + TAG_BYTES))
  const plain = decipher.update(buffer.subarray(sealedAt, tagAt))
  if (!isAuthentic(decipher)) return false
  buffer.set(plain, sealedAt)
  return true
}

function isAuthentic(decipher: { final(): Uint8Array }): boolean {
  try {
    decipher.final()
    return true
  } catch {
    return false
  }
}
