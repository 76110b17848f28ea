/**
 * Header protection masks (RFC 9001 sections 5.4.3 and 5.4.4).
 *
 * AES needs a cipher object of node:crypto. A new one for each packet costs four times as much as one that is kept, and
 * one that is kept costs its connection more than a kilobyte. So those stay that were used last: an idle connection has none.
 *
 * Memory: at most `MASK_CIPHERS_MAX` cipher objects in the process, and 5 bytes of scratch.
 */
import { type Cipheriv, createCipheriv } from 'node:crypto'
import { MASK_CIPHERS_MAX } from '../sizes.ts'
import { chachaPoly } from './chacha-poly.ts'

export const SAMPLE_BYTES = 16

const MASK_BYTES = 5
/** All ChaCha masks are written here: they are used up before the next one is made. */
const shared = new Uint8Array(MASK_BYTES)

/**
 * The mask for 16 bytes at `offset`, which are a block counter and a nonce: the first five bytes of the key stream,
 * valid until the next call. The key is 32 bytes at `keyAt`.
 */
export function chachaHeaderMask(
  material: Uint8Array,
  keyAt: number,
  bytes: Uint8Array,
  offset: number,
): Uint8Array {
  const chacha = chachaPoly()
  if (chacha) {
    chacha.mask(shared, material, keyAt, bytes, offset)
    return shared
  }
  const key = material.subarray(keyAt, keyAt + 32)
  const sample = bytes.subarray(offset, offset + SAMPLE_BYTES)
  return createCipheriv('chacha20', key, sample).update(new Uint8Array(MASK_BYTES))
}

/** Slots of the ciphers that were made last; a full round of new ones ends the oldest. */
const slots: (AesHeaderMask | undefined)[] = new Array(MASK_CIPHERS_MAX).fill(undefined) // tidy: containers: a fixed number of slots
let hand = 0

/** The header protection of one key of AES-128. It keeps no key, but may keep a cipher that has one. */
export class AesHeaderMask implements Disposable {
  #cipher: Cipheriv | undefined
  #slot = -1

  /** The mask for 16 bytes at `offset`: at least five bytes. The key is 16 bytes at `keyAt`, the same in each call. */
  mask(material: Uint8Array, keyAt: number, bytes: Uint8Array, offset: number): Uint8Array {
    this.#cipher ??= this.#take(material.subarray(keyAt, keyAt + 16))
    return this.#cipher.update(bytes.subarray(offset, offset + SAMPLE_BYTES))
  }

  /** For tests. */
  get hasCipher(): boolean {
    return this.#cipher !== undefined
  }

  [Symbol.dispose](): void {
    if (this.#slot >= 0) slots[this.#slot] = undefined
    this.#leave()
  }

  #take(key: Uint8Array): Cipheriv {
    const oldest = slots[hand]
    if (oldest) oldest.#leave()
    slots[hand] = this
    this.#slot = hand
    hand = (hand + 1) % MASK_CIPHERS_MAX
    return createCipheriv('aes-128-ecb', key, null).setAutoPadding(false)
  }

  #leave(): void {
    this.#cipher = undefined
    this.#slot = -1
  }
}

/** How many cipher objects are held now, for tests. */
export const maskCiphers = (): number => slots.filter((slot) => slot !== undefined).length
