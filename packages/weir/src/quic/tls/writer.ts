/** Writes the presentation language of TLS (RFC 8446 section 3): our own messages, which are short. */
import { ByteWriter } from '../../codec/index.ts'
import { assert } from '../../runtime/index.ts'

export class TlsWriter extends ByteWriter {
  uint8(value: number): this {
    return this.byte(value)
  }

  uint16(value: number): this {
    return this.byte(value >>> 8).byte(value & 255)
  }

  /** What `write` writes, after its length in so many bytes. */
  vector(lengthBytes: 1 | 2 | 3, write: (writer: this) => void): this {
    const at = this.reserve(lengthBytes)
    const start = this.length
    write(this)
    const length = this.length - start
    assert(length < 2 ** (8 * lengthBytes), 'a list of ours is too long for TLS')
    for (let byte = 0; byte < lengthBytes; byte++) {
      this.bytes[at + byte] = length >>> (8 * (lengthBytes - 1 - byte))
    }
    return this
  }

  /** A handshake message. */
  message(type: number, write: (writer: this) => void): this {
    return this.uint8(type).vector(3, write)
  }

  /** An extension. */
  extension(type: number, write: (writer: this) => void): this {
    return this.uint16(type).vector(2, write)
  }
}
