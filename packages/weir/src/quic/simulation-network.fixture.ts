/** A network in virtual time that loses, doubles, reorders, delays, damages and narrows, by one seed. */
import type { Random } from '../runtime/index.ts'
import type { Remote } from './connection/path.ts'

export interface Faults {
  /** Of a thousand datagrams. */
  readonly lost: number
  readonly doubled: number
  readonly damaged: number
  readonly delayUs: number
  /** Added at random, so that datagrams overtake each other. */
  readonly jitterUs: number
}

export interface Flight<T> {
  readonly at: number
  readonly order: number
  readonly to: T
  readonly bytes: Uint8Array
  readonly remote: Remote
}

/** Datagrams on their way, the next to arrive first. */
export class Network<T> {
  readonly #random: Random
  faults: Faults
  /** What is larger vanishes. */
  mtu = 65_535
  #heap: Flight<T>[] = []
  #order = 0

  constructor(random: Random, faults: Faults) {
    this.#random = random
    this.faults = faults
  }

  /** When the next datagram arrives. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY
  }

  send(now: number, to: T, bytes: Uint8Array, remote: Remote): void {
    const { lost, doubled, damaged, delayUs, jitterUs } = this.faults
    const random = this.#random
    if (bytes.length > this.mtu || random.below(1000) < lost) return
    const copies = random.below(1000) < doubled ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const flown = bytes.slice()
      if (random.below(1000) < damaged) {
        flown[random.below(flown.length)]! ^= 1 << random.below(8)
      }
      const at = now + delayUs + random.below(jitterUs + 1)
      this.#push({ at, order: this.#order++, to, bytes: flown, remote })
    }
  }

  /** The next datagram that has arrived by now. */
  take(now: number): Flight<T> | undefined {
    const heap = this.#heap
    const first = heap[0]
    if (!first || first.at > now) return undefined
    const last = heap.pop()!
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }

  #push(flight: Flight<T>): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(flight)
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!isBefore(flight, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = flight
  }
}

const isBefore = <T>(a: Flight<T>, b: Flight<T>): boolean =>
  a.at < b.at || (a.at === b.at && a.order < b.order)
