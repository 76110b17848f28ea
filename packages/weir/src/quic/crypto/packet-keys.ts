/**
 * Packet protection (RFC 9001 section 5).
 *
 * A packet is sealed and opened where it lies. A packet that is not authentic leaves its bytes as they were. After
 * `dispose` every use is an assertion: a zeroed key must never seal.
 *
 * Memory: one array of 76 or 108 bytes, and for AES a part in the ciphers of `header-mask`.
 */
import { assert } from '../../runtime/index.ts'
import type { PacketKeys, Suite } from '../contract.ts'
import { TAG_BYTES } from '../packet/header.ts'
import { AES_128_GCM, keyBytesOf, NONCE_BYTES, openInPlace, sealInPlace } from './aead.ts'
import { AesHeaderMask, chachaHeaderMask, SAMPLE_BYTES } from './header-mask.ts'
import { expandLabel, HASH_BYTES } from './hkdf.ts'

/** RFC 9001 section 6.6. */
export interface AeadLimits {
  /** Packets that one key may seal before a key update, or the end of the connection. */
  readonly sealedMax: number
  /** Packets that may fail to open, over all keys of a connection, before it must be closed. */
  readonly forgedMax: number
}

const aesLimits: AeadLimits = Object.freeze({ sealedMax: 2 ** 23, forgedMax: 2 ** 52 })
// Packet numbers end before the confidentiality limit of ChaCha20 does.
const chachaLimits: AeadLimits = Object.freeze({
  sealedMax: Number.POSITIVE_INFINITY,
  forgedMax: 2 ** 36,
})

export function aeadLimits(suite: Suite): AeadLimits {
  return suite === AES_128_GCM ? aesLimits : chachaLimits
}

/** Keys from a secret of TLS, which is copied. The secret of the next phase is derived from it. */
export function packetKeys(suite: Suite, secret: Uint8Array): PacketKeys {
  assert(secret.length === HASH_BYTES, 'a secret of TLS has 32 bytes')
  const headerKey = expandLabel(secret, 'quic hp', keyBytesOf(suite))
  const keys = new NativePacketKeys(suite, secret, headerKey)
  headerKey.fill(0)
  return keys
}

const SECRET_AT = 0
const IV_AT = HASH_BYTES
const KEY_AT = IV_AT + NONCE_BYTES

/** Nonces are made here, one at a time: node:crypto takes a copy. */
const nonce = new Uint8Array(NONCE_BYTES)

class NativePacketKeys implements PacketKeys {
  readonly suite: Suite
  /** Secret, IV, key and header key in one array, because the shell of an array is larger than any of them. */
  readonly #material: Uint8Array
  readonly #headerKeyAt: number
  readonly #aesMask: AesHeaderMask | undefined
  #disposed = false

  constructor(suite: Suite, secret: Uint8Array, headerKey: Uint8Array) {
    const keyBytes = keyBytesOf(suite)
    this.suite = suite
    this.#headerKeyAt = KEY_AT + keyBytes
    this.#aesMask = suite === AES_128_GCM ? new AesHeaderMask() : undefined
    const material = new Uint8Array(KEY_AT + 2 * keyBytes)
    material.set(secret, SECRET_AT)
    take(expandLabel(secret, 'quic iv', NONCE_BYTES), material, IV_AT)
    take(expandLabel(secret, 'quic key', keyBytes), material, KEY_AT)
    material.set(headerKey, this.#headerKeyAt)
    this.#material = material
  }

  seal(
    buffer: Uint8Array,
    start: number,
    headerEnd: number,
    plainEnd: number,
    packetNumber: number,
    packetNumberLength: number,
  ): number {
    const end = plainEnd + TAG_BYTES
    const numberAt = headerEnd - packetNumberLength
    assert(end <= buffer.length, 'a packet is sealed without room for its tag')
    assert(numberAt + 4 + SAMPLE_BYTES <= end, 'a packet is too short for its header protection')
    this.#setNonce(packetNumber)
    sealInPlace(this.suite, this.#material, KEY_AT, nonce, buffer, start, headerEnd, plainEnd)
    const mask = this.#mask(buffer, numberAt + 4)
    buffer[start]! ^= mask[0]! & headerBits(buffer[start]!)
    for (let at = 0; at < packetNumberLength; at++) buffer[numberAt + at]! ^= mask[1 + at]!
    return end
  }

  unmask(buffer: Uint8Array, start: number, packetNumberOffset: number): number {
    assert(!this.#disposed, 'packet keys are used after dispose')
    const sampleAt = packetNumberOffset + 4
    if (sampleAt + SAMPLE_BYTES > buffer.length) return -1
    const mask = this.#mask(buffer, sampleAt)
    const first = buffer[start]! ^ (mask[0]! & headerBits(buffer[start]!))
    buffer[start] = first
    const length = (first & 3) + 1
    for (let at = 0; at < length; at++) buffer[packetNumberOffset + at]! ^= mask[1 + at]!
    return length
  }

  open(
    buffer: Uint8Array,
    start: number,
    headerEnd: number,
    end: number,
    packetNumber: number,
  ): number {
    const plainEnd = end - TAG_BYTES
    this.#setNonce(packetNumber)
    if (plainEnd < headerEnd || end > buffer.length) return -1
    const authentic = openInPlace(
      this.suite,
      this.#material,
      KEY_AT,
      nonce,
      buffer,
      start,
      headerEnd,
      plainEnd,
    )
    return authentic ? plainEnd : -1
  }

  next(): PacketKeys {
    assert(!this.#disposed, 'packet keys are used after dispose')
    const material = this.#material
    const old = material.subarray(SECRET_AT, SECRET_AT + HASH_BYTES)
    const secret = expandLabel(old, 'quic ku', HASH_BYTES)
    const keys = new NativePacketKeys(this.suite, secret, material.subarray(this.#headerKeyAt))
    secret.fill(0)
    return keys
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#aesMask?.[Symbol.dispose]()
    this.#material.fill(0)
  }

  #mask(bytes: Uint8Array, offset: number): Uint8Array {
    const material = this.#material
    const keyAt = this.#headerKeyAt
    const aes = this.#aesMask
    if (aes) return aes.mask(material, keyAt, bytes, offset)
    return chachaHeaderMask(material, keyAt, bytes, offset)
  }

  /** The number, as 62 bits in network order, exclusive or with the end of the IV. */
  #setNonce(packetNumber: number): void {
    assert(!this.#disposed, 'packet keys are used after dispose')
    assert(Number.isSafeInteger(packetNumber) && packetNumber >= 0, 'not a packet number')
    const material = this.#material
    const high = Math.floor(packetNumber / 2 ** 32)
    for (let at = 0; at < 4; at++) nonce[at] = material[IV_AT + at]!
    for (let at = 4; at < 8; at++) nonce[at] = material[IV_AT + at]! ^ (high >>> (8 * (7 - at)))
    for (let at = 8; at < 12; at++) {
      nonce[at] = material[IV_AT + at]! ^ (packetNumber >>> (8 * (11 - at)))
    }
  }
}

/** Moves a derived key to its place; where it came from is zeroed. */
function take(key: Uint8Array, target: Uint8Array, at: number): void {
  target.set(key, at)
  key.fill(0)
}

/** Four bits of a long header are protected, five of a short one (RFC 9001 section 5.4.1). */
const headerBits = (first: number): number => ((first & 0x80) !== 0 ? 0x0f : 0x1f)
