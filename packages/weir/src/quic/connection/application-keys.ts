/**
 * The keys of short-header packets through their phases (RFC 9001 section 6).
 *
 * A peer may start an update at any time (iroh does after 10 to 1000 packets); we start one before a key has sealed
 * as many packets as it may. The keys of the phase before stay for three probe timeouts, for packets that come late.
 *
 * Memory: up to four key objects, part of the cost of a connection.
 */
import type { PacketKeys } from '../contract.ts'

export class ApplicationKeys implements Disposable {
  #read: PacketKeys
  #write: PacketKeys
  #previousRead: PacketKeys | undefined
  #nextRead: PacketKeys | undefined
  /** When the keys of the phase before go. */
  previousUntil = Number.POSITIVE_INFINITY
  #phase = 0
  /** The lowest number that was opened in this phase. */
  #phaseFirst = 0
  /** The first number that was sealed in this phase. */
  #sealedFirst = 0
  #sealed = 0
  readonly #sealedMax: number
  readonly #sealedLimit: number
  /** How many updates there were, for tests and metrics. */
  updates = 0

  /**
   * @param sealedMax packets after which an update is wanted.
   * @param sealedLimit packets that a key may seal at most.
   */
  constructor(
    read: PacketKeys,
    write: PacketKeys,
    sealedMax: number,
    sealedLimit = Number.POSITIVE_INFINITY,
  ) {
    this.#read = read
    this.#write = write
    this.#sealedMax = sealedMax
    this.#sealedLimit = sealedLimit
  }

  /** The key may seal nothing more and no update was possible: the connection must end (RFC 9001 section 6.6). */
  get usedUp(): boolean {
    return this.#sealed >= this.#sealedLimit
  }

  get phase(): number {
    return this.#phase
  }

  get write(): PacketKeys {
    return this.#write
  }

  /** For the header protection, which is the same in all phases. */
  get read(): PacketKeys {
    return this.#read
  }

  /** Which keys open a packet with this key phase and number. */
  forPacket(phase: number, packetNumber: number): PacketKeys | undefined {
    if (phase === this.#phase) return this.#read
    if (this.#previousRead && packetNumber < this.#phaseFirst) return this.#previousRead
    this.#nextRead ??= this.#read.next()
    return this.#nextRead
  }

  /**
   * A packet was opened.
   *
   * @returns false when the peer did what it must not: a second update before we have sent anything in this phase.
   */
  opened(phase: number, packetNumber: number, now: number, keepUs: number): boolean {
    if (phase === this.#phase) {
      // Late packets of the phase before come for a while after the first of this one (RFC 9001 section 6.5).
      if (this.#phaseFirst === Number.POSITIVE_INFINITY) this.previousUntil = now + keepUs
      if (packetNumber < this.#phaseFirst) this.#phaseFirst = packetNumber
      return true
    }
    if (this.#previousRead && packetNumber < this.#phaseFirst) return true
    if (this.updates > 0 && this.#sealed === 0) return false
    this.#rotate(packetNumber)
    this.previousUntil = now + keepUs
    return true
  }

  /** Counts a sealed packet. */
  sealed(packetNumber: number): void {
    if (this.#sealed === 0 && this.updates > 0) this.#sealedFirst = packetNumber
    this.#sealed++
  }

  /** Whether we must start an update: the key has sealed nearly as many as it may. */
  get updateWanted(): boolean {
    return this.#sealed >= this.#sealedMax
  }

  /** Starts an update. @returns false while one is under way. */
  update(largestAcked: number): boolean {
    const acked = this.#sealed > 0 && largestAcked >= this.#sealedFirst
    if (!acked || this.#previousRead) return false
    this.#nextRead ??= this.#read.next()
    this.#rotate(Number.POSITIVE_INFINITY)
    return true
  }

  /** The keys of the phase before go. */
  forgetPrevious(): void {
    this.#previousRead?.[Symbol.dispose]()
    this.#previousRead = undefined
    this.previousUntil = Number.POSITIVE_INFINITY
  }

  [Symbol.dispose](): void {
    this.forgetPrevious()
    this.#read[Symbol.dispose]()
    this.#write[Symbol.dispose]()
    this.#nextRead?.[Symbol.dispose]()
    this.#nextRead = undefined
  }

  #rotate(phaseFirst: number): void {
    this.forgetPrevious()
    const write = this.#write.next()
    this.#write[Symbol.dispose]()
    this.#write = write
    this.#previousRead = this.#read
    this.#read = this.#nextRead!
    this.#nextRead = undefined
    this.#phase ^= 1
    this.#phaseFirst = phaseFirst
    this.#sealed = 0
    this.updates++
  }
}
