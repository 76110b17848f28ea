/**
 * A list whose elements leave from anywhere, in constant time: who adds one keeps its link.
 *
 * Memory: a link per element; how many there may be is the matter of who owns the elements.
 */
export class Chain<T> {
  #first: Link<T> | undefined
  #last: Link<T> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get first(): T | undefined {
    return this.#first?.value
  }

  /** From the first to the last; the one that is shown may be removed meanwhile. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let link = this.#first; link; ) {
      const next: Link<T> | undefined = link.next
      yield link.value
      link = next
    }
  }

  push(value: T): Link<T> {
    const link = new Link(value, this.#last)
    if (this.#last) this.#last.next = link
    else this.#first = link
    this.#last = link
    this.#size++
    return link
  }

  /** Takes an element out; once more does nothing. */
  remove(link: Link<T> | undefined): void {
    if (!link?.linked) return
    if (link.previous) link.previous.next = link.next
    else this.#first = link.next
    if (link.next) link.next.previous = link.previous
    else this.#last = link.previous
    link.linked = false
    link.previous = link.next = undefined
    this.#size--
  }

  shift(): T | undefined {
    const link = this.#first
    this.remove(link)
    return link?.value
  }

  pop(): T | undefined {
    const link = this.#last
    this.remove(link)
    return link?.value
  }
}

export class Link<T> {
  readonly value: T
  previous: Link<T> | undefined
  next: Link<T> | undefined
  linked = true

  constructor(value: T, previous: Link<T> | undefined) {
    this.value = value
    this.previous = previous
  }
}
