/**
 * Two connections in virtual time on a network that loses, doubles, reorders, delays and damages datagrams, by one
 * seed. What a run checks: every byte of every stream arrives once and in order, nobody is stuck, nothing is held at
 * the end.
 */
import assert from 'node:assert/strict'
import { Ledger, planMemory } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { type Instant, instant, NEVER, type Random, seededRandom } from '../runtime/index.ts'
import { transportLimits } from '../transport/index.ts'
import type { IssuedId } from './connection/connection-ids.ts'
import type { ConnectionEffects, ConnectionEnd } from './connection/connection-options.ts'
import { type Remote, sameRemote } from './connection/path.ts'
import { ConnectionMachine } from './connection-machine.ts'
import { idKey } from './endpoint/endpoint-machine.ts'
import { type QuicLimits, quicLimits, quicTerms } from './memory.ts'
import { writeNumber } from './packet/header.ts'
import type { QuicSecurity } from './security.ts'
import type { Stream } from './streams/streams.ts'
import { toyKeys } from './toy-keys.fixture.ts'
import { toySecret } from './toy-tls.fixture.ts'

export interface Faults {
  /** Of a thousand datagrams. */
  readonly lost: number
  readonly doubled: number
  readonly damaged: number
  readonly delayUs: number
  /** Added at random, so that datagrams overtake each other. */
  readonly jitterUs: number
}

interface Flight {
  readonly at: number
  readonly order: number
  readonly to: Side
  readonly bytes: Uint8Array
  readonly remote: Remote
}

const PROTOCOL = new Uint8Array(32).fill(7)
const STREAM_BYTES_MAX = 60_000

/** What one side sends and has received. */
export class Side implements ConnectionEffects {
  readonly name: string
  readonly world: World
  machine!: ConnectionMachine
  address: Remote
  up = false
  end: ConnectionEnd | undefined
  /** Streams by id: bytes still to write, and a sum of what was read. */
  readonly sending = new Map<number, { stream: Stream; left: number; at: number; done: boolean }>()
  readonly received = new Map<number, { stream: Stream; at: number; done: boolean }>()
  toOpen: number
  #changed = true

  constructor(name: string, world: World, address: Remote, toOpen: number) {
    this.name = name
    this.world = world
    this.address = address
    this.toOpen = toOpen
  }

  send(bytes: Uint8Array, length: number, remote: Remote): void {
    this.world.transmit(this, bytes.slice(0, length), remote)
  }

  established(): void {
    this.up = this.#changed = true
  }

  ended(end: ConnectionEnd): void {
    this.end = end
  }

  shown(stream: Stream): void {
    this.received.set(stream.id, { stream, at: 0, done: false })
    this.#changed = true
  }

  readable(): void {
    this.#changed = true
  }

  writable(): void {
    this.#changed = true
  }

  stopped(): void {}

  granted(): void {
    this.#changed = true
  }

  gone(): void {}

  /** Opens, writes and reads what it can. */
  work(now: Instant): void {
    if (!this.#changed || this.end || !this.up) return
    this.#changed = false
    const { machine } = this
    while (this.toOpen > 0) {
      const bidi = this.toOpen % 2 === 0
      const stream = machine.open(bidi)
      if (!stream) break
      this.toOpen--
      const left = this.world.random.below(STREAM_BYTES_MAX)
      this.sending.set(stream.id, { stream, left, at: 0, done: false })
      if (bidi) this.received.set(stream.id, { stream, at: 0, done: false })
    }
    for (const [id, each] of this.received) {
      if (each.stream.own || each.stream.accepted) continue
      machine.accept(each.stream, now, this)
      if (each.stream.bidi) {
        const left = this.world.random.below(STREAM_BYTES_MAX / 4)
        this.sending.set(id, { stream: each.stream, left, at: 0, done: false })
      }
    }
    for (const [id, each] of this.sending) this.#write(id, each)
    for (const [id, each] of this.received) this.#read(id, each, now)
  }

  get done(): boolean {
    if (this.toOpen > 0 || !this.up) return false
    const all = [...this.sending.values(), ...this.received.values()]
    return all.length > 0 && all.every((each) => each.done)
  }

  #write(id: number, each: { stream: Stream; left: number; at: number; done: boolean }): void {
    while (!each.done && each.left > 0) {
      const bytes = new Uint8Array(Math.min(each.left, 1 + this.world.random.below(4_000)))
      for (let at = 0; at < bytes.length; at++) bytes[at] = pattern(this.name, id, each.at + at)
      const taken = this.machine.write(each.stream, bytes, 0)
      each.at += taken
      each.left -= taken
      if (taken < bytes.length) return
    }
    if (each.done) return
    each.done = true
    this.machine.finish(each.stream)
  }

