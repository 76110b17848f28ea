/**
 * Packets in flight of one packet number space, with what each carried, packed in two rings: no object for a packet or
 * a frame.
 *
 * A packet leaves when it is acknowledged or lost; the rings move on when their oldest packets have left. A peer that
 * acknowledges others and never the oldest makes it lost after three, so gaps do not stay.
 *
 * Memory: 40 bytes a packet and 32 a frame, charged to the account before the rings grow.
 */
import type { Account } from '../../bounds/index.ts'
import { assert } from '../../runtime/index.ts'

/** What a packet carried: how it is repeated when the packet is lost. */
export const Ref = Object.freeze({
  /** id, offset, length and fin */
  stream: 1,
  crypto: 2,
  resetStream: 3,
  stopSending: 4,
  maxData: 5,
  maxStreamData: 6,
  maxStreams: 7,
  newConnectionId: 8,
  retireConnectionId: 9,
  handshakeDone: 10,
  /** The largest number that an ACK frame acknowledged. */
  ack: 11,
})

/** Told of each frame of a packet that was acknowledged or lost. */
export interface RefSink {
  acked(kind: number, id: number, offset: number, length: number): void
  lost(kind: number, id: number, offset: number, length: number): void
}

const PACKET_CELLS = 5
const REF_CELLS = 4
const FIRST_PACKETS = 8
const FIRST_REFS = 8
export const PACKET_BYTES = 8 * PACKET_CELLS
export const REF_BYTES = 8 * REF_CELLS
const GONE = -1
const NONE = new Float64Array(0)
/** Refs that one packet may have at most. */
const REFS_PER_PACKET_MAX = 64

export class SentPackets implements Disposable {
  readonly #account: Account
  #packets: Float64Array<ArrayBuffer> = NONE
  #refs: Float64Array<ArrayBuffer> = NONE
  /** Counts of all packets and refs ever; the slot is the count modulo the capacity. */
  #head = 0
  #tail = 0
  #refHead = 0
  #refTail = 0
  #pendingRefs = 0

  /** @param account of records; several spaces share it, and it is closed by its owner. */
  constructor(account: Account) {
    this.#account = account
  }

  get size(): number {
    return this.#tail - this.#head
  }

