/**
 * Unreliable messages (RFC 9221): what waits to be sent, and what has come and nobody has read.
 *
 * Nothing waits for room: at the cap of either queue the oldest goes, as they do on a network. They count in the
 * congestion window like all else and are never repeated.
 *
 * Memory: two queues, charged to their accounts, whose terms drop the oldest; both end with `end`.
 */
import { type Account, RingQueue } from '../../bounds/index.ts'
import { copyBytes } from '../../codec/index.ts'
import { FrameType } from '../frames/frame-types.ts'
import { ErrorCode, type Violation, violation } from '../packet/errors.ts'
import { varintSize, writeVarint } from '../packet/varint.ts'
import type { PacketWriter } from './packet-writer.ts'

export interface DatagramAccounts {
  readonly out: Account
  readonly in: Account
}

/** What we tell the peer: RFC 9221 section 3 advises the largest there is, as the packet limits them anyway. */
export const DATAGRAM_FRAME_BYTES_MAX = 65_535
const bytesOf = (bytes: Uint8Array): number => bytes.length

export class DatagramQueues {
  readonly #out: RingQueue<Uint8Array>
  readonly #in: RingQueue<Uint8Array>
  /** The largest frame that the peer takes, 0 for none. */
  peerFrameMax = 0
  /** Sent, and given up because the path had become too narrow, for tests and metrics. */
  sent = 0
  cut = 0

  constructor(accounts: DatagramAccounts) {
    this.#out = new RingQueue(accounts.out, { bytesOf })
    this.#in = new RingQueue(accounts.in, { bytesOf })
  }

  get pending(): boolean {
    return this.#out.size > 0
  }

  /** How many were dropped in either direction. */
  get dropped(): number {
    return this.#out.lost + this.#in.lost
  }

  /** The longest message that fits into a packet with so much room. */
  bytesMax(room: number): number {
    const frame = Math.min(this.peerFrameMax, room)
    return Math.max(frame - 1 - varintSize(Math.max(frame, 0)), 0)
  }

  /** Takes a copy. @returns whether it waits to be sent. */
  send(bytes: Uint8Array, room: number): boolean {
    if (this.peerFrameMax === 0 || bytes.length > this.bytesMax(room)) return false
    return this.#out.push(copyBytes(bytes)) === 'ok'
  }

  /** Writes what fits. @param room of a packet with nothing else in it. */
  fill(packet: PacketWriter, room: number): void {
    for (let next = this.#out.peek(); next; next = this.#out.peek()) {
      const size = 1 + varintSize(next.length) + next.length
      if (size <= packet.room) {
        packet.bytes[packet.at] = FrameType.datagramLength
        const at = writeVarint(packet.bytes, packet.at + 1, next.length)
        packet.bytes.set(next, at)
        packet.wroteOnce(at + next.length)
        this.sent++
      } else if (size <= room) return
      else this.cut++
      this.#out.shift()
    }
  }

  received(bytes: Uint8Array): Violation | undefined {
    if (bytes.length + 3 > DATAGRAM_FRAME_BYTES_MAX) {
      return violation(ErrorCode.protocolViolation, 'a datagram that is longer than we take')
    }
    this.#in.push(copyBytes(bytes))
    return undefined
  }

  /** The oldest that has come. */
  read(): Uint8Array | undefined {
    return this.#in.shift()
  }

  end(): void {
    this.#out[Symbol.dispose]()
    this.#in[Symbol.dispose]()
  }
}
