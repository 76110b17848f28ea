/**
 * The UDP sockets of an endpoint: one for each address family, the second one when it is first needed.
 *
 * `node:dgram` sends at once when the socket takes it, which is nearly always; then the buffer may be reused. What the
 * socket does not take waits in it with a buffer of its own, up to a cap; more is dropped, as any network may.
 *
 * Memory: `quic.datagrams`.
 */
import { createSocket, type Socket } from 'node:dgram'
import type { Account } from '../../bounds/index.ts'
import { type Scope, WeirError } from '../../runtime/index.ts'
import { type Address, formatAddress, type HostPort } from '../../transport/index.ts'
import type { Remote } from '../connection/path.ts'
import { QUEUED_DATAGRAMS_MAX } from '../memory.ts'

const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024

export class Sockets {
  readonly #scope: Scope
  readonly #received: (bytes: Uint8Array, remote: Remote) => void
  readonly #loopback: boolean
  #v4: Socket | undefined
  #v6: Socket | undefined
  #opening = false
  /** Datagrams that were dropped because a socket took no more. */
  dropped = 0

  private constructor(
    scope: Scope,
    loopback: boolean,
    received: (bytes: Uint8Array, remote: Remote) => void,
  ) {
    this.#scope = scope
    this.#loopback = loopback
    this.#received = received
  }

  /** @throws {WeirError} `ADDRESS_IN_USE`, `ADDRESS_INVALID` */
  static async open(
    scope: Scope,
    account: Account,
    listen: HostPort,
    received: (bytes: Uint8Array, remote: Remote) => void,
  ): Promise<Sockets> {
    account.require(0, QUEUED_DATAGRAMS_MAX + 1)
    scope.defer('datagrams', () => {
      account.give(0, QUEUED_DATAGRAMS_MAX + 1)
      account[Symbol.dispose]()
    })
    const loopback = listen.host === '::1' || listen.host.startsWith('127.')
    const sockets = new Sockets(scope, loopback, received)
    await sockets.#bind(listen)
    return sockets
  }

  get addresses(): readonly Address[] {
    const bound: Address[] = []
    for (const socket of [this.#v4, this.#v6]) {
      if (!socket) continue
      const { address, port } = socket.address()
      bound.push(formatAddress({ host: address, port }))
    }
    return Object.freeze(bound)
  }

  /** Makes sure that there is a socket of the family of an address. */
  async reach(remote: Remote): Promise<void> {
    const six = remote.host.includes(':')
    if ((six ? this.#v6 : this.#v4) || this.#opening) return
    this.#opening = true
    try {
      const any = six ? '::' : '0.0.0.0'
      const own = six ? '::1' : '127.0.0.1'
      await this.#bind({ host: this.#loopback ? own : any, port: 0 })
    } finally {
      this.#opening = false
    }
  }

  /** The buffer may be reused at once. */
  send(bytes: Uint8Array, length: number, remote: Remote): void {
    const socket = remote.host.includes(':') ? this.#v6 : this.#v4
    if (!socket) return
    try {
      const queued = socket.getSendQueueCount()
      if (queued >= QUEUED_DATAGRAMS_MAX) {
        this.dropped++
        return
      }
      // Behind others it waits, with bytes of its own. A first one that the socket does not take is sent with whatever
      // the buffer holds then: a datagram that fails to open, which is to say a lost one.
      const own = queued > 0
      socket.send(own ? bytes.slice(0, length) : bytes, 0, length, remote.port, remote.host, ignore)
    } catch {
      // The socket was closed; the network loses datagrams too.
      this.dropped++
    }
  }

  #bind({ host, port }: HostPort): Promise<void> {
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
        socket.close()
        reject(bindFailure(error, { host, port }))
      })
      socket.bind(port, host, () => {
        socket.removeAllListeners('error')
        socket.on('error', (error) => this.#scope.log.debug('a socket reports', { error }))
        socket.on('message', (bytes, info) => {
          this.#received(bytes, { host: info.address, port: info.port })
        })
        if (six) this.#v6 = socket
        else this.#v4 = socket
        this.#scope.defer('socket', () => {
          if (six) this.#v6 = undefined
          else this.#v4 = undefined
          return new Promise<void>((done) => socket.close(() => done()))
        })
        resolve()
      })
    })
  }
}

const ignore = () => {}

function bindFailure(error: NodeJS.ErrnoException, { host, port }: HostPort): WeirError {
  const address = formatAddress({ host, port })
  if (error.code === 'EADDRINUSE') {
    return new WeirError('ADDRESS_IN_USE', `somebody listens on ${address} already`, {
      cause: error,
    })
  }
  return new WeirError('ADDRESS_INVALID', `${address} cannot be bound`, { cause: error })
}
