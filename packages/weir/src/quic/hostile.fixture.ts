/**
 * An attacker with the keys of a connection: it makes a real handshake over a socket of its own and then sends frames
 * as it likes, sealed as they must be.
 */
import { createSocket, type Socket } from 'node:dgram'
import { Ledger, planMemory } from '../bounds/index.ts'
import { KeyPair, type NodeId } from '../core/index.ts'
import { instant, seededRandom, systemClock } from '../runtime/index.ts'
import { type Address, parseAddress, transportLimits } from '../transport/index.ts'
import { machineAccounts, noResets } from './accounts.fixture.ts'
import type {
  ConnectionEffects,
  ConnectionEnd,
  KeyPairOfLevel,
} from './connection/connection-options.ts'
import { ConnectionMachine } from './connection-machine.ts'
import { PROTOCOL } from './endpoint.fixture.ts'
import { quicLimits, quicTerms } from './memory.ts'
import { writeNumber } from './packet/header.ts'
import type { QuicSecurity } from './security.ts'

const limits = quicLimits(transportLimits({ connectionsMax: 1_024 }))
const terms = quicTerms(limits)
const FIRST_FORGED = 2 ** 20

/** A frame, written by the writer into a buffer of its own. */
export function frame(write: (bytes: Uint8Array) => number): Uint8Array {
  const bytes = new Uint8Array(1_200)
  return bytes.slice(0, write(bytes))
}

export interface AttackerOptions {
  readonly security: QuicSecurity
  readonly address: Address
  readonly node: NodeId
  readonly seed?: number
  /** Says hello and never anything more. */
  readonly mute?: boolean
  /** The address to send from. Default 127.0.0.1. */
  readonly host?: string
}

export class Attacker implements AsyncDisposable, ConnectionEffects {
  readonly #socket: Socket
  readonly #to: { readonly host: string; readonly port: number }
  readonly #mute: boolean
  readonly #machine: ConnectionMachine
  readonly #free: () => void
  #keys: KeyPairOfLevel | undefined
  #peerId: Uint8Array = new Uint8Array(0)
  #next = FIRST_FORGED
  #sent = 0
  #up = false
  /** How the server ended it. */
  end: ConnectionEnd | undefined
  /** Datagrams that came. */
  received = 0

  private constructor(socket: Socket, options: AttackerOptions) {
    this.#socket = socket
    this.#to = parseAddress(options.address)
    this.#mute = options.mute ?? false
    const random = seededRandom(options.seed ?? 1)
    const plan = planMemory(Object.values(terms), { limitBytes: Number.MAX_SAFE_INTEGER })
    const ledger = new Ledger(plan)
    const held = machineAccounts(terms, (term) => ledger.require(term))
    this.#free = () => held[Symbol.dispose]()
    const { security, node } = options
    const capturing: QuicSecurity = {
      ...security,
      levelKeys: (secrets) => {
        // The last ones are those of the application.
        this.#keys = security.levelKeys(secrets)
        return security.levelKeys(secrets)
      },
    }
    const localId = { bytes: random.bytes(8), token: random.bytes(16) }
    this.#machine = new ConnectionMachine(
      {
        ...{ role: 'client', security: capturing, random, validated: false, localId },
        ...{ accounts: held.accounts, shared: held.shared },
        tls: (parameters) =>
          security.client({
            ...{ keyPair: KeyPair.generate(), expected: node, protocol: PROTOCOL, parameters },
          }),
        remote: this.#to,
        router: { issue: () => undefined, retire: () => {}, ...noResets },
        originalDestination: random.bytes(16),
        limits: { ...limits, congestionWindowBytesMax: limits.connectionSendBytesMax },
        buffer: new Uint8Array(1_500),
      },
      instant(systemClock.now()),
    )
    socket.on('message', (bytes) => {
      this.received++
      if (this.#mute || this.end) return
      // The id that the server took for itself.
      if ((bytes[0]! & 0x80) !== 0) {
        const at = 7 + bytes[5]!
        this.#peerId = bytes.slice(at, at + bytes[at - 1]!)
      }
      this.#machine.receive(bytes, this.#to, instant(systemClock.now()), this)
      if (!this.end) this.#machine.flush(instant(systemClock.now()), this)
    })
    this.#machine.start(instant(systemClock.now()), this)
    this.#machine.flush(instant(systemClock.now()), this)
  }

  /** Does not wait for the handshake; see `up`. */
  static async open(options: AttackerOptions): Promise<Attacker> {
    const host = options.host ?? '127.0.0.1'
    const socket = createSocket('udp4')
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(0, host, resolve)
    })
    return new Attacker(socket, options)
  }

  /** Whether the handshake is through. */
  get up(): boolean {
    return this.#up
  }

  /** Sends what the machine of an honest client would send now. */
  wake(): void {
    if (!this.end) this.#machine.wake(instant(systemClock.now()), this)
  }

  /** Sends frames in a packet with this number, or the next one. */
  async forge(frames: Uint8Array, packetNumber = this.#next++): Promise<void> {
    const packet = new Uint8Array(13 + Math.max(frames.length, 4) + 16)
    packet[0] = 0x43
    packet.set(this.#peerId, 1)
    writeNumber(packet, 9, packetNumber, 4)
    packet.set(frames, 13)
    this.#keys!.write.seal(packet, 0, 13, packet.length - 16, packetNumber, 4)
    await this.raw(packet)
  }

  async raw(bytes: Uint8Array): Promise<void> {
    await new Promise((done) => this.#socket.send(bytes, this.#to.port, this.#to.host, done))
    // Sent within the call: without a pause the other side would never read.
    if (++this.#sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#machine[Symbol.dispose]()
    this.#free()
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()))
  }

  // Effects of the machine.

  send(bytes: Uint8Array, length: number): void {
    this.#socket.send(bytes.slice(0, length), this.#to.port, this.#to.host)
  }

  established(): void {
    this.#up = true
  }

  ended(end: ConnectionEnd): void {
    this.end = end
  }

  shown(): void {}
  readable(): void {}
  writable(): void {}
  stopped(): void {}
  granted(): void {}
  gone(): void {}
}
