/**
 * The sending half of a stream, as the program sees it.
 *
 * Memory: a reference to the bytes of the write that waits.
 */
import { assert } from '../../runtime/index.ts'
import { type SendStream, StreamError, streamEnded } from '../../transport/index.ts'
import type { Stream } from '../streams/streams.ts'
import type { StreamOwner } from './stream-owner.ts'

interface Write {
  readonly bytes: Uint8Array
  at: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const DONE = Promise.resolve()

export class QuicSendStream implements SendStream {
  readonly #stream: Stream
  readonly #owner: StreamOwner
  #write: Write | undefined
  /** Why nothing more can be written. */
  #error: Error | undefined
  #stopped: PromiseWithResolvers<number> | undefined
  #stopCode = -1

  constructor(stream: Stream, owner: StreamOwner) {
    this.#stream = stream
    this.#owner = owner
    const code = stream.send!.stopCode
    if (code >= 0) this.stop(code)
  }

  get stopped(): Promise<number> {
    this.#stopped ??= Promise.withResolvers<number>()
    if (this.#stopCode >= 0) this.#stopped.resolve(this.#stopCode)
    return this.#stopped.promise
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#error) return Promise.reject(this.#error)
    assert(!this.#write, 'a stream takes one write at a time; await the last one first')
    const taken = this.#owner.machine.write(this.#stream, bytes, 0)
    this.#owner.touch()
    if (taken === bytes.length) return DONE
    return new Promise((resolve, reject) => {
      this.#write = { bytes, at: taken, resolve, reject }
    })
  }

  async finish(): Promise<void> {
    if (this.#error) throw this.#error
    assert(!this.#write, 'finish while a write waits; await it first')
    this.#error = streamEnded('finished')
    this.#owner.machine.finish(this.#stream)
    this.#owner.touch()
  }

  reset(code: number): void {
    if (this.#error && this.#stream.send!.done) return
    if (this.#error?.message === streamEnded('reset').message) return
    if (this.#owner.over) return
    this.#fail(streamEnded('reset'))
    this.#owner.machine.reset(this.#stream, code)
    this.#owner.touch()
  }

  /** @internal There is room again. */
  advance(): void {
    const write = this.#write
    if (!write) return
    write.at += this.#owner.machine.write(this.#stream, write.bytes, write.at)
    if (write.at < write.bytes.length) return
    this.#write = undefined
    write.resolve()
  }

  /** @internal The peer wants no more. */
  stop(code: number): void {
    if (this.#stopCode >= 0) return
    this.#stopCode = code
    this.#stopped?.resolve(code)
    if (!this.#error) this.#fail(new StreamError('STREAM_STOPPED', code))
  }

  /** @internal The connection is over. */
  end(error: Error): void {
    if (!this.#error) this.#fail(error)
  }

  #fail(error: Error): void {
    this.#error = error
    const write = this.#write
    this.#write = undefined
    write?.reject(error)
  }
}
