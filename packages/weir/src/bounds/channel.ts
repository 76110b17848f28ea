/**
 * A RingQueue between producers that may wait and one consumer that iterates.
 *
 * Ending: `close` lets the consumer take what is queued and then ends the iteration; `fail` ends it with an error;
 * leaving the iteration early disposes the channel, which wakes every waiting producer with `CLOSED`.
 *
 * Memory: the queue's; at most `waitersMax` producers wait, each with the one value that it brought.
 */
import { abortError, assert, onAbort, throwIfAborted, WeirError } from '../runtime/index.ts'
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
  /** Producers in `send` that have not added their value yet: those in the list and those just woken. */
  #waiting = 0
  /** One was woken and has not tried yet. Two at once would pass each other when the first does not fit. */
  #awake = false
  #ended = false
  #failure: { readonly error: unknown } | undefined
  #disposed = false

  constructor(account: Account, options: ChannelOptions<T> = {}) {
    this.#queue = new RingQueue(account, options)
    this.#options = options
    this.#waitersMax = options.waitersMax ?? 16
  }

  get size(): number {
    return this.#queue.size
  }

  /** How many values were refused by `push` or dropped; one that waits in `send` is not lost. */
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
   * Adds, waiting for room. Producers are served in the order in which they came.
   *
   * @throws {WeirError} `CLOSED` when the channel or the signal ends first; `LIMIT` when the value can never fit, when
   *   too many producers wait, or when nothing is queued here, so that no reading can make room: the pool, the owner
   *   or memory pressure stand in the way.
   */
  async send(value: T, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal)
    // Whoever comes while others wait stands behind them.
    let wait = this.#waiting > 0
    for (let first = true; ; first = false) {
      if (this.closed) throw new WeirError('CLOSED', 'the channel is closed')
      if (!wait) {
        const admission = this.#queue.offer(value)
        if (admission === 'ok') {
          this.#wakeConsumer()
          // There may be room for the next one as well.
          if (!first) this.#wakeProducer()
          return
        }
        if (this.#queue.size === 0) {
          // The next one may be smaller, and nobody else will wake it.
          if (!first) this.#wakeProducer()
          throw this.#refused(admission, value)
        }
      }
      if (first && this.#waiting >= this.#waitersMax) throw this.#refused('cap', value)
      // One that was woken and did not fit goes on waiting at the head.
      await this.#room(signal, first)
      this.#awake = false
      wait = false
    }
  }

  /** Takes without waiting. */
  shift(): T | undefined {
    const before = this.#queue.size
    const value = this.#queue.shift()
    if (before > 0) this.#wakeProducer()
    return value
  }

  async next(): Promise<IteratorResult<T>> {
    assert(!this.#consumer, 'a channel has one consumer')
    while (true) {
      if (this.#queue.size > 0) return { value: this.shift() as T, done: false }
      if (this.#failure) {
        const { error } = this.#failure
        this.#failure = undefined
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
    if (this.#queue.size === 0 && !this.#failure) this[Symbol.dispose]()
  }

  /** As `close`, and the iteration ends with this error after what is queued. */
  fail(error: unknown): void {
    if (this.closed) return
    this.#failure = { error }
    this.#ended = true
    this.#wakeConsumer()
    this.#wakeAllProducers()
  }

  /** Drops what is queued and closes the account. */
  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#failure = undefined
    try {
      this.#queue[Symbol.dispose]()
    } finally {
      this.#wakeConsumer()
      this.#wakeAllProducers()
      this.#options.onClose?.()
    }
  }

  #refused(admission: Admission, value: T): WeirError {
    return limitError(this.#queue.account, admission, this.#options.bytesOf?.(value) ?? 0)
  }

  /** Waits until a value was taken. @throws {WeirError} `CLOSED` when the signal is aborted first. */
  async #room(signal: AbortSignal | undefined, atTail: boolean): Promise<void> {
    this.#waiting++
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        // At once, before the rejection is seen: one who comes in between would stand behind nobody, and wait for ever.
        this.#waiting--
        reject(abortError(signal!))
        // What did not fit may have kept back others that do.
        this.#wakeProducer()
      }
      if (signal?.aborted) return leave()
      const waiter: Waiter = {
        wake: () => {
          listener[Symbol.dispose]()
          resolve()
        },
        next: undefined,
      }
      const listener = onAbort(signal, () => {
        // At once: a wake-up that goes to one who has left would be lost for the one behind.
        this.#forget(waiter)
        leave()
      })
      this.#enter(waiter, atTail)
    })
    this.#waiting--
  }

  #enter(waiter: Waiter, atTail: boolean): void {
    let last = this.#waiters
    if (!last || !atTail) {
      waiter.next = last
      this.#waiters = waiter
      return
    }
    while (last.next) last = last.next
    last.next = waiter
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
    if (!waiter || this.#awake) return
    this.#waiters = waiter.next
    this.#awake = true
    waiter.wake()
  }

  #wakeAllProducers(): void {
    for (let waiter = this.#waiters; waiter; waiter = waiter.next) waiter.wake()
    this.#waiters = undefined
  }
}
