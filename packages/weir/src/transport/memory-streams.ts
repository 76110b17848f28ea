/**
 * The two halves of a stream of the memory backend.
 *
 * A sender never sends without credit, and a receiver never grants credit that it was not charged for, so at most one
 * window of a stream is anywhere between the two.
 *
 * Memory: a receive half holds at most its window, charged to `transport.receive` of its connection; a send half holds
 * nothing but a reference to the bytes of the write that waits.
 */
import type { Account } from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import { assert } from '../runtime/index.ts'
import { ByteRing } from './byte-ring.ts'
import { StreamError, streamEnded } from './errors.ts'
import type { RecvStream, SendStream } from './transport.ts'
import type { Message } from './wire.ts'

/** What a half needs of its connection. */
export interface HalfOwner {
  send(message: Message): void
  /** Credit came free. */
  freed(): void
  /** The half is over: it neither sends nor holds anything. */
  ended(stream: number): void
}

interface Write {
  readonly bytes: Uint8Array
  at: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class SendHalf implements SendStream {
  readonly stopped: Promise<number>
  readonly #stream: number
  readonly #owner: HalfOwner
  readonly #resolveStopped: (code: number) => void
  #credit: number
  #write: Write | undefined
  /** Why nothing more can be written. */
  #error: Error | undefined

  constructor(stream: number, owner: HalfOwner, credit: number) {
    const { promise, resolve } = Promise.withResolvers<number>()
    this.stopped = promise
    this.#resolveStopped = resolve
    this.#stream = stream
    this.#owner = owner
    this.#credit = credit
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#error) return Promise.reject(this.#error)
    assert(!this.#write, 'a stream takes one write at a time; await the last one first')
    return new Promise((resolve, reject) => {
      this.#write = { bytes, at: 0, resolve, reject }
      this.#advance()
    })
  }

  async finish(): Promise<void> {
    if (this.#error) throw this.#error
    assert(!this.#write, 'finish while a write waits; await it first')
    this.#end(streamEnded('finished'), { type: 'finish', stream: this.#stream })
  }

  reset(code: number): void {
    if (this.#error) return
    this.#end(streamEnded('reset'), { type: 'reset', stream: this.#stream, code })
  }

  /** @internal */
  credit(bytes: number): void {
    this.#credit += bytes
    this.#advance()
  }

  /** @internal The peer wants no more. A stream that was stopped answers with a reset, as RFC 9000 3.5 asks. */
  stop(code: number): void {
    this.#resolveStopped(code)
    if (this.#error) return
    const reset: Message = { type: 'reset', stream: this.#stream, code }
    this.#end(new StreamError('STREAM_STOPPED', code), reset)
  }

  /** @internal The connection is over. */
  fail(error: Error): void {
    if (!this.#error) this.#end(error, undefined)
  }

  #advance(): void {
    const write = this.#write
    if (!write) return
    while (write.at < write.bytes.length && this.#credit > 0 && !this.#error) {
      const length = Math.min(this.#credit, write.bytes.length - write.at)
      const bytes = write.bytes.subarray(write.at, write.at + length)
      write.at += length
      this.#credit -= length
      this.#owner.send({ type: 'data', stream: this.#stream, bytes })
    }
    // Sending can end the stream or go through here again, when the peer answers within the call.
    if (this.#write !== write || write.at < write.bytes.length) return
    this.#write = undefined
    write.resolve()
  }

  #end(error: Error, last: Message | undefined): void {
    this.#error = error
    const write = this.#write
    this.#write = undefined
    if (last) this.#owner.send(last)
    this.#owner.ended(this.#stream)
    write?.reject(error)
  }
}

export interface ReceiveHalfOptions {
  readonly stream: number
  readonly owner: HalfOwner
  /** The account of the connection's credit. */
  readonly account: Account
  readonly windowFirstBytes: number
  readonly windowBytesMax: number
  /** Called when credit could not be charged: `grant` has to be called when some came free. */
  hungry(half: ReceiveHalf): void
}

interface Read {
  readonly bytesMax: number
  readonly resolve: (bytes: Uint8Array | undefined) => void
  readonly reject: (error: Error) => void
}

export class ReceiveHalf implements RecvStream {
  readonly #options: ReceiveHalfOptions
  readonly #ring = new ByteRing(0)
  /** Bytes charged: what the peer may still send, what waits here, and what was read and not granted again. */
  #windowBytes = 0
  #readBytes = 0
  /** Bytes read since the window has grown. */
  #sinceGrowth = 0
  #read: Read | undefined
  #finished = false
  #done = false
  #error: Error | undefined
  /** @internal links of the endpoint's list of halves that wait for credit */
  nextHungry: ReceiveHalf | undefined

  constructor(options: ReceiveHalfOptions) {
    this.#options = options
  }

  read(bytesMax: number): Promise<Uint8Array | undefined> {
    assert(bytesMax > 0, 'a read of no bytes')
    assert(!this.#read, 'a stream has one reader; await the last read first')
    if (this.#ring.length > 0) return Promise.resolve(this.#take(bytesMax))
    if (this.#error) return Promise.reject(this.#error)
    if (this.#finished) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      this.#read = { bytesMax, resolve, reject }
    })
  }

  stop(code: number): void {
    if (this.#done) return
    // A peer that has sent everything has nothing to stop.
    const { stream } = this.#options
    const last: Message | undefined = this.#finished ? undefined : { type: 'stop', stream, code }
    this.#end(streamEnded('stopped'), last)
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      while (true) {
        const bytes = await this.read(this.#options.windowBytesMax)
        if (!bytes) return
        yield bytes
      }
    } finally {
      // Left early: what would come is not wanted.
      this.stop(0)
    }
  }

  /** @internal Charges the first window. @returns the bytes to advertise; 0 when they must wait. */
  firstCredit(): number {
    const bytes = this.#options.windowFirstBytes
    if (this.#options.account.take(bytes) === 'ok') {
      this.#window(bytes)
      return bytes
    }
    this.#options.hungry(this)
    return 0
  }

  /** @internal Tries again to charge the first window. @returns false when it still does not fit. */
  grant(): boolean {
    if (this.#done || this.#finished) return true
    const bytes = this.#options.windowFirstBytes
    if (this.#options.account.take(bytes) !== 'ok') return false
    this.#window(bytes)
    this.#advertise(bytes)
    return true
  }

  /** @internal @returns false when the peer had no credit for it. */
  data(bytes: Uint8Array): boolean {
    if (this.#done) return true
    if (this.#finished) return false
    if (this.#ring.length + this.#readBytes + bytes.length > this.#windowBytes) return false
    const read = this.#read
    if (read && this.#ring.length === 0 && bytes.length <= read.bytesMax) {
      this.#read = undefined
      this.#consumed(bytes.length)
      read.resolve(copyBytes(bytes))
      return true
    }
    this.#ring.push(bytes)
    this.#serve()
    return true
  }

  /** @internal */
  finish(): void {
    if (this.#done || this.#finished) return
    this.#finished = true
    // What was granted beyond the end is never used.
    this.#shrink(this.#windowBytes - this.#ring.length)
    this.#readBytes = 0
    if (this.#ring.length > 0) return this.#options.owner.freed()
    this.#end(undefined, undefined)
  }

  /** @internal */
  reset(code: number): void {
    if (!this.#done && !this.#finished) this.#end(new StreamError('STREAM_RESET', code), undefined)
  }

  /** @internal The connection is over. */
  fail(error: Error): void {
    if (!this.#done) this.#end(error, undefined)
  }

  #serve(): void {
    const read = this.#read
    if (!read || this.#ring.length === 0) return
    this.#read = undefined
    read.resolve(this.#take(read.bytesMax))
  }

  #take(bytesMax: number): Uint8Array {
    const bytes = this.#ring.shift(bytesMax)
    if (this.#finished) {
      this.#shrink(bytes.length)
      if (this.#ring.length === 0) this.#end(undefined, undefined)
      else this.#options.owner.freed()
    } else this.#consumed(bytes.length)
    return bytes
  }

  /** Grants again what was read, in halves of the window; a reader that keeps up gets a larger one. */
  #consumed(length: number): void {
    this.#readBytes += length
    this.#sinceGrowth += length
    if (
      this.#sinceGrowth >= this.#windowBytes &&
      this.#windowBytes < this.#options.windowBytesMax
    ) {
      const more = Math.min(this.#windowBytes, this.#options.windowBytesMax - this.#windowBytes)
      this.#sinceGrowth = 0
      if (this.#options.account.take(more) === 'ok') {
        this.#window(more)
        this.#readBytes += more
      }
    }
    if (this.#readBytes * 2 < this.#windowBytes) return
    const bytes = this.#readBytes
    this.#readBytes = 0
    this.#advertise(bytes)
  }

  #advertise(bytes: number): void {
    this.#options.owner.send({ type: 'credit', stream: this.#options.stream, bytes })
  }

  #window(more: number): void {
    this.#windowBytes += more
    this.#ring.bytesMax = this.#windowBytes
  }

  #shrink(bytes: number): void {
    this.#windowBytes -= bytes
    this.#options.account.give(bytes)
  }

  #end(error: Error | undefined, last: Message | undefined): void {
    this.#done = true
    this.#finished ||= error === undefined
    this.#error = error
    this.#ring.clear()
    this.#shrink(this.#windowBytes)
    const read = this.#read
    this.#read = undefined
    if (last) this.#options.owner.send(last)
    this.#options.owner.ended(this.#options.stream)
    if (error) read?.reject(error)
    else read?.resolve(undefined)
  }
}
