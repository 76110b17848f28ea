/**
 * The receiving half of a stream, as the program sees it.
 *
 * Memory: nothing of its own but the read that waits.
 */
import { assert } from '../../runtime/index.ts'
import { type RecvStream, StreamError, streamEnded } from '../../transport/index.ts'
import type { Stream } from '../streams/streams.ts'
import type { StreamOwner } from './stream-owner.ts'

interface Read {
  readonly bytesMax: number
  readonly resolve: (bytes: Uint8Array | undefined) => void
  readonly reject: (error: Error) => void
}

export class QuicReceiveStream implements RecvStream {
  readonly #stream: Stream
  readonly #owner: StreamOwner
  #read: Read | undefined
  #error: Error | undefined

  constructor(stream: Stream, owner: StreamOwner) {
    this.#stream = stream
    this.#owner = owner
  }

  read(bytesMax: number): Promise<Uint8Array | undefined> {
    assert(bytesMax > 0, 'a read of no bytes')
    assert(!this.#read, 'a stream has one reader; await the last read first')
    if (this.#error) return Promise.reject(this.#error)
    const receive = this.#stream.receive!
    if (receive.resetCode >= 0) {
      return Promise.reject(new StreamError('STREAM_RESET', receive.resetCode))
    }
    const bytes = this.#owner.read(this.#stream, bytesMax)
    if (bytes || receive.finished) return Promise.resolve(bytes)
    return new Promise((resolve, reject) => {
      this.#read = { bytesMax, resolve, reject }
    })
  }

  stop(code: number): void {
    if (this.#error || this.#stream.receive!.resetCode >= 0) return
    if (this.#stream.receive!.finished) return
    this.#fail(streamEnded('stopped'))
    this.#owner.stop(this.#stream, code)
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      while (true) {
        const bytes = await this.read(this.#owner.windowBytesMax)
        if (!bytes) return
        yield bytes
      }
    } finally {
      // Left early: what would come is not wanted.
      this.stop(0)
    }
  }

  /** @internal Bytes, the end or a reset have come. */
  advance(): void {
    const read = this.#read
    if (!read) return
    const receive = this.#stream.receive!
    if (receive.resetCode >= 0) {
      this.#read = undefined
      return read.reject(new StreamError('STREAM_RESET', receive.resetCode))
    }
    const bytes = this.#owner.read(this.#stream, read.bytesMax)
    if (!bytes && !receive.finished) return
    this.#read = undefined
    read.resolve(bytes)
  }

  /** @internal The connection is over. An end or a reset may have come with the same datagram. */
  end(error: Error): void {
    this.advance()
    const receive = this.#stream.receive!
    if (!this.#error && !receive.finished && receive.resetCode < 0) this.#fail(error)
  }

  #fail(error: Error): void {
    this.#error = error
    const read = this.#read
    this.#read = undefined
    read?.reject(error)
  }
}
