/**
 * Who waits for a stream of one kind: calls to open one until the peer allows it, and one call to accept one.
 *
 * Memory: the calls that wait to open, charged to `transport.opens`; streams that were opened by the peer and nobody has
 * accepted (`transport.accepts`).
 */
import { type Account, limitError, RingQueue } from '../../bounds/index.ts'
import { abortError, assert, onAbort } from '../../runtime/index.ts'
import type { Stream } from '../streams/streams.ts'

interface Waiter<T> {
  readonly resolve: (handle: T) => void
  readonly reject: (error: Error) => void
  next: Waiter<T> | undefined
}

export class StreamWaiters<T> {
  readonly #opens: Account
  readonly #accepts: () => Account
  /** Made with the first stream that waits: most connections never have one of each kind. */
  #shown: RingQueue<Stream> | undefined
  #openers: Waiter<T> | undefined
  #acceptor: Waiter<T> | undefined

  constructor(opens: Account, accepts: () => Account) {
    this.#opens = opens
    this.#accepts = accepts
  }

  /** Whether calls wait to open: who comes now waits behind them. */
  get opening(): boolean {
    return this.#openers !== undefined
  }

  /** A stream of the peer that nobody waits for yet. As many as were granted fit. */
  show(stream: Stream): void {
    this.#shown ??= new RingQueue(this.#accepts())
    const admission = this.#shown.push(stream)
    assert(admission === 'ok', 'a stream that was granted has no place to wait')
  }

  shift(): Stream | undefined {
    return this.#shown?.shift()
  }

  /** @throws {WeirError} `LIMIT` when too many wait. */
  open(signal: AbortSignal | undefined): Promise<T> {
    const admission = this.#opens.take(0, 1)
    if (admission !== 'ok') throw limitError(this.#opens, admission, 1)
    return this.#wait(
      signal,
      (waiter) => this.#leaves(waiter),
      (waiter) => {
        let last = this.#openers
        while (last?.next) last = last.next
        if (last) last.next = waiter
        else this.#openers = waiter
      },
    )
  }

  accept(signal: AbortSignal | undefined): Promise<T> {
    assert(!this.#acceptor, 'a connection has one acceptor a kind')
    const leaves = () => {
      this.#acceptor = undefined
    }
    return this.#wait(signal, leaves, (waiter) => {
      this.#acceptor = waiter
    })
  }

  /** Gives streams to those who wait to open one, as long as there are any. */
  serveOpens(open: () => T | undefined): void {
    while (this.#openers) {
      const handle = open()
      if (handle === undefined) return
      this.#openers.resolve(handle)
    }
  }

  serveAcceptor(accepted: (stream: Stream) => T): void {
    const stream = this.#acceptor && this.#shown?.shift()
    if (stream) this.#acceptor!.resolve(accepted(stream))
  }

  /** The connection is over. */
  end(error: Error): void {
    this.#acceptor?.reject(error)
    while (this.#openers) this.#openers.reject(error)
    this.#shown?.[Symbol.dispose]()
  }

  #leaves(waiter: Waiter<T>): void {
    this.#opens.give(0, 1)
    if (this.#openers === waiter) this.#openers = waiter.next
    for (let each = this.#openers; each; each = each.next) {
      if (each.next === waiter) each.next = waiter.next
    }
  }

  #wait(
    signal: AbortSignal | undefined,
    leaves: (waiter: Waiter<T>) => void,
    enter: (waiter: Waiter<T>) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiter: Waiter<T> = {
        resolve: (handle) => {
          done()
          resolve(handle)
        },
        reject: (error) => {
          done()
          reject(error)
        },
        next: undefined,
      }
      const done = () => {
        listener[Symbol.dispose]()
        leaves(waiter)
      }
      enter(waiter)
      const listener = onAbort(signal, () => waiter.reject(abortError(signal!)))
    })
  }
}
