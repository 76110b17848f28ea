/**
 * Cuts the CRYPTO stream of a level into handshake messages (RFC 8446 section 4), however it comes in pieces.
 *
 * A message is refused by its type after one byte and by its length after four, before memory is held for it.
 *
 * Memory: one buffer of the size of the message that is not complete, at most `bytesMax`.
 */
import { Alert, refuse } from './alerts.ts'

export const MessageType = Object.freeze({
  clientHello: 1,
  serverHello: 2,
  newSessionTicket: 4,
  encryptedExtensions: 8,
  certificate: 11,
  certificateRequest: 13,
  certificateVerify: 15,
  finished: 20,
  /** Only in transcripts, RFC 8446 section 4.4.1. */
  messageHash: 254,
  /** Matches no message: nothing may come. */
  none: -1,
})

export const HEAD_BYTES = 4

const nothing = new Uint8Array(0)

export class MessageReader {
  readonly #bytesMax: number
  #held: Uint8Array = nothing
  #have = 0
  #input: Uint8Array = nothing
  #at = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get heldBytes(): number {
    return this.#held.length
  }

  /** Whether bytes came that are no part of a message that was taken. */
  get pending(): boolean {
    return this.#have > 0 || this.#at < this.#input.length
  }

  /** The next bytes; `next` takes messages from them until it gives undefined, and then nothing refers to them. */
  feed(input: Uint8Array): void {
    this.#input = input
    this.#at = 0
  }

  /** A whole message with its head, valid until the next call; undefined when more bytes are needed. */
  next(expected: number): Uint8Array | undefined {
    const message = this.pending ? this.#take(expected) : undefined
    if (!message) this.#input = nothing
    return message
  }

  drop(): void {
    this.#held = this.#input = nothing
    this.#have = this.#at = 0
  }

  #take(expected: number): Uint8Array | undefined {
    const input = this.#input
    const type = this.#have > 0 ? this.#held[0]! : input[this.#at]!
    if (type !== expected) refuse(Alert.unexpectedMessage, `handshake message ${type} out of turn`)
    if (this.#have === 0 && input.length - this.#at >= HEAD_BYTES) {
      const end = this.#at + this.#size(input, this.#at)
      if (end <= input.length) {
        const message = input.subarray(this.#at, end)
        this.#at = end
        return message
      }
    }
    if (!this.#hold(HEAD_BYTES) || !this.#hold(this.#size(this.#held, 0))) return undefined
    const message = this.#held
    this.#held = nothing
    this.#have = 0
    return message
  }

  /** The size of a message with its head. */
  #size(bytes: Uint8Array, at: number): number {
    const size = HEAD_BYTES + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!)
    if (size > this.#bytesMax)
      refuse(Alert.illegalParameter, `a handshake message of ${size} bytes`)
    return size
  }

  /** Holds up to `size` bytes of the message; whether all of them are there. */
  #hold(size: number): boolean {
    if (this.#have >= size) return true
    if (this.#held.length < size) {
      const larger = new Uint8Array(size)
      larger.set(this.#held.subarray(0, this.#have))
      this.#held = larger
    }
    const end = Math.min(this.#at + size - this.#have, this.#input.length)
    this.#held.set(this.#input.subarray(this.#at, end), this.#have)
    this.#have += end - this.#at
    this.#at = end
    return this.#have === size
  }
}
