/**
 * Where datagrams wait in a socket that takes no more at the moment.
 *
 * `node:dgram` sends within the call when the socket takes it, which is nearly always, and else keeps a reference: so
 * each datagram is copied into a slot first (0.05 µs), and a slot is used again when all after it have left.
 *
 * Memory: `QUEUED_DATAGRAMS_MAX + 1` slots, a slab that is charged in full (`quic.datagrams`) and committed by page.
 */
import type { Socket } from 'node:dgram'
import type { Account } from '../../bounds/index.ts'
import { QUEUED_DATAGRAMS_MAX } from '../memory.ts'

const SLOTS = QUEUED_DATAGRAMS_MAX + 1

export class SendSlots implements Disposable {
  readonly #account: Account
  readonly #slotBytes: number
  readonly #slab: Buffer
  #next = 0

  /** @param slotBytes the largest datagram. */
  constructor(account: Account, slotBytes: number) {
    account.require(0, SLOTS)
    this.#account = account
    this.#slotBytes = slotBytes
    this.#slab = Buffer.allocUnsafeSlow(SLOTS * slotBytes)
  }

  /** @returns false when too many wait already: the datagram is lost, as any network may lose it. */
  send(
    socket: Socket,
    source: Buffer,
    length: number,
    port: number,
    host: string,
    done: (error: Error | null) => void,
  ): boolean {
    const queued = socket.getSendQueueCount()
    if (queued >= QUEUED_DATAGRAMS_MAX) return false
    // They leave in order, so with so many slots the next one is free; with none waiting the first one is warm.
    this.#next = queued === 0 ? 0 : (this.#next + 1) % SLOTS
    const at = this.#next * this.#slotBytes
    source.copy(this.#slab, at, 0, length)
    socket.send(this.#slab, at, length, port, host, done)
    return true
  }

  /** Writes to each page, for `npm run costs`. */
  touch(): void {
    this.#slab.fill(1)
  }

  [Symbol.dispose](): void {
    this.#account.give(0, SLOTS)
  }
}
