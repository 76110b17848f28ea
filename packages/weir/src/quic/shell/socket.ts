/**
 * The UDP sockets of an endpoint: one for each address family, the second one when it is first needed.
 *
 * What goes wrong with a datagram is an event of the network like any other: it is counted, an address that the system
 * cannot reach is named to the endpoint, and no error ends a socket. Receiving needs no limit of its own: libuv reads at
 * most 32 datagrams before timers and other sockets have their turn.
 *
 * Memory: `quic.datagrams`, the slots of each socket; the receive buffers are the kernel's.
 */
import { createSocket, type Socket } from 'node:dgram'
import type { Account } from '../../bounds/index.ts'
import { type Counter, type Scope, WeirError } from '../../runtime/index.ts'
import { type Address, connectFailed, formatAddress, type HostPort } from '../../transport/index.ts'
import type { Remote } from '../connection/path.ts'
import { SendSlots } from './send-slots.ts'

const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
const DRAIN_MS = 200
const DRAIN_STEP_MS = 5

/** There is no way to the address, now or at all. Others are troubles of the moment, or the size of a probe. */
const UNREACHABLE: readonly string[] = Object.freeze([
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'EAFNOSUPPORT',
  'EACCES',
  'EPERM',
  'EINVAL',
  'ECONNREFUSED',
])

export interface SocketsOptions {
  readonly scope: Scope
  /** An account of `quic.datagrams`; it is closed with the scope. */
  readonly account: Account
  /** The buffer that every datagram is built in. */
  readonly buffer: Uint8Array
  received(bytes: Uint8Array, remote: Remote): void
  /** The system says that there is no way to this address. */
  unreachable(remote: Remote, code: string): void
}

interface Bound {
  readonly socket: Socket
  readonly slots: SendSlots
}

export class Sockets {
  readonly #options: SocketsOptions
  readonly #source: Buffer
  readonly #dropped: Counter
  readonly #errors: Counter
  #loopback = false
  #v4: Bound | undefined
  #v6: Bound | undefined
  #opening: Promise<void> | undefined

  private constructor(options: SocketsOptions) {
    const { scope, account, buffer } = options
    this.#options = options
    this.#source = Buffer.from(buffer.buffer, buffer.byteOffset, buffer.length)
    this.#dropped = scope.counters.counter(
      'quic_datagrams_dropped_total',
      'Datagrams that were not sent because the socket took no more, or was closed.',
    )
    this.#errors = scope.counters.counter(
      'quic_socket_errors_total',
      'Datagrams that the system refused to send, and errors of sockets.',
    )
    scope.own('datagrams', account)
  }

  /** @throws {WeirError} `ADDRESS_IN_USE`, `ADDRESS_INVALID` */
  static async open(options: SocketsOptions, listen: HostPort): Promise<Sockets> {
    const sockets = new Sockets(options)
    sockets.#loopback = listen.host === '::1' || listen.host.startsWith('127.')
    await sockets.#bind(listen)
    return sockets
  }

  get addresses(): readonly Address[] {
    const bound: Address[] = []
    for (const each of [this.#v4, this.#v6]) {
      if (!each) continue
      const { address, port } = each.socket.address()
      bound.push(formatAddress({ host: address, port }))
    }
    return Object.freeze(bound)
  }

  /**
   * Makes sure that there is a socket of the family of an address.
   *
   * @throws {WeirError} `CONNECT_FAILED` when the system has none.
   */
  async reach(remote: Remote): Promise<void> {
    const six = isSix(remote)
    while (this.#opening) await this.#opening.catch(ignore)
    if (six ? this.#v6 : this.#v4) return
    const any = six ? '::' : '0.0.0.0'
    const own = six ? '::1' : '127.0.0.1'
    this.#opening = this.#bind({ host: this.#loopback ? own : any, port: 0 })
    try {
      await this.#opening
    } catch (error) {
      throw connectFailed(`there is no socket for ${formatAddress(remote)}`, { cause: error })
    } finally {
      this.#opening = undefined
    }
  }

  /** Sends what is in the buffer, which may be reused at once. */
  send(length: number, remote: Remote): void {
    const bound = isSix(remote) ? this.#v6 : this.#v4
    const { port, host } = remote
    try {
      if (bound?.slots.send(bound.socket, this.#source, length, port, host, this.#sent)) return
    } catch {
      // The socket is being closed; the network loses datagrams too.
    }
    this.#dropped.add()
  }

  readonly #sent = (error: Error | null): void => {
    if (!error) return
    const { code, address, port } = error as NodeJS.ErrnoException & Partial<SendFailure>
    this.#errors.add()
    if (code === undefined || address === undefined || port === undefined) return
    if (UNREACHABLE.includes(code)) this.#options.unreachable({ host: address, port }, code)
  }

  #bind({ host, port }: HostPort): Promise<void> {
    const { scope, account } = this.#options
    const six = host.includes(':')
    const socket = createSocket({
      type: six ? 'udp6' : 'udp4',
      ipv6Only: six,
      recvBufferSize: RECEIVE_BUFFER_BYTES,
      // Addresses are literals: without a look-up the datagram leaves within the call.
      lookup: (hostname, _options, callback) => callback(null, hostname, six ? 6 : 4),
    })
    return new Promise((resolve, reject) => {
      socket.once('error', (error: NodeJS.ErrnoException) => {
        void closed(socket)
        reject(bindFailure(error, { host, port }))
      })
      socket.bind(port, host, () => {
        socket.removeAllListeners('error')
        try {
          this.#keep(socket, six, scope, account)
          resolve()
        } catch (error) {
          void closed(socket)
          reject(error)
        }
      })
    })
  }

  #keep(socket: Socket, six: boolean, scope: Scope, account: Account): void {
    const slots = new SendSlots(account, this.#source.length)
    scope.defer('socket', async () => {
      // Farewells that the socket has not taken yet are waited for a moment.
      const steps = DRAIN_MS / DRAIN_STEP_MS
      for (let step = 0; step < steps && socket.getSendQueueCount() > 0; step++) {
        await new Promise<void>((next) => scope.clock.start(DRAIN_STEP_MS, next))
      }
      if (six) this.#v6 = undefined
      else this.#v4 = undefined
      await closed(socket)
      slots[Symbol.dispose]()
    })
    socket.on('error', (error) => {
      this.#errors.add()
      scope.log.debug('a socket reports', { error })
    })
    socket.on('message', (bytes, info) => {
      this.#options.received(bytes, { host: info.address, port: info.port })
    })
    if (six) this.#v6 = { socket, slots }
    else this.#v4 = { socket, slots }
  }
}

interface SendFailure {
  readonly address: string
  readonly port: number
}

const ignore = () => {}
const isSix = (remote: Remote): boolean => remote.host.includes(':')

const closed = (socket: Socket): Promise<void> =>
  new Promise<void>((done) => socket.close(() => done()))

function bindFailure(error: NodeJS.ErrnoException, { host, port }: HostPort): WeirError {
  const address = formatAddress({ host, port })
  if (error.code === 'EADDRINUSE') {
    return new WeirError(
      'ADDRESS_IN_USE',
      `somebody listens on ${address} already; take another port`,
      {
        cause: error,
      },
    )
  }
  return new WeirError(
    'ADDRESS_INVALID',
    `${address} cannot be bound; take an address of this machine and a port that this user may have`,
    { cause: error },
  )
}