  /** Whether one more packet can be recorded; grows the rings when that is needed and charged. */
  hasRoom(): boolean {
    const packets = this.#packets.length / PACKET_CELLS
    if (this.size >= packets && !this.#growPackets()) return false
    const refs = this.#refs.length / REF_CELLS
    const used = this.#refTail - this.#refHead
    return used + 1 < refs || this.#growRefs()
  }

  /** Whether the packet that is being built can carry one more frame that must be repeated. */
  hasRefRoom(): boolean {
    if (this.#pendingRefs >= REFS_PER_PACKET_MAX) return false
    const used = this.#refTail + this.#pendingRefs - this.#refHead
    return used < this.#refs.length / REF_CELLS || this.#growRefs()
  }

  /** Notes a frame of the packet that is being built. */
  ref(kind: number, id = 0, offset = 0, length = 0): void {
    assert(this.hasRefRoom(), 'a frame was written without room for its record')
    const at = ((this.#refTail + this.#pendingRefs) % (this.#refs.length / REF_CELLS)) * REF_CELLS
    this.#refs[at] = kind
    this.#refs[at + 1] = id
    this.#refs[at + 2] = offset
    this.#refs[at + 3] = length
    this.#pendingRefs++
  }

  /** Drops what was noted for a packet that is not sent after all. */
  abandon(): void {
    this.#pendingRefs = 0
  }

  /** Records the packet that was built. */
  commit(packetNumber: number, sentAt: number, bytes: number): void {
    const at = (this.#tail % (this.#packets.length / PACKET_CELLS)) * PACKET_CELLS
    this.#packets[at] = packetNumber
    this.#packets[at + 1] = sentAt
    this.#packets[at + 2] = bytes
    this.#packets[at + 3] = this.#refTail
    this.#packets[at + 4] = this.#pendingRefs
    this.#tail++
    this.#refTail += this.#pendingRefs
    this.#pendingRefs = 0
  }

  /** The slot of the first packet, left or not, whose number is at least this; `end` when there is none. */
  find(packetNumber: number): number {
    let low = this.#head
    let high = this.#tail
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.number(middle) >= packetNumber) high = middle
      else low = middle + 1
    }
    return low
  }

  get begin(): number {
    return this.#head
  }

  get end(): number {
    return this.#tail
  }

  number(slot: number): number {
    return this.#cell(slot, 0)
  }

  sentAt(slot: number): number {
    return this.#cell(slot, 1)
  }

  /** Bytes of the packet, or -1 when it has left. */
  bytes(slot: number): number {
    return this.#cell(slot, 2)
  }

  /** Takes a packet out and tells the sink of its frames. */
  leave(slot: number, acked: boolean, sink: RefSink): void {
    this.tell(slot, acked, sink)
    this.#packets[(slot % (this.#packets.length / PACKET_CELLS)) * PACKET_CELLS + 2] = GONE
  }

  /** Tells the sink of the frames of a packet that stays. */
  tell(slot: number, acked: boolean, sink: RefSink): void {
    const first = this.#cell(slot, 3)
    const count = this.#cell(slot, 4)
    const capacity = this.#refs.length / REF_CELLS
    for (let index = first; index < first + count; index++) {
      const at = (index % capacity) * REF_CELLS
      const refs = this.#refs
      if (acked) sink.acked(refs[at]!, refs[at + 1]!, refs[at + 2]!, refs[at + 3]!)
      else sink.lost(refs[at]!, refs[at + 1]!, refs[at + 2]!, refs[at + 3]!)
    }
  }

  /** Moves on past what has left at the front. */
  trim(): void {
    while (this.#head < this.#tail && this.bytes(this.#head) === GONE) {
      this.#refHead = this.#cell(this.#head, 3) + this.#cell(this.#head, 4)
      this.#head++
    }
    if (this.#head === this.#tail && this.#packets.length > 8 * FIRST_PACKETS * PACKET_CELLS) {
      // Nothing in flight: a long burst does not stay allocated.
      this.#free()
    }
  }

  /** Forgets all packets without telling anybody: the keys of the space are gone. */
  clear(): void {
    this.#head = this.#tail
    this.#refHead = this.#refTail
    this.#pendingRefs = 0
    this.#free()
  }

  [Symbol.dispose](): void {
    this.clear()
  }

  #cell(slot: number, cell: number): number {
    return this.#packets[(slot % (this.#packets.length / PACKET_CELLS)) * PACKET_CELLS + cell]!
  }

  #free(): void {
    this.#account.give(this.#packets.byteLength + this.#refs.byteLength)
    this.#packets = NONE
    this.#refs = NONE
  }

  #growPackets(): boolean {
    const grown = this.#grown(this.#packets, PACKET_CELLS, FIRST_PACKETS, this.#head, this.#tail)
    if (grown) this.#packets = grown
    return grown !== undefined
  }

  #growRefs(): boolean {
    const end = this.#refTail + this.#pendingRefs
    const grown = this.#grown(this.#refs, REF_CELLS, FIRST_REFS, this.#refHead, end)
    if (grown) this.#refs = grown
    return grown !== undefined
  }

  /** A ring of twice the size with the same content, when it can be charged. */
  #grown(
    ring: Float64Array<ArrayBuffer>,
    cells: number,
    first: number,
    head: number,
    tail: number,
  ): Float64Array<ArrayBuffer> | undefined {
    const capacity = ring.length / cells
    const wanted = Math.max(capacity * 2, first)
    if (this.#account.take((wanted - capacity) * cells * 8) !== 'ok') return undefined
    const grown = new Float64Array(wanted * cells)
    for (let slot = head; slot < tail; slot++) {
      const from = (slot % capacity) * cells
      const to = (slot % wanted) * cells
      for (let cell = 0; cell < cells; cell++) grown[to + cell] = ring[from + cell]!
    }
    return grown
  }
}
