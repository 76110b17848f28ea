/**
 * A small Kubernetes API in one process: TLS and a token on loopback, everything in memory.
 *
 * Memory: all that clients make it hold is charged to the terms of `memory.ts`; what does not fit is refused with 429,
 * or, when the store is full, with 500 and what to do.
 */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Account, Ledger } from 'weir-mesh/bounds'
import { describeError, type Random, type Scope, systemRandom, WeirError } from 'weir-mesh/runtime'
import type { JsonObject } from '../kube/index.ts'
import { type Identity, makeIdentity } from './certificate.ts'
import { OPEN_PATHS } from './documents.ts'
import { Exchange } from './exchange.ts'
import { errorOfFault, type Fault, type FaultHook } from './faults.ts'
import { Handler } from './handler.ts'
import { kubeconfigOf } from './kubeconfig.ts'
import type { ApiTerms } from './memory.ts'
import { Objects } from './objects.ts'
import type { PatienceOptions } from './patience.ts'
import { Registry, type ServedKind } from './registry.ts'
import { ApiError, unauthorized } from './status.ts'
import { Store } from './store.ts'

export interface ApiServerOptions {
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: ApiTerms
  /** `host:port`; port 0 takes a free one. Default `127.0.0.1:0`. */
  readonly listen?: string
  /** What clients send as bearer token. Default: 32 random bytes in hex. */
  readonly token?: string
  /** Key and certificate. Default: new ones. */
  readonly identity?: Identity
  /** How often a watch is told how far it has come. Default 3 000 ms; a real server does so about once a minute. */
  readonly bookmarkMs?: number
  /** A client that takes nothing of its answer for this long is cut. Default 30 000 ms. */
  readonly stuckMs?: number
  readonly random?: Random
  /** For tests. */
  readonly faults?: FaultHook
}

/** Core events that are kept; the oldest goes for a new one. */
const EVENTS_MAX = 1_024
const LAST_ANSWERS_MS = 500

export class ApiServer implements AsyncDisposable {
  readonly token: string
  readonly identity: Identity
  readonly #options: ApiServerOptions
  readonly #scope: Scope
  readonly #server: Server
  readonly #store: Store
  readonly #registry: Registry
  readonly #objects: Objects
  readonly #handler: Handler
  readonly #outgoing: Account
  readonly #connections: Account
  readonly #patience: PatienceOptions
  readonly #bearer: Buffer
  #url = ''
  #onNoConnection: (() => void) | undefined

