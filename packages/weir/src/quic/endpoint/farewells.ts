/**
 * Connections that are over and whose peers may not know it: packets for them are answered with their last one, less
 * and less often, until the peer must have heard (RFC 9000 section 10.2).
 *
 * Memory: a slab of `FAREWELLS_MAX` places, charged in full; the oldest makes room.
 */
import type { Account } from '../../bounds/index.ts'
import { LOCAL_IDS_MAX } from '../connection/connection-ids.ts'
import { FAREWELL_BYTES, FAREWELLS_MAX } from '../memory.ts'

/** Our ids of a connection, and the first one of its client. */
export const FAREWELL_IDS = LOCAL_IDS_MAX + 1

export class Farewells implements Disposable {
  readonly #account: Account
  readonly #ids = new Float64Array(FAREWELLS_MAX * FAREWELL_IDS).fill(-1)
  readonly #until = new Float64Array(FAREWELLS_MAX)
  readonly #lengths = new Uint16Array(FAREWELLS_MAX)
  readonly #counts = new Uint32Array(FAREWELLS_MAX)
  readonly #packets = new Uint8Array(FAREWELLS_MAX * FAREWELL_BYTES)
  #next = 0

  constructor(account: Account) {
    account.require(0, FAREWELLS_MAX)
    this.#account = account
  }

  add(ids: Iterable<number>, packet: Uint8Array | undefined, until: number): void {
    const place = this.#next
    this.#next = (place + 1) % FAREWELLS_MAX
    const first = place * FAREWELL_IDS
    this.#ids.fill(-1, first, first + FAREWELL_IDS)
    let at = first
    for (const id of ids) if (at < first + FAREWELL_IDS) this.#ids[at++] = id
    const kept = packet && packet.length <= FAREWELL_BYTES ? packet : undefined
    this.#until[place] = until
    this.#counts[place] = 0
    this.#lengths[place] = kept?.length ?? 0
    if (kept) this.#packets.set(kept, place * FAREWELL_BYTES)
  }

  /**
   * A packet came for this id.
   *
   * @returns what to answer, empty for silence; undefined when the id is unknown.
   */
  answer(id: number, now: number): Uint8Array | undefined {
    for (let at = 0; at < this.#ids.length; at++) {
      if (this.#ids[at] !== id) continue
      const place = Math.floor(at / FAREWELL_IDS)
      if (this.#until[place]! <= now) return undefined
      const count = ++this.#counts[place]!
      // The first, second, fourth, eighth packet and so on.
      const length = (count & (count - 1)) === 0 ? this.#lengths[place]! : 0
      const start = place * FAREWELL_BYTES
      return this.#packets.subarray(start, start + length)
    }
    return undefined
  }

  [Symbol.dispose](): void {
    this.#account.give(0, FAREWELLS_MAX)
    this.#account[Symbol.dispose]()
  }
}
