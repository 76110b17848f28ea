/**
 * Disjoint ranges [start, end) of numbers in ascending order, packed.
 *
 * Memory: 16 bytes a range, grown by doubling up to `rangesMax` and halved when a quarter is used. The first
 * `FIRST_RANGES` are part of the price of whoever has the set, and so can always be had; further ones are charged to the
 * account before they are there. What happens when there is no room is the caller's choice.
 */
import type { Account } from '../../bounds/index.ts'

/** With so many everybody goes on, however greedy others are. */
export const FIRST_RANGES = 4
const RANGE_BYTES = 16
/** Most sets are empty for most of their life. */
const NONE = new Float64Array(0)

export class RangeSet {
  readonly rangesMax: number
  readonly #account: Account | undefined
  #cells: Float64Array = NONE
  #count = 0

  constructor(rangesMax: number, account?: Account) {
    this.rangesMax = rangesMax
    this.#account = account
  }

  get count(): number {
    return this.#count
  }

  start(index: number): number {
    return this.#cells[2 * index]!
  }

  end(index: number): number {
    return this.#cells[2 * index + 1]!
  }

  has(value: number): boolean {
    const index = this.#search(value)
    return index < this.#count && this.start(index) <= value
  }

  /**
   * Adds a range and joins it with its neighbours.
   *
   * @returns false when that would take one range more than `rangesMax`, or than can be charged: nothing was added.
   */
  add(start: number, end: number): boolean {
    if (end <= start) return true
    const last = this.#count - 1
    // In order and without gaps, the common case.
    if (last >= 0 && this.#cells[2 * last + 1] === start) {
      this.#cells[2 * last + 1] = end
      return true
    }
    // The first range that touches or follows the new one, and the first that follows without touching.
    const from = this.#search(start - 1)
    let to = from
    while (to < this.#count && this.start(to) <= end) to++
    if (from === to) return this.#insert(from, start, end)
    this.#cells[2 * from] = Math.min(start, this.start(from))
    this.#cells[2 * from + 1] = Math.max(end, this.end(to - 1))
    this.#delete(from + 1, to)
    return true
  }

  /** As `add`; without room the two nearest ranges become one, with what is between them. */
  addCovering(start: number, end: number): void {
    if (this.add(start, end)) return
    let nearest = 0
    let gap = Number.POSITIVE_INFINITY
    for (let index = 1; index < this.#count; index++) {
      const between = this.start(index) - this.end(index - 1)
      if (between >= gap) continue
      gap = between
      nearest = index
    }
    this.add(this.end(nearest - 1), this.start(nearest))
    this.addCovering(start, end)
  }

  /** @returns false when it would have to split a range and there is no room: nothing was removed. */
  remove(start: number, end: number): boolean {
    if (end <= start) return true
    let index = this.#search(start)
    while (index < this.#count && this.start(index) < end) {
      const low = this.start(index)
      const high = this.end(index)
      if (low < start && high > end) {
        if (!this.#insert(index + 1, end, high)) return false
        this.#cells[2 * index + 1] = start
        return true
      }
      if (low >= start && high <= end) this.#delete(index, index + 1)
      else if (low < start) this.#cells[2 * index++ + 1] = start
      else this.#cells[2 * index] = end
    }
    return true
  }

  /** Removes what is below; keeps nothing of it. */
  removeBelow(value: number): void {
    if (this.#count > 0 && this.start(0) < value) this.remove(this.start(0), value)
  }

  removeFirst(): void {
    this.#delete(0, 1)
  }

  clear(): void {
    this.#count = 0
    this.#shrinkTo(0)
  }

  /** The first range that ends above `value`. */
  #search(value: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.end(middle) > value) high = middle
      else low = middle + 1
    }
    return low
  }

  #insert(index: number, start: number, end: number): boolean {
    if (this.#count >= this.rangesMax) return false
    if (2 * this.#count === this.#cells.length && !this.#grow()) return false
    this.#cells.copyWithin(2 * index + 2, 2 * index, 2 * this.#count)
    this.#cells[2 * index] = start
    this.#cells[2 * index + 1] = end
    this.#count++
    return true
  }

  #delete(from: number, to: number): void {
    if (to <= from) return
    this.#cells.copyWithin(2 * from, 2 * to, 2 * this.#count)
    this.#count -= to - from
    const capacity = this.#cells.length / 2
    if (capacity > FIRST_RANGES && 4 * this.#count <= capacity) {
      this.#shrinkTo(Math.max(Math.ceil(capacity / 2), FIRST_RANGES))
    }
  }

  #grow(): boolean {
    const capacity = this.#cells.length / 2
    const wanted = Math.min(Math.max(2 * capacity, FIRST_RANGES), this.rangesMax)
    const more = charged(wanted) - charged(capacity)
    if (more > 0 && this.#account && this.#account.take(more) !== 'ok') return false
    const grown = new Float64Array(2 * wanted)
    grown.set(this.#cells)
    this.#cells = grown
    return true
  }

  #shrinkTo(capacity: number): void {
    const before = this.#cells.length / 2
    this.#cells = capacity === 0 ? NONE : this.#cells.slice(0, 2 * capacity)
    const less = charged(before) - charged(capacity)
    if (less > 0) this.#account?.give(less)
  }
}

/** What ranges beyond the first cost. */
const charged = (ranges: number): number => Math.max(ranges - FIRST_RANGES, 0) * RANGE_BYTES