  #read(id: number, each: { stream: Stream; at: number; done: boolean }, now: Instant): void {
    const other = this.name === 'a' ? 'b' : 'a'
    while (!each.done) {
      const bytes = this.machine.read(each.stream, 1 + this.world.random.below(9_000), now, this)
      if (!bytes) break
      for (const byte of bytes) {
        if (byte !== pattern(other, id, each.at)) assert.fail(`${id}: byte ${each.at} is wrong`)
        each.at++
      }
    }
    if (each.stream.receive!.finished) each.done = true
  }
}

const pattern = (name: string, id: number, at: number): number =>
  (at * 31 + (at >>> 8) * 7 + id * 13 + name.charCodeAt(0)) & 255

export class World {
  readonly random: Random
  readonly faults: Faults
  readonly a: Side
  readonly b: Side
  readonly ledger: Ledger
  readonly #flights: Flight[] = []
  readonly #routes = new Map<number, Side>()
  readonly #accounts: Disposable[] = []
  /** All ids that were made, with their reset tokens. */
  readonly issued: { readonly side: Side; readonly id: IssuedId }[] = []
  now = 1_000_000
  sent = 0
  #order = 0
  #forged = 0

  constructor(
    seed: number,
    faults: Faults,
    security: QuicSecurity,
    own: Partial<QuicLimits> = {},
    streams = 12,
  ) {
    this.random = seededRandom(seed)
    this.faults = faults
    const limits = quicLimits(transportLimits({ endpointsMax: 2 }), own)
    const terms = quicTerms(limits)
    const plan = planMemory(Object.values(terms), { limitBytes: Number.MAX_SAFE_INTEGER })
    this.ledger = new Ledger(plan, { assertLeaks: true })
    this.a = new Side('a', this, { host: '10.0.0.1', port: 1 }, streams)
    this.b = new Side('b', this, { host: '10.0.0.2', port: 2 }, streams)
    const [keysA, keysB] = [1, 2].map((fill) => KeyPair.fromSeed(new Uint8Array(32).fill(fill)))
    const original = this.random.bytes(16)
    const buffer = new Uint8Array(1500)
    const make = (side: Side, peer: Side, client: boolean, peerId?: Uint8Array) => {
      const accounts = {
        streams: this.#open(terms.streams),
        receive: this.#open(terms.receive),
        send: this.#open(terms.send),
        records: this.#open(terms.records),
      }
      const router = this.#router(side)
      const localId = router.issue()
      side.machine = new ConnectionMachine(
        {
          role: client ? 'client' : 'server',
          security,
          tls: (parameters) =>
            client
              ? security.client({
                  keyPair: keysA!,
                  expected: keysB!.id,
                  protocol: PROTOCOL,
                  parameters,
                })
              : security.server({ keyPair: keysB!, protocols: [PROTOCOL], parameters }),
          random: this.random,
          remote: peer.address,
          validated: false,
          router,
          localId,
          originalDestination: original,
          ...(peerId ? { peerId } : {}),
          limits: { ...limits, congestionWindowBytesMax: limits.connectionSendBytesMax },
          accounts,
          buffer,
        },
        instant(this.now),
      )
      return localId
    }
    const id = make(this.a, this.b, true)
    make(this.b, this.a, false, id.bytes)
    this.a.machine.start(instant(this.now), this.a)
  }

