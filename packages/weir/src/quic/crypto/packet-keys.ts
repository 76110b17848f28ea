/**
 * Packet protection (RFC 9001 section 5).
 *
 * A packet is sealed and opened where it lies. A packet that is not authentic leaves its bytes as they were. After
 * `dispose` every use is an assertion: a zeroed key must never seal.
 *
 * The keys of the next phase are derived after a packet was opened, and not when one asks for them: who flips the key
 * phase of a packet would see by the time that it takes whether it was this bit (RFC 9001 sections 6.3 and 9.5).
 *
 * Memory: one array of 76 or 108 bytes, to read 60 or 76 more, and for AES a part in the ciphers of `header-mask`.
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

/**
 * Keys from a secret of TLS, which is copied. The secret of the next phase is derived from it.
 *
 * @param ahead with room for what the keys of the next phase need: for keys that open short packets.
 */
export function packetKeys(suite: Suite, secret: Uint8Array, ahead = false): PacketKeys {
  assert(secret.length === HASH_BYTES, 'a secret of TLS has 32 bytes')
  const headerKey = expandLabel(secret, 'quic hp', keyBytesOf(suite))
  const phase = new Uint8Array(KEY_AT + keyBytesOf(suite))
  derivePhase(suite, secret, phase, 0)
  const keys = new NativePacketKeys(suite, phase, headerKey, ahead)
  headerKey.fill(0)
  phase.fill(0)
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
  /** Whether the secret, IV and key of the next phase, which lie behind the header key, are there. */
  #derived = false
  #disposed = false

  /** @param phase secret, IV and key of this phase; copied, as the header key is. */
  constructor(suite: Suite, phase: Uint8Array, headerKey: Uint8Array, ahead: boolean) {
    const keyBytes = keyBytesOf(suite)
    this.suite = suite
    this.#headerKeyAt = KEY_AT + keyBytes
    this.#aesMask = suite === AES_128_GCM ? new AesHeaderMask() : undefined
    const size = KEY_AT + 2 * keyBytes
    const material = new Uint8Array(ahead ? size + KEY_AT + keyBytes : size)
    material.set(phase, 0)
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
    if (!authentic) return -1
    // Only keys of short packets have a next phase.
    if (!this.#derived && (buffer[start]! & 0x80) === 0) this.#derive()
    return plainEnd
  }

  next(): PacketKeys {
    assert(!this.#disposed, 'packet keys are used after dispose')
    const { suite } = this
    const material = this.#material
    const headerKey = material.subarray(this.#headerKeyAt, this.#aheadAt)
    this.#derive()
    if (this.#derived) {
      return new NativePacketKeys(suite, material.subarray(this.#aheadAt), headerKey, true)
    }
    const phase = new Uint8Array(this.#headerKeyAt)
    deriveNextPhase(suite, material, phase, 0)
    const keys = new NativePacketKeys(suite, phase, headerKey, false)
    phase.fill(0)
    return keys
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#aesMask?.[Symbol.dispose]()
    this.#material.fill(0)
  }

  get #aheadAt(): number {
    return 2 * this.#headerKeyAt - KEY_AT
  }

  /** Does nothing when it was done, or when these keys have no room for it. */
  #derive(): void {
    const material = this.#material
    if (this.#derived || this.#aheadAt === material.length) return
    this.#derived = true
    deriveNextPhase(this.suite, material, material, this.#aheadAt)
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

/** Writes a secret, and the IV and the key that are derived from it. */
function derivePhase(suite: Suite, secret: Uint8Array, target: Uint8Array, at: number): void {
  target.set(secret, at + SECRET_AT)
  take(expandLabel(secret, 'quic iv', NONCE_BYTES), target, at + IV_AT)
  take(expandLabel(secret, 'quic key', keyBytesOf(suite)), target, at + KEY_AT)
}

function deriveNextPhase(suite: Suite, material: Uint8Array, target: Uint8Array, at: number): void {
  const old = material.subarray(SECRET_AT, SECRET_AT + HASH_BYTES)
  const secret = expandLabel(old, 'quic ku', HASH_BYTES)
  derivePhase(suite, secret, target, at)
  secret.fill(0)
}

/** Moves a derived key to its place; where it came from is zeroed. */
function take(key: Uint8Array, target: Uint8Array, at: number): void {
  target.set(key, at)
  key.fill(0)
}

/** Four bits of a long header are protected, five of a short one (RFC 9001 section 5.4.1). */
const headerBits = (first: number): number => ((first & 0x80) !== 0 ? 0x0f : 0x1f)
