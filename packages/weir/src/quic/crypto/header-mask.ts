/**
 * Header protection masks (RFC 9001 sections 5.4.3 and 5.4.4), one key for all phases of a level and direction.
 *
 * Memory: for AES one native cipher of about 2.6 kB that is kept, because a new one for each packet costs four times
 * as much time; for ChaCha 32 bytes. Charged with the keys, see `memory.ts`.
 */
import { type Cipheriv, createCipheriv } from 'node:crypto'
import { assert } from '../../runtime/index.ts'
import { chachaKeyWords, chachaMask } from './chacha-block.ts'

export const SAMPLE_BYTES = 16

export abstract class HeaderMask {
  #holders = 1

  /** The mask for 16 bytes at `offset`: at least five bytes, valid until the next call. */
  abstract mask(bytes: Uint8Array, offset: number): Uint8Array

  /** Another phase uses the same mask; it is zeroed when the last one lets go. */
  share(): this {
    assert(this.#holders > 0, 'a header mask is used after it was let go')
    this.#holders++
    return this
  }

  release(): void {
    this.#holders--
    if (this.#holders === 0) this.erase()
  }

  protected abstract erase(): void
}

export class AesHeaderMask extends HeaderMask {
  #cipher: Cipheriv | undefined

  constructor(key: Uint8Array) {
    super()
    this.#cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false)
  }

  mask(bytes: Uint8Array, offset: number): Uint8Array {
    assert(this.#cipher !== undefined, 'a header mask is used after it was let go')
    return this.#cipher.update(bytes.subarray(offset, offset + SAMPLE_BYTES))
  }

  protected erase(): void {
    this.#cipher = undefined
  }
}

/** All ChaCha masks are written here: they are used up before the next one is made. */
const sharedMask = new Uint8Array(5)

export class ChachaHeaderMask extends HeaderMask {
  readonly #key: Int32Array
  #erased = false

  constructor(key: Uint8Array) {
    super()
    this.#key = chachaKeyWords(key)
  }

  mask(bytes: Uint8Array, offset: number): Uint8Array {
    assert(!this.#erased, 'a header mask is used after it was let go')
    chachaMask(sharedMask, this.#key, bytes, offset)
    return sharedMask
  }

  protected erase(): void {
    this.#erased = true
    this.#key.fill(0)
  }
}
