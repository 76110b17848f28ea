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
  /** The size of the datagram. */
  mtuProbe: 12,
  dataBlocked: 13,
  streamDataBlocked: 14,
  streamsBlocked: 15,
})

/** Told of each frame of a packet that was acknowledged or lost. */
export interface RefSink {
  acked(kind: number, id: number, offset: number, length: number): void
  lost(kind: number, id: number, offset: number, length: number): void
}

const PACKET_CELLS = 5
const REF_CELLS = 4
/** Powers of two, as all capacities are. */
const FIRST_PACKETS = 8
const FIRST_REFS = 8
export const PACKET_BYTES = 8 * PACKET_CELLS
export const REF_BYTES = 8 * REF_CELLS
/** The least that a space takes to send anything. */
export const RECORDS_FIRST_BYTES = FIRST_PACKETS * PACKET_BYTES + FIRST_REFS * REF_BYTES
/** In place of the bytes of a packet that has left. */
export const ACKED = -1
export const LOST = -2
const NONE = new Float64Array(0)
/** Refs that one packet may have at most. */
const REFS_PER_PACKET_MAX = 64
/** Places that only probes may take, so that a connection whose records are all used can still find out why. */
const PROBE_PACKETS = 2

export class SentPackets implements Disposable {
  readonly #account: Account | undefined
  #packets: Float64Array<ArrayBuffer> = NONE
  #refs: Float64Array<ArrayBuffer> = NONE
  #packetMask = -1
  #refMask = -1
  /** Counts of all packets and refs ever; the slot is the count modulo the capacity. */
  #head = 0
  #tail = 0
  #refHead = 0
  #refTail = 0
  #pendingRefs = 0
  /** When the oldest of those was sent that were lost with none acknowledged since, and are no longer here. */
  lostFrom = Number.POSITIVE_INFINITY

  /** @param account of records; several spaces share it, and it is closed by its owner. */
  constructor(account: Account | undefined) {
    this.#account = account
  }

  get size(): number {
    return this.#tail - this.#head
  }

