/**
 * A number of places, and callers that wait for one in the order in which they came.
 *
 * Memory: one list node per waiting caller; the owner limits how many wait.
 */
import { abortError, onAbort, throwIfAborted } from 'weir-mesh/runtime'

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  next: Waiter | undefined
}

export class Gate {
  readonly #placesMax: number
  #taken = 0
  #first: Waiter | undefined
  #last: Waiter | undefined
  #error: Error | undefined

  constructor(placesMax: number) {
    this.#placesMax = placesMax
  }

  /** Takes a place, waiting for it. Whoever has one gives it back with `release`. */
  async enter(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal)
    if (this.#error) throw this.#error
    if (this.#taken < this.#placesMax) {
      this.#taken++
      return
    }
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        resolve: () => {
          listener[Symbol.dispose]()
          resolve()
        },
        reject: (error) => {
          listener[Symbol.dispose]()
          reject(error)
        },
        next: undefined,
      }
      if (this.#last) this.#last.next = waiter
      else this.#first = waiter
      this.#last = waiter
      const listener = onAbort(signal, () => {
        this.#forget(waiter)
        waiter.reject(abortError(signal!))
      })
    })
  }

  release(): void {
    const waiter = this.#first
    if (!waiter) {
      this.#taken--
      return
    }
    this.#first = waiter.next
    if (!this.#first) this.#last = undefined
    waiter.resolve()
  }

  /** Nobody enters any more. */
  fail(error: Error): void {
    this.#error = error
    while (this.#first) {
      const waiter = this.#first
      this.#first = waiter.next
      waiter.reject(error)
    }
    this.#last = undefined
  }

  #forget(waiter: Waiter): void {
    let before: Waiter | undefined
    for (let each = this.#first; each; before = each, each = each.next) {
      if (each !== waiter) continue
      if (before) before.next = waiter.next
      else this.#first = waiter.next
      if (this.#last === waiter) this.#last = before
      return
    }
  }
}
