/**
 * A map with a fixed number of entries and bytes. Each entry is charged to the account before it is kept and given
 * back after it is gone.
 *
 * Memory: at most the entries and bytes of its term. Deleting and re-inserting to keep an order is quadratic in a V8
 * map, so the order is a linked list beside it.
 */
import { AssertionError, assert } from '../runtime/index.ts'
import type { Account } from './account.ts'
import type { Admission, Exit } from './term.ts'

export interface BoundedMapOptions<K, V> {
  /** Variable bytes of an entry, fixed when it enters; strings by length, arrays by byteLength. Default 0. */
  bytesOf?(key: K, value: V): number
  /** With overflow `evict`: which entry makes room. Default `lru`. */
  readonly evict?: 'lru' | 'oldest'
  /** Entries expire this long after they were set (or touched, with `lru`); `sweep` removes them. Default never. */
  readonly ttlMs?: number
  /** Milliseconds for the ttl, from the clock of the owner; needed with `ttlMs`. */
  readonly nowMs?: () => number
  /** Called after the entry is gone and its charge given back. It may delete entries and must not set any. */
  onExit?(key: K, value: V, why: Exit): void
  /** Whether an entry may be evicted now; the search ends after 16 that may not. Default: any. */
  evictable?(key: K, value: V): boolean
}

interface Node<K, V> {
  readonly key: K
  value: V
  bytes: number
  expiresMs: number
  older: Node<K, V> | undefined
  newer: Node<K, V> | undefined
}

const UNEVICTABLE_MAX = 16
/** In the place of an entry's bytes once it has left, for iterations that stand on it. */
const GONE = -1

export class BoundedMap<K, V> implements Disposable {
  readonly #account: Account
  readonly #options: BoundedMapOptions<K, V>
  readonly #nodes = new Map<K, Node<K, V>>()
  readonly #lru: boolean
  #oldest: Node<K, V> | undefined
  #newest: Node<K, V> | undefined
  #closed = false
  #exiting = false

  constructor(account: Account, options: BoundedMapOptions<K, V> = {}) {
    assert(account.term.table === 'map', `${account.term.name} declares no map table`)
    assert(
      options.ttlMs === undefined || options.nowMs !== undefined,
      `${account.term.name}: a ttl needs a clock`,
    )
    this.#account = account
    this.#options = options
    this.#lru = (options.evict ?? 'lru') === 'lru'
  }

  get size(): number {
    return this.#nodes.size
  }

  get account(): Account {
    return this.#account
  }

  has(key: K): boolean {
    return this.#live(key) !== undefined
  }

  /** The value, which becomes the most recently used one. */
  get(key: K): V | undefined {
    const node = this.#live(key)
    if (!node) return undefined
    if (this.#lru) {
      this.#touch(node)
      node.expiresMs = this.#expiry()
    }
    return node.value
  }

  /** The value, without a trace of the reading. */
  peek(key: K): V | undefined {
    return this.#live(key)?.value
  }

  /**
   * Sets an entry; what is replaced leaves with `replaced`. At the cap, overflow `evict` makes room.
   *
   * @returns `ok`, or why the entry was not kept: the map is then as it was before.
   */
  set(key: K, value: V): Admission {
    if (this.#closed || this.#exiting) {
      const when = this.#closed ? 'after close' : 'within onExit'
      throw new AssertionError(`${this.#account.term.name}: set ${when}`)
    }
    const bytes = this.#options.bytesOf?.(key, value) ?? 0
    const present = this.#nodes.get(key)
    if (present) return this.#replace(present, value, bytes)
    const admission = this.#admit(bytes, 1, undefined)
    if (admission !== 'ok') return admission
    const node: Node<K, V> = {
      key,
      value,
      bytes,
      expiresMs: this.#expiry(),
      older: this.#newest,
      newer: undefined,
    }
    if (this.#newest) this.#newest.newer = node
    else this.#oldest = node
    this.#newest = node
    this.#nodes.set(key, node)
    return 'ok'
  }

  /** Changes what an entry is charged, for a value that grew or shrank. The entry stays in any case. */
  resize(key: K, bytes: number): Admission {
    const node = this.#nodes.get(key)
    assert(node, 'resize of an absent key')
    return this.#recharge(node, bytes)
  }

  delete(key: K): boolean {
    const node = this.#nodes.get(key)
    if (!node) return false
    this.#remove(node, 'removed')
    return true
  }

  /** Removes what has expired, at most `most` entries, oldest first. @returns how many went. */
  sweep(most = Number.POSITIVE_INFINITY): number {
    if (this.#options.ttlMs === undefined) return 0
    const now = this.#options.nowMs!()
    let removed = 0
    while (this.#oldest && removed < most && this.#oldest.expiresMs <= now) {
      this.#remove(this.#oldest, 'expired')
      removed++
    }
    return removed
  }

  /** Removes the oldest entries until at most `entries` are left, because of memory pressure. */
  shed(entries: number): number {
    let removed = 0
    while (this.#oldest && this.#nodes.size > entries) {
      this.#remove(this.#oldest, 'shed')
      removed++
    }
    return removed
  }

  /**
   * Least recently used (or oldest) first. Any entries may be deleted while iterating; what is read with `get` moves to
   * the end, so an iteration reads with `peek`.
   */
  *entries(): IterableIterator<[K, V]> {
    for (let node = this.#oldest; node; ) {
      const next: Node<K, V> | undefined = node.newer
      yield [node.key, node.value]
      node = next
      // One that has left still knows its successor of then.
      while (node?.bytes === GONE) node = node.newer
    }
  }

  *keys(): IterableIterator<K> {
    for (const [key] of this.entries()) yield key
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries()
  }

  /** Removes all entries. An `onExit` that throws stops nothing; its error is thrown at the end. */
  clear(why: Exit = 'removed'): void {
    let failed: { readonly error: unknown } | undefined
    while (this.#oldest) {
      try {
        this.#remove(this.#oldest, why)
      } catch (error) {
        failed ??= { error }
      }
    }
    if (failed) throw failed.error
  }

  /** Empties the map and closes its account. */
  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    try {
      this.clear('closed')
    } finally {
      this.#account[Symbol.dispose]()
    }
  }

  #replace(node: Node<K, V>, value: V, bytes: number): Admission {
    const admission = this.#recharge(node, bytes)
    if (admission !== 'ok') return admission
    const old = node.value
    node.value = value
    node.expiresMs = this.#expiry()
    // A sweep stops at the first entry that lives, so the list stays in the order of expiry.
    if (this.#lru || this.#options.ttlMs !== undefined) this.#touch(node)
    this.#exit(node.key, old, 'replaced')
    return 'ok'
  }

  #recharge(node: Node<K, V>, bytes: number): Admission {
    const more = bytes - node.bytes
    if (more > 0) {
      const admission = this.#admit(more, 0, node)
      if (admission !== 'ok') return admission
      if (node.bytes === GONE) {
        // An onExit has deleted it while room was made.
        this.#account.give(more)
        return 'cap'
      }
    } else if (more < 0) this.#account.give(-more)
    node.bytes = bytes
    return 'ok'
  }

