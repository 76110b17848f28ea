/** What is going to happen, earliest first; what was scheduled first wins a tie. So a seed fixes the whole run. */
export interface Scheduled {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class EventHeap {
  readonly #heap: Scheduled[] = []
  #order = 0

  get size(): number {
    return this.#heap.length
  }

  peek(): Scheduled | undefined {
    return this.#heap[0]
  }

  push(at: number, run: () => void): void {
    const heap = this.#heap
    const event = { at, order: this.#order++, run }
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = event
  }

  pop(): Scheduled | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let index = 0
    while (true) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
    return first
  }
}

const before = (left: Scheduled, right: Scheduled): boolean =>
  left.at < right.at || (left.at === right.at && left.order < right.order)
