/**
 * A map from a key to several values, capped per key and in total. A key dies with its last value, so no key is ever
 * left behind with nothing under it.
 *
 * Memory: the entries of its term count values; `shellBytes` must cover a value and, at worst, a key of its own.
 */
import { assert } from '../runtime/index.ts'
import type { Account } from './account.ts'
import type { Admission, Exit } from './term.ts'

export interface MultiMapOptions<K, V> {
  readonly valuesPerKeyMax: number
  bytesOf?(key: K, value: V): number
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
    assert(!this.#closed, `${this.#account.term.name}: add after close`)
    const values = this.#keys.get(key)
    if (values?.has(value)) return 'ok'
    if (values && values.size >= this.#options.valuesPerKeyMax) return 'cap'
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
    for (const each of [...values.keys()]) this.#remove(key, values, each, 'removed')
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

  clear(why: Exit = 'removed'): void {
    for (const [key, values] of [...this.#keys]) {
      for (const value of [...values.keys()]) this.#remove(key, values, value, why)
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return
    this.clear('closed')
    this.#closed = true
    this.#account[Symbol.dispose]()
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
