/**
 * One connection to the cluster: a socket, the parser of what it brings, and at most one exchange at a time.
 *
 * A byte that comes while no answer is due ends it, and so does an answer that is not HTTP, that is followed by more
 * than was asked for, or that came before its request had left.
 *
 * Memory: the socket, and an incomplete line of a header.
 */
import type { Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { type Clock, type Instant, msBetween, type Timer } from 'weir-mesh/runtime'
import { AnswerParser } from './answer-parser.ts'
import type { Link } from './chain.ts'
import { type DialOptions, dial } from './dial.ts'
import { KubeError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import type { BodySource } from './streamed-body.ts'

export interface ConnectionOptions extends Omit<DialOptions, 'read'> {
  readonly clock: Clock
  /** How long it may take until it is ready. */
  readonly connectMsMax: number
  /** How long it may be idle, when the server says nothing or more. */
  readonly idleMsMax: number
}

/** Who has the connection. */
export interface ConnectionOwner {
  /** It is ready for an exchange: the first, or the next. */
  ready(connection: Connection, first: boolean): void
  /** It has ended; `error` says why when it was never ready. */
  gone(connection: Connection, error: unknown): void
  session(connection: Connection, session: Buffer): void
}

export class Connection implements BodySource {
  /** Its places among all connections of its owner, and among the idle ones. */
  link: Link<Connection> | undefined
  idleLink: Link<Connection> | undefined
  /** The certificates that it was made with. */
  readonly context: SecureContext | undefined
  readonly #options: ConnectionOptions
  readonly #owner: ConnectionOwner
  readonly #socket: Socket
  readonly #parser = new AnswerParser()
  readonly #timer: Timer
  #exchange: Exchange | undefined
  #connecting = true
  #kept = false
  #paused = false
  #retired = false
  #closed = false
  #idleSince: Instant

  constructor(owner: ConnectionOwner, options: ConnectionOptions) {
    const { clock, connectMsMax, tls } = options
    this.#owner = owner
    this.#options = options
    this.context = tls?.context
    this.#idleSince = clock.now()
    const socket = dial({ ...options, read: (bytes) => this.#read(bytes) })
    this.#socket = socket
    socket.once(tls ? 'secureConnect' : 'connect', () => this.#connected())
    socket.once('end', () => this.#ended())
    socket.once('close', () => this.#lost(this.#early()))
    socket.on('error', (error) => this.#lost(error))
    if (tls) socket.on('session', (session: Buffer) => owner.session(this, session))
    this.#timer = clock.start(connectMsMax, () => this.#lost(slow(connectMsMax)))
  }

  /** Whether the connection is not ready yet. */
  get connecting(): boolean {
    return this.#connecting
  }

  /** For how long it has been idle, and whether that is too long for another request. */
  get idleMs(): number {
    return msBetween(this.#idleSince, this.#options.clock.now())
  }

  get stale(): boolean {
    return this.idleMs > Math.min(this.#parser.idleMs ?? Infinity, this.#options.idleMsMax)
  }

  /** Sends a request; only on a connection that is ready. */
  start(exchange: Exchange): void {
    this.#exchange = exchange
    this.#parser.begin()
    exchange.started(this)
    this.#socket.write(exchange.text, 'utf8')
  }

  resume(): void {
    if (!this.#paused || this.#closed) return
    this.#paused = false
    this.#socket.resume()
  }

  /** Lets the exchange that runs come to its end, and nothing after it. */
  retire(): void {
    this.#retired = true
    if (!this.#exchange) this.destroy()
  }

  /** Ends it at once; an exchange that runs is not told. */
  destroy(): void {
    this.#exchange = undefined
    this.#lost(undefined)
  }

  /** Ends it at once; an exchange that runs ends with `error`. */
  abort(error: Error): void {
    this.#lost(error)
  }

  #connected(): void {
    if (this.#closed) return
    this.#timer.cancel()
    this.#connecting = false
    if (this.#retired) this.#lost(undefined)
    else this.#owner.ready(this, true)
  }

  #read(bytes: Buffer): boolean {
    const exchange = this.#exchange
    if (!exchange) {
      this.#lost(undefined)
      return false
    }
    try {
      this.#parser.push(bytes, exchange)
      if (this.#parser.complete) this.#completed(exchange)
      else exchange.keep()
    } catch (error) {
      this.#lost(error)
    }
    this.#paused = this.#exchange?.full ?? false
    return !this.#paused
  }

  #completed(exchange: Exchange): void {
    this.#exchange = undefined
    exchange.completed()
    // A request that has not left as a whole would come in front of the next one.
    if (!this.#parser.persistent || this.#retired || this.#socket.writableLength > 0) {
      return this.#lost(undefined)
    }
    this.#kept = true
    this.#idleSince = this.#options.clock.now()
    this.resume()
    this.#owner.ready(this, false)
  }

  #ended(): void {
    const exchange = this.#exchange
    if (exchange && !this.#closed && this.#parser.end()) {
      this.#exchange = undefined
      exchange.completed()
    }
    this.#lost(this.#early())
  }

  /**
   * Why a connection counts as failed that the server ended before it was ready: as one that was not wanted any more, it
   * would be made again at once, and no request would fail.
   */
  #early(): Error | undefined {
    return this.#connecting
      ? new KubeError('KUBE_UNREACHABLE', 'the connection was closed before it was ready', {
          retryable: true,
        })
      : undefined
  }

  #lost(error: unknown): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer.cancel()
    const exchange = this.#exchange
    this.#exchange = undefined
    this.#socket.destroy()
    this.#owner.gone(this, error)
    exchange?.broken(error, this.#kept && !this.#parser.begun && isHangUp(error))
  }
}

function isHangUp(error: unknown): boolean {
  if (error === undefined) return true
  const { code } = error as NodeJS.ErrnoException
  return code === 'ECONNRESET' || code === 'EPIPE'
}

function slow(ms: number): KubeError {
  return new KubeError('KUBE_UNREACHABLE', `no connection to the cluster within ${ms} ms`, {
    retryable: true,
  })
}
