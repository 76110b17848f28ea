/**
 * One packet number space: keys, what was received and must be acknowledged, what is in flight, and the handshake
 * bytes of the level (RFC 9000 section 12.3).
 *
 * Memory: at most `RECEIVED_RANGES_MAX` ranges of received numbers, the records of packets in flight, and the handshake bytes of
 * both directions. The first few ranges and the first kilobyte of bytes come with the connection, the rest is charged.
 */
import type { Account } from '../../bounds/index.ts'
import type { Level, PacketKeys } from '../contract.ts'
import { FIRST_RANGES, RangeSet } from '../recovery/range-set.ts'
import { SentPackets } from '../recovery/sent-packets.ts'
import { RECEIVED_RANGES_MAX } from '../sizes.ts'
import { Reassembly } from '../streams/reassembly.ts'
import { SendBuffer } from '../streams/send-buffer.ts'

export const CRYPTO_GAPS_MAX = 16
/** Handshake bytes that may wait out of order, as far as offsets go. */
export const CRYPTO_WINDOW_BYTES = 8_192

export interface SpaceAccounts {
  readonly records: Account
  /** For ranges of received numbers. */
  readonly ackRanges: Account
  /** For handshake bytes out of order, and the gaps in them. */
  readonly crypto: Account
}

export class PacketSpace {
  readonly level: Level
  read: PacketKeys | undefined
  write: PacketKeys | undefined
  readonly sent: SentPackets
  readonly received: RangeSet
  /** Numbers below were forgotten: a packet with one counts as a duplicate. */
  receivedFloor = 0
  /** Ranges that end below need no report: the peer knows that we know. */
  reportFloor = 0
  largestReceived = -1
  largestReceivedAt = 0
  /** Packets to acknowledge since the last ACK frame. */
  unacknowledged = 0
  /** When an ACK frame is due at the latest. */
  ackAt = Number.POSITIVE_INFINITY
  nextNumber = 0
  /** A number that was left out on purpose: who acknowledges it lies. */
  skippedNumber = -1
  largestAcked = -1
  lastElicitingAt = 0
  /** When a packet in flight counts as lost by time. */
  lossAt = Number.POSITIVE_INFINITY
  /** Packets to send whatever the congestion window says. */
  probes = 0
  /** The packet that only probes the path MTU: its loss is no sign of congestion. */
  mtuProbe = -1
  /** Our own messages, which fit into the first ring. */
  readonly cryptoOut: SendBuffer
  readonly cryptoIn: Reassembly
  dropped = false

  constructor(level: Level, { records, ackRanges, crypto }: Partial<SpaceAccounts>) {
    this.level = level
    this.sent = new SentPackets(records)
    this.received = new RangeSet(RECEIVED_RANGES_MAX, ackRanges)
    this.cryptoOut = new SendBuffer(undefined, crypto)
    this.cryptoIn = new Reassembly(CRYPTO_GAPS_MAX, crypto, crypto)
  }

  isDuplicate(packetNumber: number): boolean {
    return packetNumber < this.receivedFloor || this.received.has(packetNumber)
  }

  /** Notes a packet that was authentic and taken. Without room for one range more the oldest is given up. */
  note(packetNumber: number, eliciting: boolean, now: number, ackDelayUs: number): void {
    const { received } = this
    while (!received.add(packetNumber, packetNumber + 1)) {
      this.receivedFloor = received.end(0)
      received.removeFirst()
      if (packetNumber < this.receivedFloor) return
    }
    if (packetNumber < this.reportFloor) this.reportFloor = packetNumber
    const inOrder = packetNumber === this.largestReceived + 1
    if (packetNumber > this.largestReceived) {
      this.largestReceived = packetNumber
      this.largestReceivedAt = now
    }
    if (!eliciting) return
    this.unacknowledged++
    // Every second one, and at once when something is missing (RFC 9000 section 13.2.1).
    if (this.unacknowledged >= 2 || !inOrder || this.level !== 'application') this.ackAt = now
    else this.ackAt = Math.min(this.ackAt, now + ackDelayUs)
  }

  /** The peer has an ACK frame of ours that acknowledged up to this number. */
  reported(largest: number): void {
    if (largest > this.reportFloor) this.reportFloor = largest
    // It will not miss what it was told of, so that is kept only as far as it costs nothing more. What comes later than
    // this was sent again long before.
    const { received } = this
    while (received.count > FIRST_RANGES && received.end(0) <= this.reportFloor) {
      this.receivedFloor = received.end(0)
      received.removeFirst()
    }
  }

  /** Keys and all that belongs to the space go (RFC 9001 section 4.9). */
  drop(): void {
    this.dropped = true
    this.read?.[Symbol.dispose]()
    this.write?.[Symbol.dispose]()
    this.read = this.write = undefined
    this.sent.clear()
    this.received.clear()
    this.cryptoOut.free()
    this.cryptoIn.free()
    this.unacknowledged = 0
    this.probes = 0
    this.ackAt = this.lossAt = Number.POSITIVE_INFINITY
  }
}

/** A connection does without the space of a level that is over, which would be a tenth of its cost. Nothing is written. */
export function spaceThatIsOver(level: 'initial' | 'handshake'): PacketSpace {
  return OVER[level]
}

function over(level: Level): PacketSpace {
  // No accounts: nothing is sent in it.
  const space = new PacketSpace(level, {})
  space.dropped = true
  return space
}

const OVER = Object.freeze({ initial: over('initial'), handshake: over('handshake') })
