/** A running 64-bit digest of words, in two 32-bit lanes: equal states fold to equal text. Not for security. */
export class Digest {
  #a = 0x811c9dc5
  #b = 0x9e3779b9

  readonly fold = (word: number): void => {
    this.#a = Math.imul(this.#a ^ (word & 0xffff), 0x01000193) ^ (word >>> 16)
    this.#b = Math.imul(this.#b ^ word, 0x85ebca6b)
    this.#b ^= this.#b >>> 13
  }

  bytes(bytes: Uint8Array): void {
    this.fold(bytes.length)
    for (const byte of bytes) this.fold(byte)
  }

  toString(): string {
    const hex = (word: number) => (word >>> 0).toString(16).padStart(8, '0')
    return hex(this.#a) + hex(this.#b)
  }
}
