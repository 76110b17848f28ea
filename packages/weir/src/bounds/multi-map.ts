/**
 * A map from a key to several values, capped per key and in total. A key dies with its last value, so no key is ever
 * left behind with nothing under it.
 *
 * Memory: the entries of its term count values; `shellBytes` must cover a value and, at worst, a key of its own.
 */
import { AssertionError, assert } from '../runtime/index.ts'
import type { Account } from './account.ts'
import type { Admission, Exit } from './term.ts'

export interface MultiMapOptions<K, V> {
  /** How many values one key may have; a further one is refused as `cap`. */
  readonly valuesPerKeyMax: number
  /** Variable bytes of a value with its share of the key, fixed when it enters. Default 0. */
  bytesOf?(key: K, value: V): number
  /** Called after the value is gone and its charge given back. */
  onExit?(key: K, value: V, why: Exit): void
}

export class MultiMap<K, V> implements Disposable {
  readonly #account: Account
  readonly #options: MultiMapOptions<K, V>
  readonly #keys = new Map<K, Map<V, number>>()
  #size = 0
  #closed = false

  constructor(account: Account, options: MultiMapOptions<K, V>) {
    assert(account.term.table === 'map', `${account.term.name} declares no map table`)
    this.#account = account
    this.#options = options
  }

  /** How many values there are under all keys. */
  get size(): number {
    return this.#size
  }

  /** How many keys have at least one value. */
  get keyCount(): number {
    return this.#keys.size
  }

  /** Adds a value under a key; adding it again changes nothing and is `ok`. */
  add(key: K, value: V): Admission {
    if (this.#closed) throw new AssertionError(`${this.#account.term.name}: add after close`)
    const values = this.#keys.get(key)
    if (values?.has(value)) return 'ok'
    if ((values?.size ?? 0) >= this.#options.valuesPerKeyMax) return this.#account.refuse()
    const bytes = this.#options.bytesOf?.(key, value) ?? 0
    const admission = this.#account.take(bytes, 1)
    if (admission !== 'ok') return admission
    if (values) values.set(value, bytes)
    else this.#keys.set(key, new Map([[value, bytes]]))
    this.#size++
    return 'ok'
  }

  has(key: K, value?: V): boolean {
    const values = this.#keys.get(key)
    return values !== undefined && (value === undefined || values.has(value))
  }

  /** How many values a key has. */
  count(key: K): number {
    return this.#keys.get(key)?.size ?? 0
  }

  /** Removes one value, or all of a key. @returns whether anything went. */
  delete(key: K, value?: V): boolean {
    const values = this.#keys.get(key)
    if (!values) return false
    if (value !== undefined) return this.#remove(key, values, value, 'removed')
    for (const each of [...values.keys()]) {
      // Looked up again: an onExit may have removed the rest, and added the key anew.
      const left = this.#keys.get(key)
      if (left) this.#remove(key, left, each, 'removed')
    }
    return true
  }

  /** The values of a key in the order they were added; it may be changed while iterating. */
  *of(key: K): IterableIterator<V> {
    const values = this.#keys.get(key)
    if (values) yield* values.keys()
  }

  keys(): IterableIterator<K> {
    return this.#keys.keys()
  }

  *[Symbol.iterator](): IterableIterator<[K, V]> {
    for (const [key, values] of this.#keys) for (const value of values.keys()) yield [key, value]
  }

  /** Removes all values. An `onExit` that throws stops nothing; its error is thrown at the end. */
  clear(why: Exit = 'removed'): void {
    let failed: { readonly error: unknown } | undefined
    for (const [key, value] of [...this]) {
      try {
        const values = this.#keys.get(key)
        if (values) this.#remove(key, values, value, why)
      } catch (error) {
        failed ??= { error }
      }
    }
    if (failed) throw failed.error
  }

  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    try {
      this.clear('closed')
    } finally {
      this.#account[Symbol.dispose]()
    }
  }

  #remove(key: K, values: Map<V, number>, value: V, why: Exit): boolean {
    const bytes = values.get(value)
    if (bytes === undefined) return false
    values.delete(value)
    if (values.size === 0) this.#keys.delete(key)
    this.#size--
    this.#account.give(bytes, 1)
    this.#account.exit(why)
    this.#options.onExit?.(key, value, why)
    return true
  }
}
