/**
 * Two connections in virtual time on a network with faults, by one seed. What a run checks: every byte of every stream
 * arrives once and in order, nobody is stuck, nothing is held at the end.
 */
import assert from 'node:assert/strict'
import { Ledger, planMemory, term } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { Digest } from '../machine/index.ts'
import { instant, type Random, seededRandom } from '../runtime/index.ts'
import { transportLimits } from '../transport/index.ts'
import { machineAccounts } from './accounts.fixture.ts'
import type { IssuedId } from './connection/connection-ids.ts'
import type { ConnectionLimits } from './connection/connection-options.ts'
import { type Remote, sameRemote } from './connection/path.ts'
import { ConnectionMachine } from './connection-machine.ts'
import { idKey } from './endpoint/endpoint-machine.ts'
import { readFrames } from './frames/read-frames.ts'
import { Recorder } from './frames/recorder.fixture.ts'
import { type QuicLimits, quicLimits, quicTerms } from './memory.ts'
import { CID_BYTES, readNumber, writeNumber } from './packet/header.ts'
import { Cursor } from './packet/varint.ts'
import type { QuicSecurity } from './security.ts'
import { type Faults, Network } from './simulation-network.fixture.ts'
import { Side } from './simulation-side.fixture.ts'
import { toyKeys } from './toy-keys.fixture.ts'
import { toySecret } from './toy-tls.fixture.ts'

const PROTOCOL = new Uint8Array(32).fill(7)
const HOMES = [
  { host: '10.0.0.1', port: 1 },
  { host: '10.0.0.2', port: 2 },
] as const
export const BUFFER_BYTES = 16_384
/** So many steps in which no time passes are a loop; a burst takes a few. */
const STEPS_MAX = 500

const KEYS = [1, 2].map((fill) => KeyPair.fromSeed(new Uint8Array(32).fill(fill)))

const messages = (direction: string) =>
  term({
    ...{ name: `test.messages-${direction}`, why: 'test', instancesMax: 2, table: 'ring' },
    ...{ entriesMax: 64, payloadBytesMax: 1 << 20, arena: 'buffers', overflow: 'drop-old' },
  })
const MESSAGE_TERMS = { in: messages('in'), out: messages('out') }

export interface WorldOptions {
  readonly seed: number
  readonly faults: Faults
  readonly security: QuicSecurity
  readonly limits?: Partial<QuicLimits> & Pick<ConnectionLimits, 'congestion'>
  /** For each side. */
  readonly streams?: number
  readonly streamBytesMax?: number
  readonly messages?: number
  readonly givenUp?: number
  readonly mtuMax?: number
}

export class World {
  readonly random: Random
  readonly a: Side
  readonly b: Side
  readonly ledger: Ledger
  readonly network: Network<Side>
  /** Takes the datagrams to b once it was started anew, and knows nothing of the connection. */
  restarted: ((bytes: Uint8Array, remote: Remote) => Uint8Array | undefined) | undefined
  /** Sees each datagram that is sent. */
  watch: ((from: Side, bytes: Uint8Array, remote: Remote) => void) | undefined
  readonly #routes = new Map<number, Side>()
  readonly #resets = new Map<string, Side>()
  readonly #accounts: Disposable[] = []
  readonly #options: WorldOptions
  readonly #limits: QuicLimits
  readonly #terms: ReturnType<typeof quicTerms>
  /** All ids that were made, with their reset tokens. */
  readonly issued: { readonly side: Side; readonly id: IssuedId }[] = []
  now = 1_000_000
  sent = 0
  #forged = 0
  readonly #events: { readonly at: number; readonly run: () => void }[] = []

