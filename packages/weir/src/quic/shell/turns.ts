/**
 * Which connections want to send, in the order in which they asked.
 *
 * A turn comes after the sockets were read, so that one acknowledgement stands for all that has come. A round ends after
 * `DATAGRAMS_PER_ROUND`, whoever is next goes on in the next round of the event loop: timers and sockets wait for a
 * few milliseconds at most, however much there is to send.
 *
 * Memory: a link in each connection, one immediate.
 */
import type { Timer } from '../../runtime/index.ts'

const DATAGRAMS_PER_ROUND = 256

/** Something that is given turns. */
export interface TurnTaker {
  /** Whether it is in the list, and who comes after it; kept by the list. */
  scheduled: boolean
  nextScheduled: TurnTaker | undefined
  /** Sends what is due. */
  turn(): void
}

export class Turns implements Disposable {
  #head: TurnTaker | undefined
  #tail: TurnTaker | undefined
  #round: Timer | undefined
  #sent = 0

  schedule(taker: TurnTaker): void {
    if (taker.scheduled) return
    taker.scheduled = true
    if (this.#tail) this.#tail.nextScheduled = taker
    else this.#head = taker
    this.#tail = taker
    this.#round ??= immediate(() => this.#run())
  }

  /** A datagram was sent. */
  sent(): void {
    this.#sent++
  }

  [Symbol.dispose](): void {
    this.#round?.cancel()
    this.#round = this.#head = this.#tail = undefined
  }

  #run(): void {
    this.#round = undefined
    this.#sent = 0
    // Who asks again while it runs waits for the next round.
    const last = this.#tail
    while (this.#head) {
      const taker: TurnTaker = this.#head
      this.#head = taker.nextScheduled
      if (!this.#head) this.#tail = undefined
      taker.nextScheduled = undefined
      taker.scheduled = false
      taker.turn()
      if (taker === last || this.#sent >= DATAGRAMS_PER_ROUND) break
    }
    if (this.#head) this.#round ??= immediate(() => this.#run())
  }
}

function immediate(run: () => void): Timer {
  const handle = setImmediate(run)
  const cancel = () => clearImmediate(handle)
  return { cancel, [Symbol.dispose]: cancel }
}
