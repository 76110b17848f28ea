/**
 * A RingQueue between a producer that may wait and one consumer that iterates.
 *
 * Ending: `close` lets the consumer take what is queued and then ends the iteration; `fail` ends it with an error;
 * leaving the iteration early disposes the channel, which wakes every waiting producer with `CLOSED`.
 *
 * Memory: the queue's; at most `waitersMax` producers wait.
 */
import { assert, onAbort, WeirError } from '../runtime/index.ts'
import { type Account, limitError } from './account.ts'
import { RingQueue, type RingQueueOptions } from './ring-queue.ts'
import type { Admission } from './term.ts'

export interface ChannelOptions<T> extends RingQueueOptions<T> {
  /** How many producers may wait for room at once; more are refused. Default 16. */
  readonly waitersMax?: number
  /** Called once when the consumer has left or the channel was disposed. */
  onClose?(): void
}

interface Waiter {
  readonly wake: () => void
  next: Waiter | undefined
}

export class Channel<T> implements AsyncIterableIterator<T>, Disposable {
  readonly #queue: RingQueue<T>
  readonly #options: ChannelOptions<T>
  readonly #waitersMax: number
  #consumer: (() => void) | undefined
  #waiters: Waiter | undefined
  #waiting = 0
  #ended = false
  #error: unknown
  #disposed = false

  constructor(account: Account, options: ChannelOptions<T> = {}) {
    this.#queue = new RingQueue(account, options)
    this.#options = options
    this.#waitersMax = options.waitersMax ?? 16
  }

  get size(): number {
    return this.#queue.size
  }

  get lost(): number {
    return this.#queue.lost
  }

  get closed(): boolean {
    return this.#ended || this.#disposed
  }

  /** Adds without waiting. @returns `ok`, or what stood in the way; after the end always `cap`. */
  push(value: T): Admission {
    if (this.closed) return 'cap'
    const admission = this.#queue.push(value)
    if (admission === 'ok') this.#wakeConsumer()
    return admission
  }

  /**
   * Adds, waiting for room.
   *
   * @throws {WeirError} `CLOSED` when the channel or the signal ends first, `LIMIT` when the value can never fit
   *   or too many producers wait.
   */
  async send(value: T, signal?: AbortSignal): Promise<void> {
    while (true) {
      if (this.closed) throw new WeirError('CLOSED', 'the channel is closed')
      const admission = this.push(value)
      if (admission === 'ok') return
      const bytes = this.#options.bytesOf?.(value) ?? 0
      const account = this.#queue.account
      const never = bytes > account.term.payloadBytesMax || account.term.entriesMax === 0
      if (never || this.#waiting >= this.#waitersMax) throw limitError(account, admission, bytes)
      await this.#room(signal)
    }
  }

  /** Takes without waiting. */
  shift(): T | undefined {
    const value = this.#queue.shift()
    if (value !== undefined) this.#wakeProducer()
    return value
  }

  async next(): Promise<IteratorResult<T>> {
    assert(!this.#consumer, 'a channel has one consumer')
    while (true) {
      if (this.#queue.size > 0) return { value: this.shift() as T, done: false }
      if (this.#error !== undefined) {
        const error = this.#error
        this.#error = undefined
        this[Symbol.dispose]()
        throw error
      }
      if (this.closed) {
        this[Symbol.dispose]()
        return { value: undefined, done: true }
      }
      await new Promise<void>((resolve) => {
        this.#consumer = resolve
      })
    }
  }

  async return(): Promise<IteratorResult<T>> {
    this[Symbol.dispose]()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** No more values come; what is queued can still be taken. */
  close(): void {
    this.#ended = true
    this.#wakeConsumer()
    this.#wakeAllProducers()
    if (this.#queue.size === 0 && this.#error === undefined) this[Symbol.dispose]()
  }

  /** As `close`, and the iteration ends with this error after what is queued. */
  fail(error: unknown): void {
    if (this.closed) return
    this.#error = error
    this.#ended = true
    this.#wakeConsumer()
    this.#wakeAllProducers()
  }

  /** Drops what is queued and closes the account. */
  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#queue[Symbol.dispose]()
    this.#wakeConsumer()
    this.#wakeAllProducers()
    this.#options.onClose?.()
  }

  async #room(signal: AbortSignal | undefined): Promise<void> {
    const waiter: Waiter = { wake: () => {}, next: undefined }
    let aborted = false
    this.#waiting++
    await new Promise<void>((resolve) => {
      ;(waiter as { wake: () => void }).wake = resolve
      const listener = onAbort(signal, () => {
        aborted = true
        resolve()
      })
      const wake = resolve
      ;(waiter as { wake: () => void }).wake = () => {
        listener[Symbol.dispose]()
        wake()
      }
      this.#append(waiter)
    })
    this.#waiting--
    if (aborted) {
      this.#forget(waiter)
      throw new WeirError('CLOSED', 'the wait for room was aborted', { cause: signal?.reason })
    }
  }

  #append(waiter: Waiter): void {
    if (!this.#waiters) this.#waiters = waiter
    else {
      let last = this.#waiters
      while (last.next) last = last.next
      last.next = waiter
    }
  }

  #forget(waiter: Waiter): void {
    if (this.#waiters === waiter) this.#waiters = waiter.next
    else {
      let before = this.#waiters
      while (before && before.next !== waiter) before = before.next
      if (before) before.next = waiter.next
    }
  }

  #wakeConsumer(): void {
    const wake = this.#consumer
    this.#consumer = undefined
    wake?.()
  }

  #wakeProducer(): void {
    const waiter = this.#waiters
    if (!waiter) return
    this.#waiters = waiter.next
    waiter.wake()
  }

  #wakeAllProducers(): void {
    while (this.#waiters) this.#wakeProducer()
  }
}