  private constructor(options: ApiServerOptions, token: string, identity: Identity) {
    const { ledger, terms } = options
    const random = options.random ?? systemRandom
    this.#options = options
    this.token = token
    this.identity = identity
    this.#bearer = Buffer.from(`Bearer ${token}`, 'latin1')
    this.#scope = options.scope.child('api-server')
    const scope = this.#scope
    this.#outgoing = ledger.require(terms.outgoing)
    scope.defer('outgoing', () => this.#outgoing[Symbol.dispose]())
    this.#patience = {
      clock: scope.clock,
      stuckMs: options.stuckMs ?? 30_000,
      onStuck: () =>
        scope.counters
          .counter('api_answers_cut_total', 'Answers of which the client took nothing.')
          .add(),
    }
    this.#connections = ledger.require(terms.connections)
    scope.defer('connections', () => this.#connections[Symbol.dispose]())
    this.#store = new Store({
      objects: ledger.require(terms.objects),
      history: ledger.require(terms.history),
      random,
      firstRevision: scope.clock.wallMs(),
      onChange: () => this.#handler?.changed(),
    })
    scope.own('store', this.#store)
    this.#registry = scope.own('registry', new Registry(ledger.require(terms.kinds)))
    this.#objects = new Objects({
      store: this.#store,
      registry: this.#registry,
      clock: scope.clock,
      random,
      eventsMax: EVENTS_MAX,
    })
    this.#objects.begin()
    this.#handler = new Handler({
      store: this.#store,
      registry: this.#registry,
      objects: this.#objects,
      scope,
      random,
      watchers: ledger.require(terms.watchers),
      address: () => new URL(this.#url).host,
    })
    scope.own('handler', this.#handler)
    this.#server = createServer(
      {
        key: identity.key,
        cert: identity.certificate,
        minVersion: 'TLSv1.2',
        keepAliveTimeout: 75_000,
        headersTimeout: 10_000,
        requestTimeout: 60_000,
        maxHeaderSize: 16 * 1024,
        connectionsCheckingInterval: 5_000,
      },
      (request, response) => this.#accept(request, response),
    )
    this.#server.maxConnections = terms.connections.entriesMax
    this.#watchConnections()
    scope.every('bookmarks', options.bookmarkMs ?? 3_000, () => this.#handler.bookmark())
  }

  /**
   * Starts a server.
   *
   * @throws {WeirError} `API_LISTEN` when the port is taken.
   */
  static async open(options: ApiServerOptions): Promise<ApiServer> {
    const random = options.random ?? systemRandom
    const { host, port } = parseListen(options.listen ?? '127.0.0.1:0')
    const token = options.token ?? Buffer.from(random.bytes(32)).toString('hex')
    const identity = options.identity ?? (await makeIdentity(host, options.scope.clock.wallMs()))
    const server = new ApiServer(options, token, identity)
    try {
      await server.#listen(host, port)
    } catch (error) {
      await server.close()
      throw new WeirError('API_LISTEN', `cannot listen on ${host}:${port}; choose another port`, {
        cause: error,
      })
    }
    return server
  }

  get url(): string {
    return this.#url
  }

  /** How many watches are open. */
  get watchers(): number {
    return this.#handler.watchers
  }

  /** How many objects are kept. */
  get size(): number {
    return this.#store.size
  }

  /** A kubeconfig for this server, with its certificate and token; it is JSON, which is YAML too. */
  kubeconfig(options: { readonly name?: string; readonly namespace?: string } = {}): string {
    return kubeconfigOf({
      server: this.#url,
      token: this.token,
      certificate: this.identity.certificate,
      ...options,
    })
  }

  /** Creates a CustomResourceDefinition, or replaces the one of its name. */
  define(definition: JsonObject): void {
    const served = this.#registry.find('apiextensions.k8s.io', 'v1', 'customresourcedefinitions')
    const options = { dryRun: false, fieldValidation: 'Ignore' as const, warnings: [] }
    this.#objects.apply(served as ServedKind, '', definition, options)
  }

  /** Forgets the history: every watch from an old version is answered with 410. */
  compact(): void {
    this.#store.compact()
  }

  /** For tests: cuts the connection of every watch. */
  cutWatches(): void {
    this.#handler.eachWatch((watcher) => watcher.cut())
  }

  /** For tests: ends every watch in an orderly way, as after its timeout. */
  endWatches(): void {
    this.#handler.eachWatch((watcher) => watcher.end())
  }

  /** For tests: no open watch says anything more. */
  stallWatches(): void {
    this.#handler.eachWatch((watcher) => watcher.stall())
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    const address = this.#server.address() as AddressInfo
    const shown = host.includes(':') ? `[${host}]` : host
    this.#url = `https://${shown}:${address.port}`
    this.#scope.defer('server', () => this.#end())
  }

  /** Ends watches in an orderly way, gives running answers a moment, and waits for the last socket. */
  async #end(): Promise<void> {
    this.#handler.eachWatch((watcher) => watcher.end())
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    const timer = this.#scope.clock.start(LAST_ANSWERS_MS, () => this.#server.closeAllConnections())
    await closed
    timer.cancel()
    // The server counts TLS sessions; what we count are sockets, and they close a little later.
    if (this.#connections.entries > 0) {
      await new Promise<void>((resolve) => {
        this.#onNoConnection = resolve
      })
    }
    // Answers learn of the end of their socket one turn after it.
    await new Promise<void>((resolve) => setImmediate(resolve))
  }

  #watchConnections(): void {
    this.#server.on('connection', (socket) => {
      if (this.#connections.take(0, 1) !== 'ok') {
        socket.destroy()
        return
      }
      socket.setNoDelay(true)
      socket.once('close', () => {
        this.#connections.give(0, 1)
        if (this.#connections.entries === 0) this.#onNoConnection?.()
      })
    })
    // A client that breaks off or speaks something else is its own affair; it must not end the server.
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy())
    this.#server.on('clientError', (_error, socket) => socket.destroy())
    this.#server.on('error', (error) => {
      this.#scope.log.error('the API server failed', { error: describeError(error) })
    })
  }

  #accept(request: IncomingMessage, response: ServerResponse): void {
    request.on('error', () => {})
    response.on('error', () => {})
    if (this.#scope.closed) {
      response.destroy()
      return
    }
    const { ledger, terms } = this.#options
    const account = ledger.open(terms.requests)
    if (account?.take(0, 1) !== 'ok') {
      account?.[Symbol.dispose]()
      response.setHeader('retry-after', '1')
      response.statusCode = 429
      response.setHeader('connection', 'close')
      response.end()
      return
    }
    const accounts = { request: account, outgoing: this.#outgoing }
    const exchange = new Exchange(request, response, accounts, this.#patience)
    this.#scope.spawn('request', async () => {
      try {
        await this.#answer(exchange)
      } catch (error) {
        this.#report(exchange, error)
        exchange.fail(error)
      } finally {
        account.give(account.bytes, account.entries)
        account[Symbol.dispose]()
      }
    })
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { method, path, query } = exchange
    if (!OPEN_PATHS.includes(path) && !this.#isAuthorized(exchange.request)) throw unauthorized()
    const watch = query.get('watch') === 'true' || query.get('watch') === '1'
    const fault = this.#options.faults?.({ method, path, query, watch })
    if (fault && (await this.#hurt(exchange, fault, watch))) return
    await this.#handler.handle(exchange, fault)
  }

  /** @returns whether the fault was the answer. */
  async #hurt(exchange: Exchange, fault: Fault, watch: boolean): Promise<boolean> {
    if (fault.delayMs !== undefined) await this.#scope.sleep(fault.delayMs)
    if (fault.hangUp) {
      exchange.response.destroy()
      return true
    }
    const error = errorOfFault(fault)
    if (!error || (watch && fault.status === 410)) return false
    exchange.fail(error, fault.retryAfter)
    return true
  }

  /** The time that this takes tells how long the token is, and nothing else of it. */
  #isAuthorized(request: IncomingMessage): boolean {
    const given = Buffer.from(request.headers.authorization ?? '', 'latin1')
    return given.length === this.#bearer.length && timingSafeEqual(given, this.#bearer)
  }

  #report(exchange: Exchange, error: unknown): void {
    if (error instanceof ApiError || this.#scope.closed) return
    if (exchange.response.destroyed) return // the client has gone
    this.#scope.log.error('a request failed', {
      method: exchange.method,
      path: exchange.path.slice(0, 200),
      error: describeError(error),
    })
  }
}

function parseListen(listen: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:]+)):(\d{1,5})$/.exec(listen)
  const port = Number(match?.[3])
  if (!match || port > 65_535) {
    throw new WeirError('API_LISTEN', `'${listen.slice(0, 100)}' is not of the form HOST:PORT`)
  }
  return { host: match[1] ?? (match[2] as string), port }
}
