/** Endpoints on loopback for tests, strangers who send what they like, and a network in between that can be broken. */
import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLedger } from '../../testing/index.ts'
import type { Ledger, LedgerRow } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { type Counters, isWeirError, type Scope, seededRandom } from '../runtime/index.ts'
import {
  type Address,
  type Connection,
  type Endpoint,
  FixedAddresses,
  type Incoming,
  parseAddress,
  type TransportLimits,
  type TransportOptions,
} from '../transport/index.ts'
import type { QuicLimits } from './memory.ts'
import { writeIds } from './packet/header.ts'
import type { QuicSecurity } from './security.ts'
import { toySecurity } from './toy-tls.fixture.ts'
import { quicTransportOf } from './transport.ts'

export const PROTOCOL = new Uint8Array(32).fill(7)

export interface Setting {
  readonly a: Endpoint
  readonly b: Endpoint
  readonly scope: Scope
  readonly ledger: Ledger
  readonly counters: Counters
  connect(): Promise<[Connection, Connection]>
  /** One endpoint more under the same ledger. */
  open(options?: Partial<TransportOptions>): Promise<Endpoint>
  row(term: string): LedgerRow
}

export interface EndpointsOptions {
  readonly limits?: Partial<TransportLimits>
  readonly own?: Partial<QuicLimits>
  readonly security?: QuicSecurity
}

export async function withEndpoints(
  { limits = {}, own = {}, security = toySecurity() }: EndpointsOptions,
  run: (setting: Setting) => Promise<void>,
): Promise<void> {
  const planned = quicTransportOf(security, own).plan({ endpointsMax: 2, ...limits })
  await withLedger(planned.terms, async (ledger, scope, { counters }) => {
    const open = (options: Partial<TransportOptions> = {}) =>
      planned.open({
        ...{ scope, ledger, keyPair: KeyPair.generate(), protocols: [PROTOCOL] },
        lookup: new FixedAddresses([]),
        ...options,
      })
    const [a, b] = [await open(), await open()]
    const connect = (): Promise<[Connection, Connection]> => {
      const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      return Promise.all([dial, next(b).then((incoming) => incoming.accept())])
    }
    const row = (name: string) => [...ledger.rows()].find(({ term }) => term.name === name)!
    await run({ a, b, scope, ledger, counters, connect, open, row })
    await a.close()
    await b.close()
  })
}

export async function next(endpoint: Endpoint): Promise<Incoming> {
  for await (const incoming of endpoint.incoming) return incoming
  throw new Error('the endpoint closed')
}

/** Accepts whoever asks. @returns those who are in. */
export function acceptAll(endpoint: Endpoint): Connection[] {
  const accepted: Connection[] = []
  void (async () => {
    for await (const incoming of endpoint.incoming) {
      incoming.accept().then(
        (connection) => accepted.push(connection),
        () => {},
      )
    }
  })()
  return accepted
}

/** Sends bytes over a stream of its own and compares what arrives. */
export async function exchange(out: Connection, into: Connection, length = 5_000): Promise<void> {
  const bytes = seededRandom(length).bytes(length)
  const send = await out.openUni()
  const write = send.write(bytes).then(() => send.finish())
  const parts: Uint8Array[] = []
  for await (const part of await into.acceptUni()) parts.push(part)
  await write
  assert.deepEqual(Buffer.concat(parts), Buffer.from(bytes))
}

export async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let step = 0; step < 1_000; step++) {
    if (holds()) return
    await sleep(5)
  }
  assert.fail(`in five seconds it did not come to this: ${what}`)
}

export const limited = (scope: string) => (error: unknown) => {
  assert.ok(isWeirError(error, 'LIMIT'), String(error))
  assert.equal(error.limit?.scope, scope)
  return true
}

export const coded = (code: string) => (error: unknown) => {
  assert.ok(isWeirError(error, code), String(error))
  return true
}

/** The first datagram of a client that never says anything more, and nothing that could be opened. */
export function spoofedInitial(seed: number): Uint8Array {
  const random = seededRandom(seed)
  const bytes = random.bytes(1_200)
  bytes[0] = 0xc3
  let at = writeIds(bytes, 1, 1, random.bytes(8), random.bytes(8))
  bytes[at++] = 0
  bytes.set([0x44, 0x00], at)
  return bytes
}

/** A socket without QUIC; closed at the end of its block. */
export class Stranger implements AsyncDisposable {
  readonly #socket: Socket
  /** What came, oldest first; at most the last hundred. */
  readonly received: Uint8Array[] = []
  count = 0
  #sent = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (bytes) => {
      this.count++
      if (this.received.length < 100) this.received.push(bytes)
    })
  }

  static async open(host = '127.0.0.1', port = 0): Promise<Stranger> {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(port, host, resolve)
    })
    return new Stranger(socket)
  }

  get address(): Address {
    const { address, port } = this.#socket.address()
    return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
  }

  async send(bytes: Uint8Array, to: Address): Promise<void> {
    const { host, port } = parseAddress(to)
    await new Promise((resolve) => this.#socket.send(bytes, port, host, resolve))
    // Sent within the call: without a pause the other side would never read.
    if (++this.#sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()))
  }
}

/** A network with one server behind it, for one client: what passes can be dropped, and the client's address moved. */
export class Network implements AsyncDisposable {
  readonly #front: Socket
  #back: Socket
  readonly #server: { readonly host: string; readonly port: number }
  #client: { readonly address: string; readonly port: number } | undefined
  /** Whether a datagram passes. */
  passes: (bytes: Uint8Array, toServer: boolean) => boolean = () => true

  private constructor(front: Socket, back: Socket, server: Address) {
    this.#front = front
    this.#back = back
    this.#server = parseAddress(server)
    front.on('message', (bytes, from) => {
      this.#client = from
      if (!this.passes(bytes, true)) return
      this.#back.send(bytes, this.#server.port, this.#server.host)
    })
    this.#listen()
  }

  static async open(server: Address): Promise<Network> {
    return new Network(await bound(), await bound(), server)
  }

  get address(): Address {
    return `127.0.0.1:${this.#front.address().port}`
  }

  /** From now on the server sees the client at another port, as after a NAT has forgotten it. */
  async rebind(): Promise<void> {
    const old = this.#back
    this.#back = await bound()
    this.#listen()
    await new Promise<void>((resolve) => old.close(() => resolve()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [this.#front, this.#back]) {
      await new Promise<void>((resolve) => socket.close(() => resolve()))
    }
  }

  #listen(): void {
    this.#back.on('message', (bytes) => {
      if (!this.#client || !this.passes(bytes, false)) return
      this.#front.send(bytes, this.#client.port, this.#client.address)
    })
  }
}

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return socket
}
