/**
 * A small HTTP server for probes, scrapes and the status.
 *
 * `/livez`, `/readyz` and `/metrics` answer everybody; `/status` needs the token. On a loopback address the Host header
 * must name it, or a page in a browser could read the answers through a name that points here.
 *
 * Memory: `observe.connections` and `observe.responses`; requests have no body, and their head is bounded.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type Account, type Ledger, limitError } from '../bounds/index.ts'
import {
  type Counters,
  type Heartbeats,
  type Random,
  type Scope,
  WeirError,
} from '../runtime/index.ts'
import { collectCounters, collectLedger, collectParts, collectProcess } from './collect.ts'
import { Exposition } from './exposition.ts'
import type { Health } from './health.ts'
import { type ObserveLimits, type ObserveTerms, REQUEST_HEAD_BYTES_MAX } from './memory.ts'
import type { Metrics } from './metrics.ts'
import { type Section, statusText } from './status.ts'

export interface StatusServerOptions {
  /** Owns the server; its clock, log and counters are used. */
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: Pick<ObserveTerms, 'connections' | 'responses'>
  readonly limits: ObserveLimits
  /** IP literal and port, as `parseAddress` gives them; port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number }
  readonly health: Health
  readonly heartbeats: Heartbeats
  readonly metrics?: Metrics
  /** For `/status`. Without one it is not served. */
  readonly token?: string
  readonly sections?: Readonly<Record<string, Section>>
}

interface Answer {
  readonly status: number
  readonly type: 'text/plain' | 'application/json'
  readonly text: string
  readonly headers?: Readonly<Record<string, string>>
}

const METRICS_PREFIX = 'weir_'

export class StatusServer {
  readonly host: string
  readonly port: number
  readonly #options: StatusServerOptions
  readonly #scope: Scope
  readonly #connections: Account
  readonly #responses: Account
  readonly #hosts: readonly string[] | undefined
  #drained: (() => void) | undefined

  /** @throws {WeirError} `PORT_TAKEN`, `LISTEN_FAILED` */
  static async open(options: StatusServerOptions): Promise<StatusServer> {
    const { limits, listen } = options
    // An import statement would read every name that node:http exports, and with them load undici and more: 6 MB.
    // And it is loaded by who opens one, not by who only plans.
    const { createServer } = process.getBuiltinModule('node:http')
    const server = createServer({
      maxHeaderSize: REQUEST_HEAD_BYTES_MAX,
      headersTimeout: limits.requestTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, limits.requestTimeoutMs),
      noDelay: true,
    })
    server.timeout = 2 * limits.requestTimeoutMs
    server.maxHeadersCount = 64
    server.maxRequestsPerSocket = 1_000
    await listening(server, listen)
    try {
      return new StatusServer(server, options)
    } catch (error) {
      server.close()
      throw error
    }
  }

  private constructor(server: Server, options: StatusServerOptions) {
    const { ledger, terms } = options
    this.#options = options
    this.#scope = options.scope.child('status server')
    this.host = options.listen.host
    this.port = (server.address() as AddressInfo).port
    this.#hosts = loopbackHosts(this.host, this.port)
    this.#connections = this.#scope.own('connections', ledger.require(terms.connections))
    this.#responses = this.#scope.own('responses', ledger.require(terms.responses))
    this.#scope.defer('server', () => this.#end(server))
    this.#scope.listen(server, 'connection', (socket: Socket) => this.#connected(socket))
    this.#scope.listen(server, 'request', (request: IncomingMessage, response: ServerResponse) =>
      this.#handle(request, response),
    )
    this.#scope.listen(server, 'clientError', (_error: Error, socket: Socket) => {
      this.#counter('status_bad_requests_total', 'Requests that could not be read.')
      if (!socket.writable) return void socket.destroy()
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
      // One that sends on, byte by byte, would hold the other half of the connection for ever.
      socket.destroySoon()
    })
  }

  /** Where it listens, as a URL without a path. */
  get url(): string {
    const host = this.host.includes(':') ? `[${this.host}]` : this.host
    return `http://${host}:${this.port}`
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #connected(socket: Socket): void {
    if (this.#connections.take(0, 1) !== 'ok') {
      socket.destroy()
      return
    }
    socket.once('close', () => {
      this.#connections.give(0, 1)
      if (this.#connections.entries === 0) this.#drained?.()
    })
  }

  /** A server counts itself closed before its sockets have told that they are. */
  async #end(server: Server): Promise<void> {
    await closed(server)
    if (this.#connections.entries === 0) return
    await new Promise<void>((resolve) => {
      this.#drained = resolve
    })
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    // Nothing here reads a body, so none may come.
    if (hasBody(request)) {
      response.shouldKeepAlive = false
      return send(request, response, text(413, 'a request has no body here'))
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return send(request, response, text(405, 'only GET and HEAD', { allow: 'GET, HEAD' }))
    }
    if (this.#hosts && !this.#hosts.includes((request.headers.host ?? '').toLowerCase())) {
      this.#counter('status_wrong_host_total', 'Requests for a Host that is not ours.')
      return send(request, response, text(421, 'this server does not answer for that Host'))
    }
    const room = this.#responses.take(0, 1)
    if (room !== 'ok') {
      const busy = limitError(this.#responses, room, 0).message
      return send(request, response, text(503, busy, { 'retry-after': '1' }))
    }
    response.once('close', () => this.#responses.give(0, 1))
    send(request, response, this.#answer(request))
  }

  #answer(request: IncomingMessage): Answer {
    const path = (request.url ?? '').split('?', 1)[0]
    switch (path) {
      case '/livez':
        return text(200, 'ok')
      case '/readyz': {
        const problems = this.#options.health.problems()
        if (problems.length === 0) return text(200, 'ok')
        return text(503, problems.map(({ part, reason }) => `${part}: ${reason}`).join('\n'))
      }
      case '/metrics':
        return this.#metricsAnswer()
      case '/status':
        return this.#statusAnswer(request)
      default:
        return text(404, 'there are /livez, /readyz, /metrics and /status')
    }
  }

  #metricsAnswer(): Answer {
    const { ledger, limits, metrics, heartbeats, health } = this.#options
    const exposition = new Exposition(limits.responseBytesMax, METRICS_PREFIX)
    collectCounters(exposition, this.#scope.counters)
    collectParts(exposition, heartbeats)
    collectProcess(exposition, health.loop)
    metrics?.write(exposition, (name, error) =>
      this.#scope.log.warn('a metric could not be read', { name, error }),
    )
    collectLedger(exposition, ledger)
    if (exposition.leftOut > 0) {
      this.#counter(
        'metrics_left_out_total',
        'Metric families that did not fit into an answer.',
        exposition.leftOut,
      )
    }
    return {
      status: 200,
      type: 'text/plain',
      text: exposition.text,
      headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
    }
  }

  #statusAnswer(request: IncomingMessage): Answer {
    const { token, limits } = this.#options
    if (token === undefined) {
      return text(404, 'the status is not served: the program was started without a status token')
    }
    if (!isToken(request.headers.authorization, token)) {
      this.#counter('status_unauthorized_total', 'Requests for the status without the token.')
      return text(401, 'send the token: Authorization: Bearer …', { 'www-authenticate': 'Bearer' })
    }
    const { ledger, health, sections } = this.#options
    const counters: Counters = this.#scope.counters
    return {
      status: 200,
      type: 'application/json',
      text: statusText(
        { ledger, counters, health, ...(sections ? { sections } : {}) },
        limits.responseBytesMax,
      ),
    }
  }

  #counter(name: string, help: string, by = 1): void {
    this.#scope.counters.counter(name, help).add(by)
  }
}

