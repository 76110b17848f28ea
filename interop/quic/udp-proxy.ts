/**
 * A bad network between one client and one server on loopback: it loses, doubles, delays and reorders datagrams, and
 * gives the client another address on demand, as a NAT does that has forgotten it.
 *
 * All is decided by one seed and the order of the datagrams. Memory: at most `HELD_MAX` datagrams that wait for their
 * time; those beyond are lost, and counted.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { type Random, seededRandom } from 'weir-mesh/runtime'
import { type Address, parseAddress } from 'weir-mesh/transport'

export interface Weather {
  readonly seed?: number
  /** Shares of all datagrams, 0 to 1. */
  readonly loss?: number
  readonly twice?: number
  /** Share that is held back for `holdMs`, so that later ones overtake. */
  readonly late?: number
  readonly holdMs?: number
  /** What each takes on its way. */
  readonly delayMs?: number
}

const HELD_MAX = 1_024

/** What happened to the datagrams of one direction. */
export interface Tally {
  came: number
  lost: number
  twice: number
  late: number
  overflow: number
}

const tally = (): Tally => ({ came: 0, lost: 0, twice: 0, late: 0, overflow: 0 })

export class UdpProxy implements AsyncDisposable {
  readonly toServer = tally()
  readonly toClient = tally()
  /** Those that came to the newest address of the client. */
  sinceMove = 0
  readonly #weather: Required<Weather>
  readonly #random: Random
  /** Undefined while nobody is there. */
  #server: { readonly host: string; readonly port: number } | undefined
  readonly #front: Socket
  #back: Socket
  #client: RemoteInfo | undefined
  readonly #held = new Set<NodeJS.Timeout>()
  #closed = false

  static async open(server: Address, weather: Weather = {}): Promise<UdpProxy> {
    const front = await bound()
    return new UdpProxy(parseAddress(server), weather, front, await bound())
  }

  private constructor(
    server: { readonly host: string; readonly port: number },
    weather: Weather,
    front: Socket,
    back: Socket,
  ) {
    this.#weather = { seed: 1, loss: 0, twice: 0, late: 0, holdMs: 4, delayMs: 0, ...weather }
    this.#random = seededRandom(this.#weather.seed)
    this.#server = server
    this.#front = front
    this.#back = back
    front.on('message', (bytes, from) => {
      this.#client = from
      this.#carry(bytes, this.toServer, (each) => this.#forth(each))
    })
    this.#listen(back)
  }

  /** What the client dials. */
  get address(): Address {
    return `127.0.0.1:${this.#front.address().port}`
  }

  /** How the server knows the client. */
  get clientAddress(): Address {
    return `127.0.0.1:${this.#back.address().port}`
  }

  /** Another server from now on, or none: then all is lost both ways. */
  serve(server: Address | undefined): void {
    this.#server = server === undefined ? undefined : parseAddress(server)
  }

  /** The client has another address from now on; what still goes to the old one is lost. */
  async move(): Promise<void> {
    const old = this.#back
    const fresh = await bound()
    this.#back = fresh
    this.sinceMove = 0
    this.#listen(fresh)
    old.removeAllListeners('message')
    old.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const timer of this.#held) clearTimeout(timer)
    this.#held.clear()
    this.#front.close()
    this.#back.close()
  }

  #listen(back: Socket): void {
    back.on('message', (bytes) => {
      this.sinceMove++
      this.#carry(bytes, this.toClient, (each) => this.#home(each))
    })
  }

  #forth(bytes: Uint8Array): void {
    if (this.#server) this.#back.send(bytes, this.#server.port, this.#server.host)
  }

  #home(bytes: Uint8Array): void {
    if (this.#client && this.#server)
      this.#front.send(bytes, this.#client.port, this.#client.address)
  }

  #carry(bytes: Uint8Array, tally: Tally, send: (bytes: Uint8Array) => void): void {
    const { loss, twice, late, holdMs, delayMs } = this.#weather
    tally.came++
    // Each is drawn for each datagram, so that one share does not change what another decides.
    const lost = this.#drawn(loss)
    const doubled = this.#drawn(twice)
    const held = this.#drawn(late)
    if (lost) {
      tally.lost++
      return
    }
    if (held) tally.late++
    this.#after(delayMs + (held ? holdMs : 0), bytes, tally, send)
    if (!doubled) return
    tally.twice++
    this.#after(delayMs + holdMs / 2, bytes, tally, send)
  }

  #drawn(share: number): boolean {
    return this.#random.below(10_000) < share * 10_000
  }

  #after(ms: number, bytes: Uint8Array, tally: Tally, send: (bytes: Uint8Array) => void): void {
    if (ms === 0) return send(bytes)
    if (this.#held.size >= HELD_MAX) {
      tally.overflow++
      return
    }
    const timer = setTimeout(() => {
      this.#held.delete(timer)
      if (!this.#closed) send(bytes)
    }, ms)
    this.#held.add(timer)
  }
}

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4')
  // What is unreachable now may be reachable later; datagrams may be lost anyway.
  socket.on('error', () => {})
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  // A burst of the fast side must not be lost to the small default: the weather alone decides.
  socket.setRecvBufferSize(4 * 1024 * 1024)
  return socket
}
