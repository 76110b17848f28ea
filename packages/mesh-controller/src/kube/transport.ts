/**
 * HTTP to one cluster: one keep-alive agent, a deadline for each answer to begin, and the wait that a busy server
 * asks for. Knows nothing of objects.
 *
 * Memory: `socketsMax + streamsMax` sockets, charged when the transport opens, because they are a promise to the agent;
 * requests that wait for one are charged by the caller, who owns their answers.
 */
import type { Agent as HttpAgent, IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { SecureContext } from 'node:tls'
import type { Account } from 'weir-mesh/bounds'
import { onAbort, type Random, type Scope, throwIfAborted } from 'weir-mesh/runtime'
import type { ClusterConfig } from './cluster-config.ts'
import { Credentials } from './credentials.ts'
import { KubeError, retryAfterOf, unreachable } from './errors.ts'

// An import statement would read every name that node:http exports, and with them load undici and more: 6 MB.
const http = process.getBuiltinModule('node:http')

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Path below the server's URL, with the query. */
  readonly path: string
  readonly body?: string
  readonly contentType?: string
  readonly accept?: string
  /** The answer must begin within this time, waits and tries included. Default 30 000 ms. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal | undefined
}

/** Lets a test fail or hold a request: called before each attempt. */
export type RequestFault = (call: Call) => Promise<void> | void

export interface TransportOptions {
  readonly config: ClusterConfig
  readonly scope: Scope
  readonly random: Random
  readonly sockets: Account
  readonly userAgent: string
  readonly fault?: RequestFault
}

const DEADLINE_MS = 30_000
const WAIT_MS_FIRST = 1_000

export class Transport {
  readonly #options: TransportOptions
  readonly #base: URL
  readonly #credentials: Credentials
  readonly #secure: boolean
  #agent: HttpAgent | undefined
  #context: SecureContext | undefined

  constructor(options: TransportOptions) {
    this.#options = options
    this.#base = new URL(options.config.server)
    this.#secure = this.#base.protocol === 'https:'
    this.#credentials = new Credentials(options.config, options.scope.clock)
    const { sockets, scope } = options
    const count = sockets.term.entriesMax
    sockets.require(0, count)
    scope.defer('sockets', () => {
      this.#agent?.destroy()
      sockets.give(0, count)
      sockets[Symbol.dispose]()
    })
  }

  /**
   * Sends a request and resolves when the answer begins. 429 and 503 with `Retry-After` are tried again within the
   * deadline, and so is a read whose kept-alive connection had been closed by the server.
   */
  async send(call: Call): Promise<IncomingMessage> {
    const { clock } = this.#options.scope
    const endsAt = clock.now() + (call.deadlineMs ?? DEADLINE_MS) * 1000
    let tries = 0
    let renewed = false
    while (true) {
      throwIfAborted(this.#options.scope.signal)
      throwIfAborted(call.signal)
      const leftMs = (endsAt - clock.now()) / 1000
      if (leftMs <= 0) throw late(call)
      await this.#options.fault?.(call)
      const answer = await this.#attempt(call, leftMs, tries)
      if (!answer) {
        tries++
        continue
      }
      const waitMs = this.#waitMs(answer, tries)
      if (waitMs !== undefined && clock.now() + waitMs * 1000 < endsAt) {
        answer.destroy()
        tries++
        await this.#sleep(waitMs, call.signal)
        continue
      }
      if (answer.statusCode === 401 && !renewed && this.#credentials.rejected()) {
        answer.destroy()
        renewed = true
        continue
      }
      return answer
    }
  }

  /** How long to wait before the same request is sent again; undefined when the answer stands. */
  #waitMs(answer: IncomingMessage, tries: number): number | undefined {
    if (answer.statusCode !== 429 && answer.statusCode !== 503) return undefined
    const asked = retryAfterOf(answer.headers['retry-after'])
    if (asked === undefined) return undefined
    // Spread by up to a half, so that clients that were refused together do not come back together.
    const base = Math.max(asked, Math.min(WAIT_MS_FIRST * 2 ** tries, 8_000) / 4)
    return base + this.#options.random.below(Math.ceil(base / 2) + 1)
  }

  /** @returns undefined when the connection turned out to be closed and the request may be sent once more. */
  async #attempt(call: Call, leftMs: number, tries: number): Promise<IncomingMessage | undefined> {
    const { scope, config, userAgent } = this.#options
    const authorization = await this.#credentials.authorization()
    const agent = await this.#agentNow()
    const { body } = call
    throwIfAborted(scope.signal)
    throwIfAborted(call.signal)
    return new Promise((resolve, reject) => {
      const request = (this.#secure ? httpsRequest : http.request)({
        agent,
        host: this.#base.hostname.replace(/^\[|\]$/g, ''),
        port: this.#base.port || (this.#secure ? 443 : 80),
        method: call.method,
        path: this.#base.pathname.replace(/\/$/, '') + call.path,
        ...(config.tlsServerName ? { servername: config.tlsServerName } : {}),
        headers: {
          accept: call.accept ?? 'application/json',
          'user-agent': userAgent,
          ...(authorization ? { authorization } : {}),
          ...(body === undefined
            ? {}
            : {
                'content-type': call.contentType ?? 'application/json',
                'content-length': Buffer.byteLength(body),
              }),
        },
      })
      const end = (error: Error) => {
        release()
        request.destroy()
        reject(error)
      }
      const timer = scope.clock.start(leftMs, () => end(late(call)))
      const closed = onAbort(scope.signal, () => end(closedError(call)))
      const aborted = onAbort(call.signal, () => end(closedError(call)))
      const release = () => {
        timer.cancel()
        closed[Symbol.dispose]()
        aborted[Symbol.dispose]()
      }
      // Stays attached: a request reports once more when its answer breaks off, and unheard that would be fatal.
      request.on('error', (error) => {
        release()
        const code = (error as NodeJS.ErrnoException).code
        const stale = request.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE')
        if (stale && call.method === 'GET' && tries < 2) resolve(undefined)
        else reject(unreachable(describe(call), error))
      })
      request.once('response', (answer) => {
        release()
        answer.on('error', () => {}) // whoever reads the body hears it there; nobody else needs to
        resolve(answer)
      })
      // As a string it leaves with the header in one write.
      if (body === undefined) request.end()
      else request.end(body, 'utf8')
    })
  }

  async #agentNow(): Promise<HttpAgent> {
    const { sockets, config } = this.#options
    const options = {
      keepAlive: true,
      keepAliveMsecs: 3_000,
      maxSockets: sockets.term.entriesMax,
      maxFreeSockets: 4,
      scheduling: 'lifo' as const,
      timeout: 0,
    }
    if (!this.#secure) {
      this.#agent ??= new http.Agent(options)
      return this.#agent
    }
    const context = await this.#credentials.secureContext()
    if (this.#agent && context === this.#context) return this.#agent
    const before = this.#agent as HttpsAgent | undefined
    this.#context = context
    this.#agent = new HttpsAgent({
      ...options,
      maxCachedSessions: 8,
      secureContext: context,
      ...(config.insecureSkipTlsVerify ? { rejectUnauthorized: false } : {}),
    })
    if (before) retire(before)
    return this.#agent
  }

  async #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { scope } = this.#options
    await new Promise<void>((resolve, reject) => {
      const end = () => {
        timer.cancel()
        closed[Symbol.dispose]()
        aborted[Symbol.dispose]()
      }
      const stop = () => {
        end()
        reject(new KubeError('CLOSED', 'the wait for the cluster was aborted'))
      }
      const timer = scope.clock.start(ms, () => {
        end()
        resolve()
      })
      const closed = onAbort(scope.signal, () => queueMicrotask(stop))
      const aborted = onAbort(signal, () => queueMicrotask(stop))
    })
  }
}

/** Lets running requests of an agent with old certificates end, and keeps none of its sockets. */
function retire(agent: HttpsAgent): void {
  ;(agent as unknown as { keepAlive: boolean }).keepAlive = false
  for (const list of Object.values(agent.freeSockets)) {
    for (const socket of list ?? []) socket.destroy()
  }
}

function describe(call: Call): string {
  const path = call.path.split('?', 1)[0]
  return `${call.method} ${path}`
}

function late(call: Call): KubeError {
  return new KubeError('KUBE_TIMEOUT', `${describe(call)}: no answer within the deadline`, {
    retryable: true,
  })
}

function closedError(call: Call): KubeError {
  return new KubeError('CLOSED', `${describe(call)}: aborted`)
}