/** A token for `/status`: 32 random bytes, to be shown to the operator only. */
export function makeToken(random: Random): string {
  return Buffer.from(random.bytes(32)).toString('base64url')
}

function text(
  status: number,
  line: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { status, type: 'text/plain', text: `${line}\n`, headers }
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const body = Buffer.from(answer.text)
  response.writeHead(answer.status, {
    'content-type': `${answer.type}; charset=utf-8`,
    'content-length': String(body.length),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'",
    ...answer.headers,
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

const hasBody = (request: IncomingMessage): boolean =>
  request.headers['transfer-encoding'] !== undefined ||
  (request.headers['content-length'] ?? '0') !== '0'

/** Digests have one length, so that the time tells nothing about the token. */
function isToken(authorization: string | undefined, token: string): boolean {
  const given = /^Bearer ([\w.~+/=-]{1,256})$/i.exec(authorization ?? '')?.[1] ?? ''
  return timingSafeEqual(digest(given), digest(token))
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The values that a Host header may have; undefined when the address can be reached from outside. */
function loopbackHosts(host: string, port: number): readonly string[] | undefined {
  if (!(host.startsWith('127.') || host === '::1')) return undefined
  const names = [host.includes(':') ? `[${host}]` : host, 'localhost']
  return Object.freeze(names.map((name) => `${name}:${port}`))
}

function listening(server: Server, { host, port }: StatusServerOptions['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => reject(listenError(error, host, port))
    server.once('error', failed)
    server.listen({ host, port, backlog: 32 }, () => {
      server.off('error', failed)
      resolve()
    })
  })
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): WeirError {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  if (error.code === 'EADDRINUSE') {
    return new WeirError(
      'PORT_TAKEN',
      `another program listens on ${where}; stop it, or give the status server another port`,
      { cause: error },
    )
  }
  return new WeirError(
    'LISTEN_FAILED',
    `the status server cannot listen on ${where}; give it an address of this machine and a free port`,
    { cause: error },
  )
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