  constructor(options: WorldOptions) {
    this.#options = options
    this.random = seededRandom(options.seed)
    this.network = new Network(this.random, options.faults)
    const { congestion: _, ...own } = options.limits ?? {}
    this.#limits = quicLimits(transportLimits({ endpointsMax: 2 }), own)
    this.#terms = quicTerms(this.#limits)
    const terms = [...Object.values(this.#terms), MESSAGE_TERMS.in, MESSAGE_TERMS.out]
    const plan = planMemory(terms, { limitBytes: Number.MAX_SAFE_INTEGER })
    this.ledger = new Ledger(plan, { assertLeaks: true })
    this.a = this.#side('a', HOMES[0])
    this.b = this.#side('b', HOMES[1])
    const original = this.random.bytes(16)
    const buffer = new Uint8Array(BUFFER_BYTES)
    const id = this.#connect(this.a, this.b.address, original, buffer)
    this.#connect(this.b, this.a.address, original, buffer, id.bytes)
    this.a.machine.start(instant(this.now), this.a)
  }

  /** Does something when the time has come. */
  at(time: number, run: () => void): void {
    this.#events.push({ at: time, run })
    this.#events.sort((x, y) => x.at - y.at)
  }

  /** Runs until the condition holds; a deadline that passes fails the test. */
  run(until: () => boolean, deadlineUs = 300_000_000): void {
    const { a, b, network } = this
    const deadline = this.now + deadlineUs
    let steps = 0
    while (!until()) {
      const eventAt = this.#events[0]?.at ?? Number.POSITIVE_INFINITY
      const next = Math.min(network.nextAt, a.wakeAt, b.wakeAt, eventAt)
      if (next > deadline) assert.fail(`stuck at ${this.now}: ${this.describe()}`)
      steps = next > this.now ? 0 : steps + 1
      if (steps > STEPS_MAX) assert.fail(`goes round at ${this.now}: ${this.describe()}`)
      this.now = Math.max(this.now, next)
      while (this.#events[0] && this.#events[0].at <= this.now) this.#events.shift()!.run()
      for (let flight = network.take(this.now); flight; flight = network.take(this.now)) {
        flight.to.inbox.push(flight)
      }
      this.#turn(a)
      this.#turn(b)
    }
  }

  /** A packet with these frames as the peer of `to` could send it, who holds the keys and means ill. */
  forge(
    to: Side,
    frames: Uint8Array,
    packetNumber = 2 ** 20 + this.#forged++,
    remote = (to === this.a ? this.b : this.a).address,
  ): void {
    const secret = toySecret('application', to === this.b ? 'client' : 'server')
    const keys = toyKeys(0x1301, secret)
    const packet = new Uint8Array(13 + Math.max(frames.length, 4) + 16)
    packet[0] = 0x43
    writeNumber(packet, 9, packetNumber, 4)
    packet.set(frames, 13)
    keys.seal(packet, 0, 13, packet.length - 16, packetNumber, 4)
    to.machine.receive(packet, remote, instant(this.now), to)
  }

  /** What a short-header packet of a side says, with toy keys of the first phase; undefined when it is none. */
  read(from: Side, datagram: Uint8Array): readonly string[] | undefined {
    if ((datagram[0]! & 0x80) !== 0) return undefined
    const bytes = datagram.slice()
    const keys = toyKeys(0x1301, toySecret('application', from === this.a ? 'client' : 'server'))
    const length = keys.unmask(bytes, 0, 1 + CID_BYTES)
    const number = readNumber(bytes, 1 + CID_BYTES, length)
    const start = 1 + CID_BYTES + length
    const end = keys.open(bytes, 0, start, bytes.length, number)
    if (end < 0) return undefined
    const recorder = new Recorder()
    readFrames(new Cursor().reset(bytes, start, end), 'application', recorder)
    return recorder.said
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

  digest(): string {
    const digest = new Digest()
    digest.fold(this.now)
    digest.fold(this.sent)
    for (const side of [this.a, this.b]) side.machine.digest(digest.fold)
    return digest.toString()
  }

  /** Closes both ends and checks that nothing is held. */
  close(): void {
    const now = instant(this.now)
    this.a.machine.close(7, 'done', now, this.a)
    this.b.machine[Symbol.dispose]()
    for (const account of this.#accounts) account[Symbol.dispose]()
    this.ledger.assertEmpty()
    assert.equal(this.#routes.size, 0, 'connection ids are left')
    assert.equal(this.#resets.size, 0, 'reset tokens are left')
  }

  /** What a program does in one turn of its event loop: timers, sockets, and then what is due. */
  #turn(side: Side): void {
    if (side.stalledUntil > this.now) return
    const now = instant(this.now)
    const { machine } = side
    if (machine.wakeAt <= this.now) machine.wake(now, side)
    for (const { bytes, remote } of side.inbox) this.#arrive(side, bytes, remote)
    side.inbox.length = 0
    side.work(now)
    if (machine.wakeAt <= this.now) machine.wake(now, side)
    else machine.flush(now, side)
  }

  #arrive(side: Side, bytes: Uint8Array, remote: Remote): void {
    if (side === this.b && this.restarted) {
      const answer = this.restarted(bytes, remote)
      if (answer) this.network.send(this.now, this.a, answer, side.address)
    } else side.machine.receive(bytes, remote, instant(this.now), side)
  }

  #transmit(from: Side, bytes: Uint8Array, remote: Remote): void {
    this.sent++
    this.watch?.(from, bytes, remote)
    const to = from === this.a ? this.b : this.a
    if (sameRemote(remote, to.address)) this.network.send(this.now, to, bytes, from.address)
  }

  #side(name: 'a' | 'b', address: Remote): Side {
    const { streams = 12, streamBytesMax = 60_000, messages = 0, givenUp = 0 } = this.#options
    return new Side({
      ...{ name, random: this.random, address, streams, streamBytesMax, messages, givenUp },
      transmit: (side, bytes, remote) => this.#transmit(side, bytes, remote),
    })
  }

  #connect(
    side: Side,
    remote: Remote,
    originalDestination: Uint8Array,
    buffer: Uint8Array,
    peerId?: Uint8Array,
  ): IssuedId {
    const { security, limits, mtuMax, messages } = this.#options
    const terms = this.#terms
    const router = this.#router(side)
    const held = machineAccounts(terms, (term) => this.#open(term))
    const localId = router.issue()
    const own = { ...this.#limits, congestionWindowBytesMax: this.#limits.connectionSendBytesMax }
    const keys = { protocol: PROTOCOL, expected: KEYS[1]!.id, keyPair: KEYS[0]! }
    const options = {
      ...{ security, random: this.random, remote, validated: false, router, localId, buffer },
      ...(mtuMax ? { mtuMax } : {}),
      ...(peerId ? { peerId } : {}),
      role: peerId ? ('server' as const) : ('client' as const),
      originalDestination,
      tls: (parameters: Uint8Array) =>
        peerId
          ? security.server({ keyPair: KEYS[1]!, protocols: [PROTOCOL], parameters })
          : security.client({ ...keys, parameters }),
      shared: held.shared,
      limits: limits?.congestion ? { ...own, congestion: limits.congestion } : own,
      accounts: {
        ...held.accounts,
        ...(messages
          ? { datagrams: { in: this.#open(MESSAGE_TERMS.in), out: this.#open(MESSAGE_TERMS.out) } }
          : {}),
      },
    }
    side.machine = new ConnectionMachine(options, instant(this.now))
    return localId
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
      expectReset: (token: string) => void this.#resets.set(token, side),
      forgetReset: (token: string) => void this.#resets.delete(token),
    }
  }
}
