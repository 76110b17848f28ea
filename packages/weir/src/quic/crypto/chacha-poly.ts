/**
 * AEAD_CHACHA20_POLY1305 (RFC 8439 section 2.8) in WebAssembly, on a buffer of the caller.
 *
 * An AEAD object of node:crypto serves one packet and costs four times what the work itself costs, and leaves two and a
 * half kilobytes outside of the heap until it is collected. Here nothing is made for a packet.
 *
 * Memory: one page of 64 KiB for the process, of which 20 KB are touched, from the first use on. Keys and what is
 * derived from them are zeroed there after each packet.
 */
import { TAG_BYTES } from '../packet/header.ts'
import {
  FREE_AT,
  MASK_AT,
  STATE_AT,
  STATE_COUNTER_AT,
  STATE_KEY_AT,
  STRIDE_BYTES,
  TAG_AT,
} from './chacha-layout.ts'
import { type ChachaExports, chachaModule } from './chacha-module.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const SAMPLE_BYTES = 16
/** The key stream begins with the block that gives the key of Poly1305. */
const BLOCK_BYTES = 64

/** What is longer is for node:crypto, whose code is faster by the byte. */
export const TEXT_BYTES_MAX = 8_192
export const ASSOCIATED_BYTES_MAX = 1_024

const ASSOCIATED_AT = FREE_AT
const FROM_AT = ASSOCIATED_AT + ASSOCIATED_BYTES_MAX
/** Room for the text, for padding and lengths after it, and for the end of the last stride. */
const REGION_BYTES = BLOCK_BYTES + TEXT_BYTES_MAX + STRIDE_BYTES
const TO_AT = FROM_AT + REGION_BYTES

