/**
 * Numbers that only rise, one object per name. Names are declared by the code, never by a peer, so their number is
 * fixed by the program; metrics render them on a scrape.
 *
 * Memory: one small object per declared name, for the life of the registry.
 */
export class Counter {
  readonly name: string
  readonly help: string
  readonly next: Counter | undefined
  #value = 0

  constructor(name: string, help: string, next: Counter | undefined) {
    this.name = name
    this.help = help
    this.next = next
  }

  get value(): number {
    return this.#value
  }

  add(by = 1): void {
    this.#value += by
  }
}

export class Counters implements Iterable<Counter> {
  #head: Counter | undefined

  /** The counter of this name, made at the first call. Names are `area_thing_total`, as Prometheus wants them. */
  counter(name: string, help: string): Counter {
    for (const counter of this) if (counter.name === name) return counter
    this.#head = new Counter(name, help, this.#head)
    return this.#head
  }

  /** The value of a counter, 0 when nothing has declared it. */
  value(name: string): number {
    for (const counter of this) if (counter.name === name) return counter.value
    return 0
  }

  *[Symbol.iterator](): Iterator<Counter> {
    for (let counter = this.#head; counter; counter = counter.next) yield counter
  }
}
