/**
 * The sending half of a stream on the binding.
 *
 * Small writes are gathered while a native write runs, because each call costs as much as a thousand bytes. The native
 * stream has a lock that `stopped()` holds until the peer has acknowledged or stopped, so it is asked only after the
 * last write; until then a failing write tells.
 *
 * Memory: at most `bufferBytesMax` gathered bytes, charged to `iroh.buffers`; when nothing can be charged, the bytes
 * of the waiting write are sent from where they are.
 */
import type { Account } from 'weir-mesh/bounds'
import { assert } from 'weir-mesh/runtime'
import { ByteRing, type SendStream, StreamError, streamEnded } from 'weir-mesh/transport'
import { type NativeSendStream, toNative } from './binding.ts'

/** Bytes of one native write: as an array of numbers 8 times as much heap, for a moment. */
export const WRITE_BYTES = 32 * 1024

export interface SendOptions {
  readonly account: Account
  readonly bufferBytesMax: number
  /** What the native error means. */
  failure(error: unknown): Error
  /** The half is over, on the native side as well. */
  ended(): void
}

interface Write {
  readonly bytes: Uint8Array
  at: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

// Made once: one made in a call would hold the bytes of that call until the run ends.
const quiet = () => {}

export class IrohSendStream implements SendStream {
  readonly stopped: Promise<number>
  readonly #native: NativeSendStream
  readonly #options: SendOptions
  readonly #ring: ByteRing
  readonly #resolveStopped: (code: number) => void
  /** Bytes charged: in the ring or in the native write that runs. */
  #charged = 0
  #write: Write | undefined
  #running = false
  #drained: (() => void) | undefined
  #error: Error | undefined
  #over = false

  constructor(native: NativeSendStream, options: SendOptions) {
    const { promise, resolve } = Promise.withResolvers<number>()
    this.stopped = promise
    this.#resolveStopped = resolve
    this.#native = native
    this.#options = options
    this.#ring = new ByteRing(options.bufferBytesMax)
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#error) return Promise.reject(this.#error)
    assert(!this.#write, 'a stream takes one write at a time; await the last one first')
    return new Promise((resolve, reject) => {
      this.#write = { bytes, at: 0, resolve, reject }
      this.#gather()
      if (!this.#running) this.#run().catch(quiet)
    })
  }

  async finish(): Promise<void> {
    if (this.#error) throw this.#error
    assert(!this.#write, 'finish while a write waits; await it first')
    if (this.#running) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve
      })
      if (this.#error) throw this.#error
    }
    this.#error = streamEnded('finished')
    try {
      await this.#native.finish()
    } catch (error) {
      this.#end()
      throw this.#options.failure(error)
    }
    // Nothing is written any more, so the lock may be held until the peer has everything.
    this.#native.stopped().then(
      (code) => {
        if (code !== null) this.#resolveStopped(code)
        this.#end()
      },
      () => this.#end(),
    )
  }

  reset(code: number): void {
    if (this.#error) return
    this.#fail(streamEnded('reset'))
    this.#native.reset(BigInt(code)).then(
      () => this.#end(),
      () => this.#end(),
    )
  }

  /** @internal The connection is over. */
  fail(error: Error): void {
    this.#fail(this.#error ?? error)
    this.#end()
  }

  /** Takes as much of the waiting write as there is room and charge for. */
  #gather(): void {
    const write = this.#write
    if (!write) return
    const length = Math.min(write.bytes.length - write.at, this.#ring.bytesMax - this.#ring.length)
    if (length > 0 && this.#options.account.take(length) === 'ok') {
      this.#charged += length
      this.#ring.push(write.bytes.subarray(write.at, write.at + length))
      write.at += length
    }
    if (write.at < write.bytes.length) return
    this.#write = undefined
    write.resolve()
  }

  async #run(): Promise<void> {
    this.#running = true
    try {
      while (!this.#error && (this.#ring.length > 0 || this.#write)) {
        if (this.#ring.length > 0) {
          const length = Math.min(this.#ring.length, WRITE_BYTES)
          // Not in a variable: the copy would live as long as the native write, beside the one that the binding makes.
          await this.#native.writeAll(toNative(this.#ring.shift(length)))
          this.#give(length)
        } else {
          const write = this.#write!
          const bytes = write.bytes.subarray(write.at, write.at + WRITE_BYTES)
          await this.#native.writeAll(toNative(bytes))
          write.at += bytes.length
        }
        this.#gather()
      }
    } catch (error) {
      const failure = this.#options.failure(error)
      if (failure instanceof StreamError) this.#resolveStopped(failure.streamCode)
      if (!this.#error) {
        this.#fail(failure)
        this.#end()
      }
    } finally {
      this.#running = false
      this.#drained?.()
      this.#drained = undefined
    }
  }

  #fail(error: Error): void {
    this.#error = error
    this.#ring.clear()
    this.#give(this.#charged)
    const write = this.#write
    this.#write = undefined
    write?.reject(error)
  }

  #give(bytes: number): void {
    // After a failure everything was given at once.
    const length = Math.min(bytes, this.#charged)
    this.#charged -= length
    if (length > 0) this.#options.account.give(length)
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#options.ended()
  }
}