  #admit(bytes: number, entries: number, keep: Node<K, V> | undefined): Admission {
    let admission = this.#account.take(bytes, entries)
    if (admission === 'ok' || this.#account.term.overflow !== 'evict') return admission
    // Under pressure nothing may grow, and evicting for a refused entry would let a peer empty the map.
    if (admission === 'pressure' || !this.#evictingHelps(bytes, entries, keep)) return admission
    while (admission !== 'ok' && admission !== 'pressure') {
      const victim = this.#victim(keep)
      if (!victim) return admission
      this.#remove(victim, 'evicted')
      admission = this.#account.take(bytes, entries)
    }
    return admission
  }

  /** Whether there is enough to evict: what cannot fit in the end must not cost other entries first. */
  #evictingHelps(bytes: number, entries: number, keep: Node<K, V> | undefined): boolean {
    let shortBytes = this.#account.shortBytes(bytes)
    let shortEntries = this.#account.entries + entries - this.#account.term.entriesMax
    let passed = 0
    for (let node = this.#oldest; node && passed < UNEVICTABLE_MAX; node = node.newer) {
      if (!this.#mayEvict(node, keep)) passed++
      else {
        shortBytes -= node.bytes
        shortEntries--
      }
      if (shortBytes <= 0 && shortEntries <= 0) return true
    }
    return false
  }

  #victim(keep: Node<K, V> | undefined): Node<K, V> | undefined {
    let passed = 0
    for (let node = this.#oldest; node && passed < UNEVICTABLE_MAX; node = node.newer) {
      if (this.#mayEvict(node, keep)) return node
      passed++
    }
    return undefined
  }

  #mayEvict(node: Node<K, V>, keep: Node<K, V> | undefined): boolean {
    return node !== keep && (this.#options.evictable?.(node.key, node.value) ?? true)
  }

  #live(key: K): Node<K, V> | undefined {
    const node = this.#nodes.get(key)
    if (!node || this.#options.ttlMs === undefined) return node
    if (node.expiresMs > this.#options.nowMs!()) return node
    this.#remove(node, 'expired')
    return undefined
  }

  #expiry(): number {
    const { ttlMs, nowMs } = this.#options
    return ttlMs === undefined ? 0 : nowMs!() + ttlMs
  }

  #touch(node: Node<K, V>): void {
    if (this.#newest === node) return
    if (node.older) node.older.newer = node.newer
    else this.#oldest = node.newer
    node.newer!.older = node.older
    node.older = this.#newest
    node.newer = undefined
    this.#newest!.newer = node
    this.#newest = node
  }

  #remove(node: Node<K, V>, why: Exit): void {
    this.#nodes.delete(node.key)
    if (node.older) node.older.newer = node.newer
    else this.#oldest = node.newer
    if (node.newer) node.newer.older = node.older
    else this.#newest = node.older
    const bytes = node.bytes
    node.bytes = GONE
    this.#account.give(bytes, 1)
    this.#exit(node.key, node.value, why)
  }

  #exit(key: K, value: V, why: Exit): void {
    this.#account.exit(why)
    if (!this.#options.onExit) return
    const outer = this.#exiting
    this.#exiting = true
    try {
      this.#options.onExit(key, value, why)
    } finally {
      this.#exiting = outer
    }
  }
}
