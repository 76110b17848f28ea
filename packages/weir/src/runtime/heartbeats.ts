/**
 * Signs of life of the long-running parts. A part beats when it makes progress or has nothing to do; a part that
 * has not beaten for its deadline is stalled, and the readiness check says so by name.
 *
 * Memory: one small object per part, from `register` to `dispose`.
 */
import type { Clock, Instant } from './clock.ts'
import { msBetween } from './clock.ts'

export class Heartbeat implements Disposable {
  readonly name: string
  readonly deadlineMs: number
  readonly #clock: Clock
  readonly #remove: (heartbeat: Heartbeat) => void
  #last: Instant
  #idle = false
  #stopped: string | undefined
  /** @internal list links of the registry */
  previous: Heartbeat | undefined
  /** @internal */
  next: Heartbeat | undefined

  constructor(
    name: string,
    deadlineMs: number,
    clock: Clock,
    remove: (heartbeat: Heartbeat) => void,
  ) {
    this.name = name
    this.deadlineMs = deadlineMs
    this.#clock = clock
    this.#remove = remove
    this.#last = clock.now()
  }

  /** Progress was made, or a wait begins that is allowed to last at most the deadline. */
  beat(): void {
    this.#last = this.#clock.now()
    this.#idle = false
  }

  /** Nothing to do until the next `beat`: waiting for work is not a stall. */
  idle(): void {
    this.#last = this.#clock.now()
    this.#idle = true
  }

  /** The part has ended although it should run; it stays unhealthy until it beats again under a new heartbeat. */
  stop(reason: string): void {
    this.#stopped = reason
  }

  /** Why the part is not alive, or undefined when it is. */
  problem(): string | undefined {
    if (this.#stopped !== undefined) return `stopped: ${this.#stopped}`
    if (this.#idle) return undefined
    const silentMs = msBetween(this.#last, this.#clock.now())
    return silentMs > this.deadlineMs ? `silent for ${Math.round(silentMs)} ms` : undefined
  }

  [Symbol.dispose](): void {
    this.#remove(this)
  }
}

export class Heartbeats implements Iterable<Heartbeat> {
  readonly #clock: Clock
  #head: Heartbeat | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Watches a part until the heartbeat is disposed. */
  register(name: string, options: { readonly deadlineMs: number }): Heartbeat {
    const heartbeat = new Heartbeat(name, options.deadlineMs, this.#clock, (gone) =>
      this.#unlink(gone),
    )
    heartbeat.next = this.#head
    if (this.#head) this.#head.previous = heartbeat
    this.#head = heartbeat
    return heartbeat
  }

  #unlink(heartbeat: Heartbeat): void {
    if (this.#head === heartbeat) this.#head = heartbeat.next
    if (heartbeat.previous) heartbeat.previous.next = heartbeat.next
    if (heartbeat.next) heartbeat.next.previous = heartbeat.previous
    heartbeat.previous = heartbeat.next = undefined
  }

  *[Symbol.iterator](): Iterator<Heartbeat> {
    for (let heartbeat = this.#head; heartbeat; ) {
      const next: Heartbeat | undefined = heartbeat.next
      yield heartbeat
      heartbeat = next
    }
  }
}
