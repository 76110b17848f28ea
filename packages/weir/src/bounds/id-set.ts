/**
 * Remembers 32-byte ids in two generations of packed bytes: when the young one is full, or on `rotate`, it becomes
 * the old one and the old one is forgotten. Between `capacity` and twice as many ids are remembered.
 *
 * Memory: `ID_BYTES` per entry of its term, in pages that are committed as they fill; nothing per id on the heap.
 * Slabs are planned and charged in full, whatever is committed.
 */
import { AssertionError, assert, type Random } from '../runtime/index.ts'
import type { Account } from './account.ts'
import { ID_BYTES, powerOfTwo } from './costs.ts'

const ID_LENGTH = 32
const PAGE_IDS_MAX = 128

interface Generation {
  readonly slots: Int32Array
  readonly pages: (Uint8Array | undefined)[]
  count: number
}

export class IdSet implements Disposable {
  readonly #account: Account
  readonly #capacity: number
  readonly #pageIds: number
  readonly #mask: number
  readonly #seed: number
  #young: Generation
  #old: Generation
  #closed = false

  /**
   * @param account its term's `entriesMax` is the capacity of one generation, a power of two; its `shellBytes` must
   *   be at least `ID_BYTES`.
   * @param random seeds the placement, so that a peer cannot choose ids that collide.
   */
  constructor(account: Account, random: Random) {
    assert(account.term.table === 'slab', `${account.term.name} declares no slab table`)
    assert(account.term.shellBytes >= ID_BYTES, `${account.term.name} plans too little for an id`)
    this.#account = account
    this.#capacity = account.term.entriesMax
    // The slot table is twice the capacity rounded up, so anything else would cost more than is planned.
    assert(
      this.#capacity > 0 && powerOfTwo(this.#capacity) === this.#capacity,
      `${account.term.name}: ${this.#capacity} entries are no power of two`,
    )
    this.#pageIds = Math.min(PAGE_IDS_MAX, this.#capacity)
    this.#mask = this.#capacity * 2 - 1
    this.#seed = random.below(2 ** 32)
    this.#young = this.#generation()
    this.#old = this.#generation()
    account.require(0, this.#capacity)
  }

  /** How many ids are remembered, at most twice the capacity. */
  get size(): number {
    return this.#young.count + this.#old.count
  }

  /** Remembers an id of 32 bytes. @returns whether it was there already. */
  add(id: Uint8Array): 'new' | 'seen' {
    if (this.#closed) throw new AssertionError(`${this.#account.term.name}: add after close`)
    assert(id.length === ID_LENGTH, 'an id has 32 bytes')
    if (this.#find(this.#old, id) >= 0) return 'seen'
    const slot = this.#find(this.#young, id)
    if (slot >= 0) return 'seen'
    if (this.#young.count >= this.#capacity) {
      this.rotate()
      this.#insert(this.#young, id, ~this.#find(this.#young, id))
    } else this.#insert(this.#young, id, ~slot)
    return 'new'
  }

  has(id: Uint8Array): boolean {
    assert(id.length === ID_LENGTH, 'an id has 32 bytes')
    if (this.#closed) return false
    return this.#find(this.#young, id) >= 0 || this.#find(this.#old, id) >= 0
  }

  /** Forgets the old generation; the young one becomes old. */
  rotate(): void {
    if (this.#closed) throw new AssertionError(`${this.#account.term.name}: rotate after close`)
    const reused = this.#old
    this.#account.exit('expired', reused.count)
    this.#old = this.#young
    reused.slots.fill(0)
    reused.count = 0
    this.#young = reused
  }

  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    this.#account.exit('closed', this.size)
    // Whoever still holds the handle must not hold the pages.
    this.#young = this.#old = { slots: new Int32Array(0), pages: [], count: 0 }
    this.#account.give(0, this.#capacity)
    this.#account[Symbol.dispose]()
  }

  #generation(): Generation {
    return {
      slots: new Int32Array(this.#mask + 1),
      pages: new Array(this.#capacity / this.#pageIds),
      count: 0,
    }
  }

  /** The slot that holds the id, or the complement of the free slot where it belongs. */
  #find(generation: Generation, id: Uint8Array): number {
    let slot = this.#hash(id) & this.#mask
    while (true) {
      const index = generation.slots[slot]! - 1
      if (index < 0) return ~slot
      if (this.#equals(generation, index, id)) return slot
      slot = (slot + 1) & this.#mask
    }
  }

  #insert(generation: Generation, id: Uint8Array, slot: number): void {
    const index = generation.count++
    const page = Math.floor(index / this.#pageIds)
    const bytes = (generation.pages[page] ??= new Uint8Array(this.#pageIds * ID_LENGTH))
    bytes.set(id, (index % this.#pageIds) * ID_LENGTH)
    generation.slots[slot] = index + 1
  }

  #equals(generation: Generation, index: number, id: Uint8Array): boolean {
    const page = generation.pages[Math.floor(index / this.#pageIds)]!
    const start = (index % this.#pageIds) * ID_LENGTH
    for (let at = 0; at < ID_LENGTH; at++) if (page[start + at] !== id[at]) return false
    return true
  }

  #hash(id: Uint8Array): number {
    // Ids are hashes already; the seed and one multiplication keep a chosen prefix from filling one run.
    let hash = this.#seed
    for (let at = 0; at < ID_LENGTH; at += 4) {
      const word = id[at]! | (id[at + 1]! << 8) | (id[at + 2]! << 16) | (id[at + 3]! << 24)
      hash = Math.imul(hash ^ word, 0x9e3779b1)
      hash ^= hash >>> 15
    }
    return hash >>> 0
  }
}
