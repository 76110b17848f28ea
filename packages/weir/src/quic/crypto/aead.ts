/**
 * The two AEADs of QUIC (RFC 5116) on a buffer of the caller: what is sealed or opened stays where it lies.
 *
 * AES-128-GCM is that of node:crypto, whose objects live as long as one call, because they have no way to be used again.
 * ChaCha20-Poly1305 is `chacha-poly`, or node:crypto for packets that are longer than it takes.
 *
 * Memory: that of `chacha-poly`, from the first use on.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Suite } from '../contract.ts'
import { TAG_BYTES } from '../packet/header.ts'
import { ASSOCIATED_BYTES_MAX, type ChachaPoly, chachaPoly, TEXT_BYTES_MAX } from './chacha-poly.ts'

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
  keyAt: number,
  nonce: Uint8Array,
  buffer: Uint8Array,
  start: number,
  plainAt: number,
  plainEnd: number,
): void {
  const chacha = chachaFor(suite, plainAt - start, plainEnd - plainAt)
  if (chacha) return chacha.seal(key, keyAt, nonce, buffer, start, plainAt, plainEnd)
  const cipher =
    suite === AES_128_GCM
      ? createCipheriv('aes-128-gcm', key.subarray(keyAt, keyAt + 16), nonce)
      : createCipheriv('chacha20-poly1305', key.subarray(keyAt, keyAt + 32), nonce, withTag)
  cipher.setAAD(buffer.subarray(start, plainAt))
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
  keyAt: number,
  nonce: Uint8Array,
  buffer: Uint8Array,
  start: number,
  sealedAt: number,
  tagAt: number,
): boolean {
  const chacha = chachaFor(suite, sealedAt - start, tagAt - sealedAt)
  if (chacha) return chacha.open(key, keyAt, nonce, buffer, start, sealedAt, tagAt)
  const decipher =
    suite === AES_128_GCM
      ? createDecipheriv('aes-128-gcm', key.subarray(keyAt, keyAt + 16), nonce, withTag)
      : createDecipheriv('chacha20-poly1305', key.subarray(keyAt, keyAt + 32), nonce, withTag)
  decipher.setAAD(buffer.subarray(start, sealedAt))
  decipher.setAuthTag(buffer.subarray(tagAt, tagAt + TAG_BYTES))
  const plain = decipher.update(buffer.subarray(sealedAt, tagAt))
  if (!isAuthentic(decipher)) return false
  buffer.set(plain, sealedAt)
  return true
}

const chachaFirst: readonly Suite[] = Object.freeze([CHACHA20_POLY1305, AES_128_GCM])
const aesFirst: readonly Suite[] = Object.freeze([AES_128_GCM, CHACHA20_POLY1305])

/** The suites by what a packet costs here: ChaCha20 is faster where it needs no object for each packet. */
export function suitesBySpeed(): readonly Suite[] {
  return chachaPoly() ? chachaFirst : aesFirst
}

function chachaFor(suite: Suite, associated: number, text: number): ChachaPoly | undefined {
  if (suite !== CHACHA20_POLY1305) return
  if (associated > ASSOCIATED_BYTES_MAX || text > TEXT_BYTES_MAX) return
  return chachaPoly()
}

function isAuthentic(decipher: { final(): Uint8Array }): boolean {
  try {
    decipher.final()
    return true
  } catch {
    return false
  }
}