  /** Whether one more packet can be recorded; grows the rings when that is needed and charged. */
  hasRoom(probe = false): boolean {
    const spare = probe ? 0 : PROBE_PACKETS
    const size = this.#tail - this.#head
    const used = this.#refTail - this.#refHead
    if (size + spare > this.#packetMask && !this.#growPackets()) return false
    return used + spare <= this.#refMask || this.#growRefs()
  }

  /** Whether the packet that is being built can carry one more frame that must be repeated. */
  hasRefRoom(): boolean {
    if (this.#pendingRefs >= REFS_PER_PACKET_MAX) return false
    const used = this.#refTail + this.#pendingRefs - this.#refHead
    return used <= this.#refMask || this.#growRefs()
  }

  /** Notes a frame of the packet that is being built. */
  ref(kind: number, id = 0, offset = 0, length = 0): void {
    assert(this.hasRefRoom(), 'a frame was written without room for its record')
    const refs = this.#refs
    const at = ((this.#refTail + this.#pendingRefs) & this.#refMask) * REF_CELLS
    refs[at] = kind
    refs[at + 1] = id
    refs[at + 2] = offset
    refs[at + 3] = length
    this.#pendingRefs++
  }

  /** Drops what was noted for a packet that is not sent after all. */
  abandon(): void {
    this.#pendingRefs = 0
  }

  /** Records the packet that was built. */
  commit(packetNumber: number, sentAt: number, bytes: number): void {
    const packets = this.#packets
    const at = (this.#tail & this.#packetMask) * PACKET_CELLS
    packets[at] = packetNumber
    packets[at + 1] = sentAt
    packets[at + 2] = bytes
    packets[at + 3] = this.#refTail
    packets[at + 4] = this.#pendingRefs
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
    return this.#packets[(slot & this.#packetMask) * PACKET_CELLS]!
  }

  sentAt(slot: number): number {
    return this.#packets[(slot & this.#packetMask) * PACKET_CELLS + 1]!
  }

  /** Bytes of the packet, or `ACKED` or `LOST` when it has left. */
  bytes(slot: number): number {
    return this.#packets[(slot & this.#packetMask) * PACKET_CELLS + 2]!
  }

  /** Takes a packet out and tells the sink of its frames. */
  leave(slot: number, acked: boolean, sink: RefSink): void {
    this.#packets[(slot & this.#packetMask) * PACKET_CELLS + 2] = acked ? ACKED : LOST
    this.tell(slot, acked, sink)
  }

  /** Tells the sink of the frames of a packet that stays. */
  tell(slot: number, acked: boolean, sink: RefSink): void {
    const at = (slot & this.#packetMask) * PACKET_CELLS
    const first = this.#packets[at + 3]!
    const end = first + this.#packets[at + 4]!
    for (let index = first; index < end; index++) {
      const refs = this.#refs
      const ref = (index & this.#refMask) * REF_CELLS
      if (acked) sink.acked(refs[ref]!, refs[ref + 1]!, refs[ref + 2]!, refs[ref + 3]!)
      else sink.lost(refs[ref]!, refs[ref + 1]!, refs[ref + 2]!, refs[ref + 3]!)
    }
  }

  /** Moves on past what has left at the front. */
  trim(): void {
    while (this.#head < this.#tail) {
      const at = (this.#head & this.#packetMask) * PACKET_CELLS
      const state = this.#packets[at + 2]!
      if (state >= 0) return
      if (state === ACKED) this.lostFrom = Number.POSITIVE_INFINITY
      else this.lostFrom = Math.min(this.lostFrom, this.#packets[at + 1]!)
      this.#refHead = this.#packets[at + 3]! + this.#packets[at + 4]!
      this.#head++
    }
    const large =
      this.#packets.length > 8 * FIRST_PACKETS * PACKET_CELLS ||
      this.#refs.length > 8 * FIRST_REFS * REF_CELLS
    if (large && this.#pendingRefs === 0) {
      // Nothing in flight: a long burst, or a few packets of many frames, do not stay allocated.
      this.#free()
    }
  }

  /** Forgets all packets without telling anybody: the keys of the space are gone. */
  clear(): void {
    this.#head = this.#tail
    this.#refHead = this.#refTail
    this.#pendingRefs = 0
    this.lostFrom = Number.POSITIVE_INFINITY
    this.#free()
  }

  [Symbol.dispose](): void {
    this.clear()
  }

  #free(): void {
    this.#account?.give(this.#packets.byteLength + this.#refs.byteLength)
    this.#packets = NONE
    this.#refs = NONE
    this.#packetMask = this.#refMask = -1
  }

  #growPackets(): boolean {
    const capacity = this.#packetMask + 1
    const wanted = Math.max(capacity * 2, FIRST_PACKETS)
    const grown = this.#grown(this.#packets, PACKET_CELLS, wanted, this.#head, this.#tail)
    if (!grown) return false
    this.#packets = grown
    this.#packetMask = wanted - 1
    return true
  }

  #growRefs(): boolean {
    const capacity = this.#refMask + 1
    const wanted = Math.max(capacity * 2, FIRST_REFS)
    const end = this.#refTail + this.#pendingRefs
    const grown = this.#grown(this.#refs, REF_CELLS, wanted, this.#refHead, end)
    if (!grown) return false
    this.#refs = grown
    this.#refMask = wanted - 1
    return true
  }

  /** A ring of so many places with the same content, when it can be charged. */
  #grown(
    ring: Float64Array<ArrayBuffer>,
    cells: number,
    wanted: number,
    head: number,
    tail: number,
  ): Float64Array<ArrayBuffer> | undefined {
    const capacity = ring.length / cells
    if (this.#account?.take((wanted - capacity) * cells * 8) !== 'ok') return undefined
    const grown = new Float64Array(wanted * cells)
    for (let slot = head; slot < tail; slot++) {
      const from = (slot & (capacity - 1)) * cells
      const to = (slot & (wanted - 1)) * cells
      for (let cell = 0; cell < cells; cell++) grown[to + cell] = ring[from + cell]!
    }
    return grown
  }
}
