/** A packet number space with records of its own, and a sink that writes down what it is told. */
import { type Account, type Ledger, term } from '../../bounds/index.ts'
import { PacketSpace } from '../connection/space.ts'
import type { Recovery } from './recovery.ts'
import { Ref, type RefSink } from './sent-packets.ts'

export const recordsTerm = (payloadBytesMax = 1 << 20) =>
  term({ name: 'test.records', why: 'test', payloadBytesMax, instancesMax: 8 })

export class Told implements RefSink {
  readonly acked_: number[] = []
  readonly lost_: number[] = []

  acked(_kind: number, id: number): void {
    this.acked_.push(id)
  }

  lost(_kind: number, id: number): void {
    this.lost_.push(id)
  }
}

/** Sends packets with one frame each, whose id is the number of the packet. */
export class Flight {
  readonly space: PacketSpace
  readonly told = new Told()
  readonly recovery: Recovery
  readonly #account: Account

  constructor(ledger: Ledger, recovery: Recovery, records = recordsTerm()) {
    this.#account = ledger.require(records)
    this.space = new PacketSpace('application', { records: this.#account })
    this.recovery = recovery
    recovery.peerValidated = true
  }

  send(now: number, bytes = 1_200, count = 1): void {
    for (let each = 0; each < count; each++) {
      const { space } = this
      if (!space.sent.hasRoom()) throw new Error('no room for the record of a packet')
      space.sent.ref(Ref.stream, space.nextNumber)
      this.recovery.sent(space, space.nextNumber, bytes, now)
      space.nextNumber++
    }
  }

  /** Acknowledges ranges, both ends included, the highest first. */
  ack(now: number, ...ranges: readonly (readonly [number, number])[]): boolean {
    const { recovery, space, told } = this
    const largest = ranges[0]![1]
    if (!recovery.ackBegin(space, largest)) return false
    for (const [low, high] of ranges) {
      if (!recovery.ackRange(space, low, high, told)) return false
    }
    recovery.ackEnd(space, largest, 0, now, told)
    return true
  }

  end(): void {
    this.recovery.forget(this.space)
    this.#account[Symbol.dispose]()
  }
}
