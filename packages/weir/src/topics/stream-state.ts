/**
 * What the indexes keep of a stream. It does not know the handle, so that a forgotten one can be collected.
 *
 * Memory: one queue of `topics.wait-queue` or `topics.drop-queue`, and a cursor when one is asked for.
 */
import { type Account, Channel } from '../bounds/index.ts'
import { isWeirError, type Scope } from '../runtime/index.ts'
import type { LogName, StoredOperation } from '../store/index.ts'
import type { Cursor } from './cursor.ts'

export type SlowConsumer = 'wait' | 'drop'

/** What a consumer gets: operations, and how many are missing: dropped with `slow: 'drop'`, or too long. */
export type StreamEvent =
  | { readonly type: 'operation'; readonly operation: StoredOperation }
  | { readonly type: 'gap'; readonly lost: number }

/** Until it is looked again whether an operation finds room that others hold. */
const RETRY_MS = 20

export class StreamState {
  readonly id: number
  readonly topicKey: string
  readonly slow: SlowConsumer
  readonly consume: boolean
  readonly cursor: Cursor | undefined
  /** Where it was opened, when that is noted. */
  readonly trace: string
  readonly #channel: Channel<StoredOperation>
  readonly #operationBytesMax: number
  /** Lost before they were queued: longer than anything that may wait. */
  #tooLong = 0
  #told = 0
  #closed = false
  #listener: Disposable | undefined

  constructor(options: {
    readonly id: number
    readonly topicKey: string
    readonly slow: SlowConsumer
    readonly consume: boolean
    readonly cursor: Cursor | undefined
    readonly trace: string
    readonly queue: Account
  }) {
    this.id = options.id
    this.topicKey = options.topicKey
    this.slow = options.slow
    this.consume = options.consume
    this.cursor = options.cursor
    this.trace = options.trace
    this.#operationBytesMax = options.queue.term.payloadBytesMax
    this.#channel = new Channel<StoredOperation>(options.queue, {
      bytesOf: ({ header, body }) => header.length + (body?.length ?? 0),
    })
  }

  get queued(): number {
    return this.#channel.size
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Operations that this consumer will never see. */
  get lost(): number {
    return this.#channel.lost + this.#tooLong
  }

  /** Queues an operation. With `wait` it returns when there was room, or the stream is gone. */
  async offer(operation: StoredOperation, scope: Scope): Promise<void> {
    if (!this.#wants(operation)) return
    const bytes = operation.header.length + (operation.body?.length ?? 0)
    if (bytes > this.#operationBytesMax) {
      this.#tooLong++
      return
    }
    if (this.slow === 'drop') {
      this.#channel.push(operation)
      return
    }
    while (!this.#closed) {
      try {
        await this.#channel.send(operation, scope.signal)
        return
      } catch (error) {
        if (isWeirError(error, 'CLOSED')) return
        if (!isWeirError(error, 'LIMIT')) throw error
        // Others hold the pool, or memory is short: nothing of this stream can make room.
        await scope.sleep(RETRY_MS)
      }
    }
  }

  /** An operation was too long to come as far as here. */
  missed(operation: LogName & { readonly seq: number }): void {
    if (this.#wants(operation)) this.#tooLong++
  }

  async next(): Promise<IteratorResult<StreamEvent, undefined>> {
    const missing = this.lost - this.#told
    if (missing > 0 && !this.#closed) {
      this.#told += missing
      return { value: { type: 'gap', lost: missing }, done: false }
    }
    const { value, done } = await this.#channel.next()
    if (done) return { value: undefined, done: true }
    return { value: { type: 'operation', operation: value }, done: false }
  }

  #wants(operation: LogName & { readonly seq: number }): boolean {
    const { cursor } = this
    return this.consume && !this.#closed && !(cursor && operation.seq < cursor.next(operation))
  }

  /** Something to take off when the stream closes: the listener of an abort. */
  attach(listener: Disposable): void {
    if (this.#closed) listener[Symbol.dispose]()
    else this.#listener = listener
  }

  /** Ends the iteration and gives everything back; synchronous, so that nothing can come after it. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#listener?.[Symbol.dispose]()
    this.#listener = undefined
    this.#channel[Symbol.dispose]()
    this.cursor?.[Symbol.dispose]()
  }
}
