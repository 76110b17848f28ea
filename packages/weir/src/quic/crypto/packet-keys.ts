/**
 * Packet protection (RFC 9001 section 5).
 *
 * A packet is sealed and opened where it lies. A packet that is not authentic leaves its bytes as they were. After
 * `dispose` every use is an assertion: a zeroed key must never seal.
 *
 * Memory: three small arrays and the header mask.
 */
import { assert } from '../../runtime/index.ts'
import type { PacketKeys, Suite } from '../contract.ts'
import {
  AES_128_GCM,
  keyBytesOf,
  NONCE_BYTES,
  openInPlace,
  sealInPlace,
  TAG_BYTES,
} from './aead.ts'
import { AesHeaderMask, ChachaHeaderMask, type HeaderMask, SAMPLE_BYTES } from './header-mask.ts'
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
  const maskKey = expandLabel(secret, 'quic hp', keyBytesOf(suite))
  const mask = suite === AES_128_GCM ? new AesHeaderMask(maskKey) : new ChachaHeaderMask(maskKey)
  maskKey.fill(0)
  return new NativePacketKeys(suite, secret, mask)
}

class NativePacketKeys implements PacketKeys {
  readonly suite: Suite
  readonly #secret: Uint8Array
  readonly #key: Uint8Array
  readonly #iv: Uint8Array
  readonly #nonce = new Uint8Array(NONCE_BYTES)
  readonly #mask: HeaderMask
  #disposed = false

  constructor(suite: Suite, secret: Uint8Array, mask: HeaderMask) {
    assert(secret.length === HASH_BYTES, 'a secret of TLS has 32 bytes')
    this.suite = suite
    this.#secret = secret.slice()
    this.#key = expandLabel(secret, 'quic key', keyBytesOf(suite))
    this.#iv = expandLabel(secret, 'quic iv', NONCE_BYTES)
    this.#mask = mask
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
    const nonce = this.#nonceOf(packetNumber)
    sealInPlace(this.suite, this.#key, nonce, buffer, start, headerEnd, plainEnd)
    const mask = this.#mask.mask(buffer, numberAt + 4)
    buffer[start]! ^= mask[0]! & headerBits(buffer[start]!)
    for (let at = 0; at < packetNumberLength; at++) buffer[numberAt + at]! ^= mask[1 + at]!
    return end
  }

  unmask(buffer: Uint8Array, start: number, packetNumberOffset: number): number {
    assert(!this.#disposed, 'packet keys are used after dispose')
    const sampleAt = packetNumberOffset + 4
    if (sampleAt + SAMPLE_BYTES > buffer.length) return -1
    const mask = this.#mask.mask(buffer, sampleAt)
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
    const nonce = this.#nonceOf(packetNumber)
    if (plainEnd < headerEnd) return -1
    const authentic = openInPlace(this.suite, this.#key, nonce, buffer, start, headerEnd, plainEnd)
    return authentic ? plainEnd : -1
  }

  next(): PacketKeys {
    assert(!this.#disposed, 'packet keys are used after dispose')
    const secret = expandLabel(this.#secret, 'quic ku', HASH_BYTES)
    const keys = new NativePacketKeys(this.suite, secret, this.#mask.share())
    secret.fill(0)
    return keys
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#mask.release()
    this.#secret.fill(0)
    this.#key.fill(0)
    this.#iv.fill(0)
    this.#nonce.fill(0)
  }

  /** The number, as 62 bits in network order, exclusive or with the end of the IV. */
  #nonceOf(packetNumber: number): Uint8Array {
    assert(!this.#disposed, 'packet keys are used after dispose')
    assert(Number.isSafeInteger(packetNumber) && packetNumber >= 0, 'not a packet number')
    const nonce = this.#nonce
    const iv = this.#iv
    const high = Math.floor(packetNumber / 2 ** 32)
    for (let at = 0; at < 4; at++) nonce[at] = iv[at]!
    for (let at = 4; at < 8; at++) nonce[at] = iv[at]! ^ (high >>> (8 * (7 - at)))
    for (let at = 8; at < 12; at++) nonce[at] = iv[at]! ^ (packetNumber >>> (8 * (11 - at)))
    return nonce
  }
}

/** Four bits of a long header are protected, five of a short one (RFC 9001 section 5.4.1). */
const headerBits = (first: number): number => ((first & 0x80) !== 0 ? 0x0f : 0x1f)