/** The part of the platform's WebAssembly that is used; its types come with those of browsers, which we leave out. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

export class ChachaPoly {
  readonly #wasm: ChachaExports
  readonly #bytes: Uint8Array

  private constructor(wasm: ChachaExports) {
    this.#wasm = wasm
    this.#bytes = new Uint8Array(wasm.memory.buffer)
    this.#bytes.set(Buffer.from('expand 32-byte k'), STATE_AT)
  }

  /** @returns undefined where there is no WebAssembly with vectors: without a JIT, or on an old processor. */
  static make(): ChachaPoly | undefined {
    try {
      const instance = new WebAssembly.Instance(new WebAssembly.Module(chachaModule(1)))
      return new ChachaPoly(instance.exports as ChachaExports)
    } catch {
      return undefined
    }
  }

  /** Seals [plainAt, plainEnd) and writes the tag after it; [start, plainAt) is authenticated with it. */
  seal(
    key: Uint8Array,
    keyAt: number,
    nonce: Uint8Array,
    buffer: Uint8Array,
    start: number,
    plainAt: number,
    plainEnd: number,
  ): void {
    const length = plainEnd - plainAt
    this.#stream(key, keyAt, nonce, buffer, plainAt, plainEnd)
    this.#authenticate(buffer, start, plainAt, TO_AT + BLOCK_BYTES, length)
    const bytes = this.#bytes
    buffer.set(bytes.subarray(TO_AT + BLOCK_BYTES, TO_AT + BLOCK_BYTES + length), plainAt)
    for (let at = 0; at < TAG_BYTES; at++) buffer[plainEnd + at] = bytes[TAG_AT + at]!
    this.#erase()
  }

  /** Opens [sealedAt, tagAt). @returns false, and changes nothing, when it is not authentic. */
  open(
    key: Uint8Array,
    keyAt: number,
    nonce: Uint8Array,
    buffer: Uint8Array,
    start: number,
    sealedAt: number,
    tagAt: number,
  ): boolean {
    const length = tagAt - sealedAt
    this.#stream(key, keyAt, nonce, buffer, sealedAt, tagAt)
    this.#authenticate(buffer, start, sealedAt, FROM_AT + BLOCK_BYTES, length)
    const bytes = this.#bytes
    // All of the tag is compared, so that the time tells nothing of where it differs.
    let difference = 0
    for (let at = 0; at < TAG_BYTES; at++) difference |= buffer[tagAt + at]! ^ bytes[TAG_AT + at]!
    if (difference === 0) {
      buffer.set(bytes.subarray(TO_AT + BLOCK_BYTES, TO_AT + BLOCK_BYTES + length), sealedAt)
    }
    this.#erase()
    return difference === 0
  }

  /** The first bytes of a key stream, into `mask`; 16 bytes at `offset` are a block counter and a nonce. */
  mask(mask: Uint8Array, key: Uint8Array, keyAt: number, sample: Uint8Array, offset: number): void {
    const bytes = this.#bytes
    for (let at = 0; at < KEY_BYTES; at++) bytes[STATE_KEY_AT + at] = key[keyAt + at]!
    for (let at = 0; at < SAMPLE_BYTES; at++) bytes[STATE_COUNTER_AT + at] = sample[offset + at]!
    this.#wasm.mask()
    for (let at = 0; at < mask.length; at++) mask[at] = bytes[MASK_AT + at]!
    bytes.fill(0, STATE_KEY_AT, FREE_AT)
  }

  /** Copies the text in, and leaves it xor the key stream at `TO_AT`, after the one-time key of Poly1305. */
  #stream(
    key: Uint8Array,
    keyAt: number,
    nonce: Uint8Array,
    buffer: Uint8Array,
    textAt: number,
    textEnd: number,
  ): void {
    const bytes = this.#bytes
    for (let at = 0; at < KEY_BYTES; at++) bytes[STATE_KEY_AT + at] = key[keyAt + at]!
    // The counter is 0 since the last packet was erased.
    for (let at = 0; at < NONCE_BYTES; at++) bytes[STATE_COUNTER_AT + 4 + at] = nonce[at]!
    // What stands before the text is never written, so that the first block is the key stream itself.
    bytes.set(buffer.subarray(textAt, textEnd), FROM_AT + BLOCK_BYTES)
    this.#wasm.stream(FROM_AT, TO_AT, TO_AT + BLOCK_BYTES + textEnd - textAt)
    this.#wasm.key(TO_AT)
  }

  /** Leaves the tag at `TAG_AT`. */
  #authenticate(
    buffer: Uint8Array,
    start: number,
    end: number,
    textAt: number,
    textLength: number,
  ): void {
    const bytes = this.#bytes
    const wasm = this.#wasm
    const length = end - start
    if (length > 0) {
      for (let at = 0; at < length; at++) bytes[ASSOCIATED_AT + at] = buffer[start + at]!
      wasm.absorb(ASSOCIATED_AT, this.#pad(ASSOCIATED_AT, length))
    }
    // The two lengths as 64 bits in little-endian order; both fit in two bytes.
    const lengthsAt = this.#pad(textAt, textLength)
    bytes.fill(0, lengthsAt, lengthsAt + 16)
    bytes[lengthsAt] = length
    bytes[lengthsAt + 1] = length >>> 8
    bytes[lengthsAt + 8] = textLength
    bytes[lengthsAt + 9] = textLength >>> 8
    wasm.absorb(textAt, lengthsAt + 16)
    wasm.finish()
  }

  /** Zeroes up to the next multiple of 16 bytes. @returns where that is. */
  #pad(at: number, length: number): number {
    const end = at + ((length + 15) & ~15)
    for (let rest = at + length; rest < end; rest++) this.#bytes[rest] = 0
    return end
  }

  #erase(): void {
    this.#bytes.fill(0, STATE_KEY_AT, FREE_AT)
    this.#bytes.fill(0, TO_AT, TO_AT + BLOCK_BYTES)
  }
}

let made: ChachaPoly | 'none' | undefined

/** The one of the process, made at its first use; undefined where there can be none. */
export function chachaPoly(): ChachaPoly | undefined {
  made ??= ChachaPoly.make() ?? 'none'
  return made === 'none' ? undefined : made
}
