/**
 * A first-in first-out queue with a fixed number of slots and bytes.
 *
 * Producers never wait and memory never grows: what happens at the cap is the term's overflow (`drop-old` makes room,
 * anything else refuses the new element), and every element that it costs is counted.
 *
 * Memory: at most the entries and bytes of its term; the slots grow by doubling up to the cap.
 */
import { AssertionError, assert } from '../runtime/index.ts'
import type { Account } from './account.ts'
import { powerOfTwo } from './costs.ts'
import type { Admission, Exit } from './term.ts'

export interface RingQueueOptions<T> {
  /** Variable bytes of an element, fixed when it enters. Default 0. */
  bytesOf?(value: T): number
  /** Called after an element has left otherwise than by `shift`. It must not push to this queue. */
  onExit?(value: T, why: Exit): void
}

const FIRST_SLOTS = 4

export class RingQueue<T> implements Disposable {
  readonly #account: Account
  readonly #options: RingQueueOptions<T>
  #slots: (T | undefined)[] = new Array(FIRST_SLOTS)
  #sizes: number[] = new Array(FIRST_SLOTS).fill(0)
  #head = 0
  #length = 0
  #lost = 0
  #closed = false

  constructor(account: Account, options: RingQueueOptions<T> = {}) {
    assert(account.term.table === 'ring', `${account.term.name} declares no ring table`)
    this.#account = account
    this.#options = options
  }

  get size(): number {
    return this.#length
  }

  get account(): Account {
    return this.#account
  }

  /** How many elements were refused or dropped since the start. */
  get lost(): number {
    return this.#lost
  }

  /**
   * Adds an element at the tail.
   *
   * @returns `ok`, or what stood in the way; with `drop-old` the oldest elements make room instead. What can never
   *   fit drops nothing.
   */
  push(value: T): Admission {
    const admission = this.offer(value)
    if (admission !== 'ok') this.#lost++
    return admission
  }

  /** As `push`, for a caller that keeps a refused element and tries again, so that it does not count as lost. */
  offer(value: T): Admission {
    if (this.#closed) throw new AssertionError(`${this.#account.term.name}: push after close`)
    const bytes = this.#options.bytesOf?.(value) ?? 0
    let admission = this.#account.take(bytes, 1)
    if (admission !== 'ok' && this.#account.term.overflow === 'drop-old') {
      admission = this.#makeRoom(admission, bytes)
    }
    if (admission !== 'ok') return admission
    if (this.#length === this.#slots.length) this.#grow()
    const at = (this.#head + this.#length) & (this.#slots.length - 1)
    this.#slots[at] = value
    this.#sizes[at] = bytes
    this.#length++
    return 'ok'
  }

  /** The oldest element without removing it. */
  peek(): T | undefined {
    return this.#length > 0 ? this.#slots[this.#head] : undefined
  }

  /** The element this far behind the oldest, without removing it. */
  at(index: number): T | undefined {
    if (index < 0 || index >= this.#length) return undefined
    return this.#slots[(this.#head + index) & (this.#slots.length - 1)]
  }

  /** Removes and returns the oldest element. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const value = this.#take()
    this.#account.exit('removed')
    return value
  }

  /** Oldest first; the queue must not be changed meanwhile. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let index = 0; index < this.#length; index++) {
      yield this.#slots[(this.#head + index) & (this.#slots.length - 1)] as T
    }
  }

  /** Removes all elements. An `onExit` that throws stops nothing; its error is thrown at the end. */
  clear(why: Exit = 'removed'): void {
    let failed: { readonly error: unknown } | undefined
    while (this.#length > 0) {
      try {
        this.#leave(why)
      } catch (error) {
        failed ??= { error }
      }
    }
    if (failed) throw failed.error
  }

  /** Empties the queue and closes its account. */
  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    try {
      this.clear('closed')
    } finally {
      this.#account[Symbol.dispose]()
    }
  }

  /** Drops the oldest until the element fits, unless even all of them would not do. */
  #makeRoom(refused: Admission, bytes: number): Admission {
    const pressed = refused === 'pressure'
    const wanted = pressed ? bytes : this.#account.shortBytes(bytes)
    if (this.#length === 0 || wanted > this.#account.bytes) return refused
    if (bytes > this.#account.term.payloadBytesMax) return refused
    // Under pressure elements go for the one that comes: the queue keeps the newest and does not grow.
    const goal = pressed ? this.#account.bytes - bytes : Number.POSITIVE_INFINITY
    let admission = refused
    while (admission !== 'ok' && this.#length > 0) {
      this.#lost++
      this.#leave(pressed ? 'shed' : 'evicted')
      if (this.#account.bytes > goal) continue
      admission = pressed ? this.#account.retake(bytes, 1) : this.#account.take(bytes, 1)
    }
    return admission
  }

  #leave(why: Exit): void {
    const value = this.#take()
    this.#account.exit(why)
    this.#options.onExit?.(value, why)
  }

  #take(): T {
    const at = this.#head
    const value = this.#slots[at] as T
    const bytes = this.#sizes[at]!
    this.#slots[at] = undefined
    this.#head = (at + 1) & (this.#slots.length - 1)
    this.#length--
    // Last: a pressure listener that this sets off may use the queue.
    this.#account.give(bytes, 1)
    return value
  }

  #grow(): void {
    const size = Math.min(this.#slots.length * 2, powerOfTwo(this.#account.term.entriesMax))
    const slots: (T | undefined)[] = new Array(size)
    const sizes: number[] = new Array(size).fill(0)
    for (let index = 0; index < this.#length; index++) {
      const at = (this.#head + index) & (this.#slots.length - 1)
      slots[index] = this.#slots[at]
      sizes[index] = this.#sizes[at]!
    }
    this.#slots = slots
    this.#sizes = sizes
    this.#head = 0
  }
}
