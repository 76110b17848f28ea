/**
 * A clock that stands still until a test moves it.
 *
 * Memory: one node per running timer, in a list sorted by time; they belong to the scopes that started them.
 */
import { type Clock, type Instant, instant, type Timer } from './clock.ts'

interface Node {
  readonly at: number
  readonly fire: () => void
  next: Node | undefined
  cancelled: boolean
}

export class ManualClock implements Clock {
  #now = 0
  readonly #wallStartMs: number
  #head: Node | undefined

  constructor(options: { readonly wallMs?: number } = {}) {
    this.#wallStartMs = options.wallMs ?? 1_700_000_000_000
  }

  now(): Instant {
    return instant(this.#now)
  }

  wallMs(): number {
    return this.#wallStartMs + Math.floor(this.#now / 1000)
  }

  start(delayMs: number, fire: () => void): Timer {
    const node: Node = {
      at: this.#now + Math.max(delayMs, 0) * 1000,
      fire,
      next: undefined,
      cancelled: false,
    }
    if (!this.#head || node.at < this.#head.at) {
      node.next = this.#head
      this.#head = node
    } else {
      let before = this.#head
      // Equal times keep their order of start, as Node's timers do.
      while (before.next && before.next.at <= node.at) before = before.next
      node.next = before.next
      before.next = node
    }
    const cancel = () => {
      node.cancelled = true
      this.#unlink(node)
    }
    return { cancel, [Symbol.dispose]: cancel }
  }

  #unlink(node: Node): void {
    if (this.#head === node) this.#head = node.next
    else {
      let before = this.#head
      while (before && before.next !== node) before = before.next
      if (before) before.next = node.next
    }
    node.next = undefined
  }

  /** How many timers wait; zero after everything was closed. */
  get timers(): number {
    let count = 0
    for (let node = this.#head; node; node = node.next) count++
    return count
  }

  /** Moves time on and fires, in order, all that falls due, including what is started meanwhile. */
  advance(ms: number): void {
    const end = this.#now + ms * 1000
    while (this.#head && this.#head.at <= end) {
      const node = this.#head
      this.#head = node.next
      node.next = undefined
      this.#now = node.at
      if (!node.cancelled) node.fire()
    }
    this.#now = end
  }

  /** As `advance`, giving promise reactions a chance to run after each step of `stepMs`. */
  async advanceAsync(ms: number, stepMs = ms): Promise<void> {
    let left = ms
    while (left > 0) {
      const step = Math.min(left, stepMs)
      this.advance(step)
      left -= step
      for (let turn = 0; turn < 4; turn++) await new Promise<void>((done) => setImmediate(done))
    }
  }
}
