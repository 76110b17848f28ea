/**
 * The receiving half of a stream on the binding.
 *
 * A native read cannot be cancelled and holds the lock that `stop` needs. So a read is only started when somebody
 * waits for bytes, what it brings beyond the request stays for the next one, and a stop during a read ends ours at
 * once while the peer hears of it with the next bytes that it sends.
 *
 * Memory: what one native read brings, at most `readBytes`, charged to `iroh.buffers`, or `READ_BYTES_MIN` when that
 * cannot be had.
 */
import type { Account } from 'weir-mesh/bounds'
import { assert } from 'weir-mesh/runtime'
import { type RecvStream, streamEnded } from 'weir-mesh/transport'
import { fromNative, type NativeRecvStream } from './binding.ts'
import { READ_BYTES_MIN } from './memory.ts'

export interface ReceiveOptions {
  readonly account: Account
  /** How much one native read asks for. */
  readonly readBytes: number
  failure(error: unknown): Error
  /** The half is over, on the native side as well. */
  ended(): void
}

interface Read {
  readonly bytesMax: number
  readonly resolve: (bytes: Uint8Array | undefined) => void
  readonly reject: (error: Error) => void
}

export class IrohReceiveStream implements RecvStream {
  readonly #native: NativeRecvStream
  readonly #options: ReceiveOptions
  #charged = 0
  #left: Uint8Array | undefined
  #read: Read | undefined
  #reading = false
  #finished = false
  #error: Error | undefined
  #over = false

  constructor(native: NativeRecvStream, options: ReceiveOptions) {
    this.#native = native
    this.#options = options
  }

  read(bytesMax: number): Promise<Uint8Array | undefined> {
    assert(bytesMax > 0, 'a read of no bytes')
    assert(!this.#read, 'a stream has one reader; await the last read first')
    if (this.#left) return Promise.resolve(this.#takeLeft(bytesMax))
    if (this.#finished) return Promise.resolve(undefined)
    if (this.#error) return Promise.reject(this.#error)
    return new Promise((resolve, reject) => {
      this.#read = { bytesMax, resolve, reject }
      this.#readNative()
    })
  }

  stop(code: number): void {
    if (this.#error || this.#finished) return
    this.#fail(streamEnded('stopped'))
    this.#native.stop(BigInt(code)).then(
      () => this.#end(),
      () => this.#end(),
    )
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      while (true) {
        const bytes = await this.read(this.#options.readBytes)
        if (!bytes) return
        yield bytes
      }
    } finally {
      this.stop(0)
    }
  }

  /** @internal The peer has closed: looks whether anything arrived before, and ends when not. */
  drain(): void {
    if (!this.#left && !this.#over) this.#readNative()
  }

  /** @internal The connection is over, and what it held. */
  fail(error: Error): void {
    this.#fail(error)
    this.#end()
  }

  #readNative(): void {
    if (this.#reading || this.#finished || this.#error) return
    this.#reading = true
    if (this.#charged === 0 && this.#options.account.take(this.#options.readBytes) === 'ok') {
      this.#charged = this.#options.readBytes
    }
    this.#native.read(this.#charged || READ_BYTES_MIN).then(
      (bytes) => {
        this.#reading = false
        if (this.#error) return
        if (bytes.length === 0) return this.#finish()
        this.#left = fromNative(bytes)
        const read = this.#read
        this.#read = undefined
        if (read) read.resolve(this.#takeLeft(read.bytesMax))
      },
      (error) => {
        this.#reading = false
        if (this.#error) return
        this.#fail(this.#options.failure(error))
        this.#end()
      },
    )
  }

  #takeLeft(bytesMax: number): Uint8Array {
    const left = this.#left!
    if (left.length <= bytesMax) {
      this.#left = undefined
      return left
    }
    this.#left = left.subarray(bytesMax)
    // A copy, so that a small piece does not keep the whole.
    return left.slice(0, bytesMax)
  }

  #finish(): void {
    this.#finished = true
    this.#give()
    const read = this.#read
    this.#read = undefined
    read?.resolve(undefined)
    this.#end()
  }

  #fail(error: Error): void {
    if (this.#finished) return
    this.#error ??= error
    this.#left = undefined
    this.#give()
    const read = this.#read
    this.#read = undefined
    read?.reject(this.#error)
  }

  #give(): void {
    if (this.#charged === 0) return
    this.#options.account.give(this.#charged)
    this.#charged = 0
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#options.ended()
  }
}
