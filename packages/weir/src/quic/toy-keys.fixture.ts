/** Packet keys for tests: a checksum that depends on a secret instead of a seal, and no secrecy. */
import type { PacketKeys, Suite } from './contract.ts'

const TAG_BYTES = 16

export function toyKeys(suite: Suite, secret: Uint8Array): PacketKeys {
  let seed = 0x811c9dc5
  for (const byte of secret) seed = Math.imul(seed ^ byte, 0x01000193)
  return new ToyKeys(suite, seed >>> 0, seed >>> 0)
}

class ToyKeys implements PacketKeys {
  readonly suite: Suite
  readonly #seed: number
  /** Of the header protection, which stays over key updates. */
  readonly #mask: number

  constructor(suite: Suite, seed: number, mask: number) {
    this.suite = suite
    this.#seed = seed
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
    this.#tag(buffer, start, plainEnd, packetNumber, buffer, plainEnd)
    this.#hide(buffer, start, headerEnd - packetNumberLength, packetNumberLength)
    return plainEnd + TAG_BYTES
  }

  unmask(buffer: Uint8Array, start: number, packetNumberOffset: number): number {
    const sample = this.#sample(buffer, packetNumberOffset)
    buffer[start]! ^= sample & (buffer[start]! & 0x80 ? 0x0f : 0x1f)
    const length = (buffer[start]! & 3) + 1
    for (let byte = 0; byte < length; byte++) buffer[packetNumberOffset + byte]! ^= sample
    return length
  }

  open(
    buffer: Uint8Array,
    start: number,
    _headerEnd: number,
    end: number,
    packetNumber: number,
  ): number {
    const plainEnd = end - TAG_BYTES
    const tag = new Uint8Array(TAG_BYTES)
    this.#tag(buffer, start, plainEnd, packetNumber, tag, 0)
    for (let byte = 0; byte < TAG_BYTES; byte++) {
      if (tag[byte] !== buffer[plainEnd + byte]) return -1
    }
    return plainEnd
  }

  next(): PacketKeys {
    return new ToyKeys(this.suite, Math.imul(this.#seed, 0x85ebca6b) >>> 0, this.#mask)
  }

  [Symbol.dispose](): void {}

  #hide(buffer: Uint8Array, start: number, numberAt: number, length: number): void {
    const sample = this.#sample(buffer, numberAt)
    buffer[start]! ^= sample & (buffer[start]! & 0x80 ? 0x0f : 0x1f)
    for (let byte = 0; byte < length; byte++) buffer[numberAt + byte]! ^= sample
  }

  #sample(buffer: Uint8Array, numberAt: number): number {
    return (buffer[numberAt + 4]! ^ buffer[numberAt + 11]! ^ this.#mask) & 255
  }

  #tag(
    buffer: Uint8Array,
    start: number,
    end: number,
    packetNumber: number,
    target: Uint8Array,
    at: number,
  ): void {
    let a = this.#seed ^ packetNumber
    let b = Math.imul(packetNumber + 1, 0x9e3779b1) ^ this.#seed
    for (let byte = start; byte < end; byte++) {
      a = Math.imul(a ^ buffer[byte]!, 0x01000193)
      b = Math.imul(b ^ buffer[byte]!, 0x85ebca6b) ^ (b >>> 13)
    }
    for (let byte = 0; byte < TAG_BYTES; byte++) {
      target[at + byte] = byte < 8 ? a >>> ((byte % 4) * 8) : b >>> ((byte % 4) * 8)
    }
  }
}
