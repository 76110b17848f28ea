/**
 * The connections to one cluster: the one that was used last is used next, so that those that are not needed grow old
 * and are closed; requests that find none wait in the order in which they came.
 *
 * Memory: at most `connectionsMax` connections, which whoever opens the pool has charged.
 */
import type { SecureContext } from 'node:tls'
import type { Clock, Timer } from 'weir-mesh/runtime'
import { Chain } from './chain.ts'
import { Connection, type ConnectionOwner } from './connection.ts'
import type { Exchange } from './exchange.ts'

export interface ConnectionPoolOptions {
  readonly clock: Clock
  readonly host: string
  readonly port: number
  readonly connectionsMax: number
  /** Absent for plain TCP. */
  readonly tls?: { readonly serverName: string; readonly insecure: boolean } | undefined
}

const CONNECT_MS_MAX = 10_000
/** API servers keep an idle connection for 90 s, balancers in between at least for 60. */
const IDLE_MS_MAX = 50_000
/** What a burst leaves is closed sooner, but for these. */
const SPARE_MAX = 4
const SPARE_IDLE_MS_MAX = 5_000

export class ConnectionPool implements ConnectionOwner {
  readonly #options: ConnectionPoolOptions
  readonly #all = new Chain<Connection>()
  readonly #idle = new Chain<Connection>()
  readonly #waiting = new Chain<Exchange>()
  #connecting = 0
  #context: SecureContext | undefined
  #session: Buffer | undefined
  #sweep: Timer | undefined
  #closed: Error | undefined

  constructor(options: ConnectionPoolOptions) {
    this.#options = options
  }

  /** Connections that are open or being opened. */
  get size(): number {
    return this.#all.size
  }

  /** The certificates of new connections. Those that were made with others end with the exchange that they carry. */
  use(context: SecureContext): void {
    if (context === this.#context) return
    this.#context = context
    this.#session = undefined
    for (const connection of this.#all) if (connection.context !== context) connection.retire()
  }

  /** Sends a request as soon as there is a connection for it. */
  send(exchange: Exchange): void {
    if (this.#closed) return exchange.broken(this.#closed, false)
    const connection = this.#fresh()
    if (connection) return connection.start(exchange)
    exchange.link = this.#waiting.push(exchange)
    this.#dial()
  }

  /** Gives up a request. */
  cancel(exchange: Exchange, error: Error): void {
    this.#waiting.remove(exchange.link)
    exchange.stop(error)
  }

  /** Ends all connections and all requests. */
  close(error: Error): void {
    if (this.#closed) return
    this.#closed = error
    this.#sweep?.cancel()
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      next.broken(error, false)
    }
    for (let next = this.#all.first; next; next = this.#all.first) next.abort(error)
  }

  ready(connection: Connection, first: boolean): void {
    if (first) this.#connecting--
    const next = this.#waiting.shift()
    if (next) return connection.start(next)
    connection.idleLink = this.#idle.push(connection)
    this.#sweep ??= this.#options.clock.start(SPARE_IDLE_MS_MAX, () => this.#sweepIdle())
  }

  gone(connection: Connection, error: unknown): void {
    this.#all.remove(connection.link)
    this.#idle.remove(connection.idleLink)
    if (connection.connecting) {
      this.#connecting--
      // Each connection that cannot be made fails one request, the oldest, so that none waits for what never comes.
      if (error !== undefined) this.#waiting.shift()?.broken(error, false)
    }
    this.#dial()
  }

  session(connection: Connection, session: Buffer): void {
    if (connection.context === this.#context) this.#session = session
  }

  #fresh(): Connection | undefined {
    for (let next = this.#idle.pop(); next; next = this.#idle.pop()) {
      if (!next.stale) return next
      next.destroy()
    }
    return undefined
  }

  #dial(): void {
    const { connectionsMax } = this.#options
    while (
      !this.#closed &&
      this.#waiting.size > this.#connecting &&
      this.#all.size < connectionsMax
    ) {
      try {
        const connection = this.#open()
        connection.link = this.#all.push(connection)
        this.#connecting++
      } catch (error) {
        this.#waiting.shift()?.broken(error, false)
      }
    }
  }

  #open(): Connection {
    const { tls, clock, host, port } = this.#options
    const context = this.#context
    return new Connection(this, {
      clock,
      host,
      port,
      connectMsMax: CONNECT_MS_MAX,
      idleMsMax: IDLE_MS_MAX,
      tls: tls && context ? { ...tls, context, session: this.#session } : undefined,
    })
  }

  /** Closes what has been idle for too long; the oldest come first. */
  #sweepIdle(): void {
    this.#sweep = undefined
    for (let oldest = this.#idle.first; oldest; oldest = this.#idle.first) {
      const spare = this.#idle.size > SPARE_MAX && oldest.idleMs >= SPARE_IDLE_MS_MAX
      if (!spare && !oldest.stale) break
      oldest.destroy()
    }
    if (this.#idle.size === 0) return
    this.#sweep = this.#options.clock.start(SPARE_IDLE_MS_MAX, () => this.#sweepIdle())
  }
}
