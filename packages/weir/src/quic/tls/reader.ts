/**
 * Reads the presentation language of TLS (RFC 8446 section 3) from a view; whatever does not fit is a decode_error.
 *
 * Nothing is copied: what is taken refers to the bytes under the reader, and who keeps it copies it.
 */
import { Alert, refuse } from './alerts.ts'

export class TlsReader {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  uint8(): number {
    return this.take(1)[0]!
  }

  uint16(): number {
    const bytes = this.take(2)
    return (bytes[0]! << 8) | bytes[1]!
  }

  uint24(): number {
    const bytes = this.take(3)
    return (bytes[0]! << 16) | (bytes[1]! << 8) | bytes[2]!
  }

  take(length: number): Uint8Array {
    const end = this.#at + length
    if (end > this.#bytes.length) refuse(Alert.decodeError, 'a message is cut short')
    const part = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return part
  }

  /** A vector whose length is one byte; `least` is the floor of its type. */
  vector8(least = 0): TlsReader {
    return this.#vector(this.uint8(), least)
  }

  vector16(least = 0): TlsReader {
    return this.#vector(this.uint16(), least)
  }

  vector24(least = 0): TlsReader {
    return this.#vector(this.uint24(), least)
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.take(this.left)
  }

  /** The value must end here. */
  done(): void {
    if (this.left > 0) refuse(Alert.decodeError, 'bytes are left after the end of a value')
  }

  #vector(length: number, least: number): TlsReader {
    if (length < least) refuse(Alert.decodeError, 'a list is too short')
    return new TlsReader(this.take(length))
  }
}