  transmit(from: Side, bytes: Uint8Array, remote: Remote): void {
    this.sent++
    const to = from === this.a ? this.b : this.a
    if (!sameRemote(remote, to.address)) return
    const { lost, doubled, damaged } = this.faults
    if (this.random.below(1000) < lost) return
    const copies = this.random.below(1000) < doubled ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const flown = bytes.slice()
      if (this.random.below(1000) < damaged) {
        flown[this.random.below(flown.length)]! ^= 1 << this.random.below(8)
      }
      const delay = this.faults.delayUs + this.random.below(this.faults.jitterUs + 1)
      const remote = from.address
      this.#flights.push({ at: this.now + delay, order: this.#order++, to, bytes: flown, remote })
    }
  }

  /** Runs until the condition holds or nothing more happens before the deadline. */
  run(until: () => boolean, deadlineUs = 120_000_000): void {
    const deadline = this.now + deadlineUs
    while (!until()) {
      this.#flights.sort((x, y) => x.at - y.at || x.order - y.order)
      const flight = this.#flights[0]
      const wakes = [this.a, this.b].map((side) => side.machine.wakeAt)
      const next = Math.min(flight?.at ?? NEVER, ...wakes)
      if (next > deadline) assert.fail(`stuck at ${this.now}: ${this.describe()}`)
      this.now = Math.max(this.now, next)
      const now = instant(this.now)
      while (this.#flights[0] && this.#flights[0].at <= this.now) {
        const { to, bytes, remote } = this.#flights.shift()!
        to.machine.receive(bytes, remote, now, to)
      }
      for (const side of [this.a, this.b]) {
        side.work(now)
        if (side.machine.wakeAt <= this.now) side.machine.wake(now, side)
        else side.machine.flush(now, side)
      }
    }
  }

  /** A packet with these frames as the peer of `to` could send it, who holds the keys and means ill. */
  forge(to: Side, frames: Uint8Array, packetNumber = 2 ** 20 + this.#forged++): void {
    const secret = toySecret('application', to === this.b ? 'client' : 'server')
    const keys = toyKeys(0x1301, secret)
    const packet = new Uint8Array(13 + Math.max(frames.length, 4) + 16)
    packet[0] = 0x43
    writeNumber(packet, 9, packetNumber, 4)
    packet.set(frames, 13)
    keys.seal(packet, 0, 13, packet.length - 16, packetNumber, 4)
    const from = to === this.a ? this.b : this.a
    to.machine.receive(packet, from.address, instant(this.now), to)
  }

  describe(): string {
    const each = (side: Side) =>
      `${side.name} ${JSON.stringify({ ...side.machine.stats, up: side.up, end: side.end?.info, done: side.done, toOpen: side.toOpen })}`
    return `${each(this.a)} ${each(this.b)}`
  }

  /** How many connection ids lead anywhere. */
  get routes(): number {
    return this.#routes.size
  }

  /** Closes both ends and checks that nothing is held. */
  close(): void {
    const now = instant(this.now)
    this.a.machine.close(7, 'done', now, this.a)
    this.b.machine[Symbol.dispose]()
    for (const account of this.#accounts) account[Symbol.dispose]()
    this.ledger.assertEmpty()
    assert.equal(this.#routes.size, 0, 'connection ids are left')
  }

  #open(term: Parameters<Ledger['require']>[0]) {
    const account = this.ledger.require(term)
    this.#accounts.push(account)
    return account
  }

  #router(side: Side) {
    return {
      issue: (): IssuedId => {
        const bytes = this.random.bytes(8)
        this.#routes.set(idKey(bytes, 0), side)
        const id = { bytes, token: this.random.bytes(16) }
        this.issued.push({ side, id })
        return id
      },
      retire: (bytes: Uint8Array) => void this.#routes.delete(idKey(bytes, 0)),
    }
  }
}
