/**
 * HTTP to one cluster: kept connections, a deadline for each answer, and the wait that a busy server asks for. Knows
 * nothing of objects.
 *
 * Memory: `socketsMax + streamsMax` sockets, charged when the transport opens, because requests may use them at any
 * time; requests that run or wait for one, and answers, are charged to the account of the call.
 */
import type { Account } from 'weir-mesh/bounds'
import { onAbort, type Random, type Scope, type Timer, throwIfAborted } from 'weir-mesh/runtime'
import type { ClusterConfig } from './cluster-config.ts'
import { ConnectionPool } from './connection-pool.ts'
import { Credentials } from './credentials.ts'
import { KubeError } from './errors.ts'
import { type Answer, Exchange } from './exchange.ts'
import { type RequestLines, RequestText } from './request-text.ts'
import { StreamedBody } from './streamed-body.ts'

export interface Call extends RequestLines {
  /**
   * A whole answer must have come within this time, the answer of a list or watch must have begun; waits and tries
   * included. Default 30 000 ms.
   */
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
const TRIES_STALE_MAX = 2

export class Transport {
  readonly #options: TransportOptions
  readonly #requests: RequestText
  readonly #credentials: Credentials
  readonly #secure: boolean
  readonly #pool: ConnectionPool

  constructor(options: TransportOptions) {
    const { config, scope, sockets } = options
    const base = new URL(config.server)
    const host = base.hostname.replace(/^\[|\]$/g, '')
    this.#options = options
    this.#secure = base.protocol === 'https:'
    this.#requests = new RequestText(base, options.userAgent)
    this.#credentials = new Credentials(config, scope.clock)
    const count = sockets.term.entriesMax
    this.#pool = new ConnectionPool({
      clock: scope.clock,
      host,
      port: Number(base.port) || (this.#secure ? 443 : 80),
      connectionsMax: count,
      ...(this.#secure
        ? {
            tls: {
              serverName: config.tlsServerName ?? host,
              insecure: config.insecureSkipTlsVerify === true,
            },
          }
        : {}),
    })
    sockets.require(0, count)
    // At the abort and not in its turn among the items of the scope, whose tasks wait for answers.
    const aborted = onAbort(scope.signal, () => this.#pool.close(closedError('the cluster')))
    scope.defer('sockets', () => {
      aborted[Symbol.dispose]()
      this.#pool.close(closedError('the cluster'))
      sockets.give(0, count)
      sockets[Symbol.dispose]()
    })
  }

  /**
   * The whole answer. What it takes is charged to `account` and stays charged; whoever opened the account gives it
   * back. 429 and 503 with `Retry-After` are tried again within the deadline, and so is a read whose kept connection
   * had been closed by the server.
   *
   * @throws {KubeError} `KUBE_TIMEOUT`, `KUBE_UNREACHABLE`, `KUBE_HTTP_INVALID`, `KUBE_RESPONSE_TOO_LARGE`, `KUBE_BUSY`,
   *   `KUBE_CREDENTIALS`, `CLOSED`.
   */
  async send(call: Call, account: Account): Promise<Answer> {
    return (await this.#run(call, account, false)) as Answer
  }

  /** As `send`, but a success is handed over when it begins, and its body comes as it is read. */
  open(call: Call, account: Account): Promise<Answer | StreamedBody> {
    return this.#run(call, account, true)
  }

  async #run(call: Call, account: Account, streams: boolean): Promise<Answer | StreamedBody> {
    const { scope, fault } = this.#options
    throwIfAborted(scope.signal)
    throwIfAborted(call.signal)
    const endsAt = scope.clock.now() + (call.deadlineMs ?? DEADLINE_MS) * 1000
    let renewed = false
    const running = new Running(this.#pool, scope, call)
    try {
      for (let tries = 0; ; tries++) {
        const held = fault?.(call)
        if (held) await held
        const authorization = this.#credentials.authorization()
        const text = this.#requests.write(
          call,
          authorization instanceof Promise ? await running.until(authorization) : authorization,
        )
        if (this.#secure) {
          const context = this.#credentials.secureContext()
          this.#pool.use(context instanceof Promise ? await running.until(context) : context)
        }
        running.check()
        account.give(account.bytes)
        const repeatable = call.method === 'GET' && tries < TRIES_STALE_MAX
        const what = describeCall(call)
        const answer = await running.send(
          new Exchange({ what, text, account, streams, repeatable }),
        )
        if (!answer) continue
        if (answer instanceof StreamedBody) return answer
        const waitMs = this.#waitMs(answer, tries)
        if (waitMs !== undefined && scope.clock.now() + waitMs * 1000 < endsAt) {
          await running.sleep(waitMs)
        } else if (answer.status === 401 && !renewed && this.#credentials.rejected()) {
          renewed = true
        } else return answer
      }
    } finally {
      running[Symbol.dispose]()
    }
  }

  /** How long to wait before the same request is sent again; undefined when the answer stands. */
  #waitMs(answer: Answer, tries: number): number | undefined {
    if (answer.status !== 429 && answer.status !== 503) return undefined
    if (answer.retryAfterMs === undefined) return undefined
    // Spread by up to a half, so that clients that were refused together do not come back together.
    const base = Math.max(answer.retryAfterMs, Math.min(WAIT_MS_FIRST * 2 ** tries, 8_000) / 4)
    return base + this.#options.random.below(Math.ceil(base / 2) + 1)
  }
}

/** What can end a call before its answer: the deadline, its signal, the end of the scope. */
class Running implements Disposable {
  readonly #pool: ConnectionPool
  readonly #scope: Scope
  readonly #timer: Timer
  readonly #aborted: Disposable | undefined
  #exchange: Exchange | undefined
  #stopped: Error | undefined
  #wake: (() => void) | undefined

  constructor(pool: ConnectionPool, scope: Scope, call: Call) {
    this.#pool = pool
    this.#scope = scope
    this.#timer = scope.clock.start(call.deadlineMs ?? DEADLINE_MS, () => this.#stop(late(call)))
    if (call.signal) {
      this.#aborted = onAbort(call.signal, () => this.#stop(closedError(describeCall(call))))
    }
  }

  /** @throws when the call has ended. */
  check(): void {
    if (this.#stopped) throw this.#stopped
    throwIfAborted(this.#scope.signal)
  }

  async send(exchange: Exchange): Promise<Answer | StreamedBody | undefined> {
    this.#exchange = exchange
    this.#pool.send(exchange)
    const answer = await exchange.result
    this.#exchange = undefined
    return answer
  }

  /** Waits for files, which a system that hangs may never give: no longer than the call may take. */
  async until<T>(files: Promise<T>): Promise<T> {
    let closed: Disposable | undefined
    try {
      return await new Promise<T>((resolve, reject) => {
        const wake = () => {
          try {
            this.check()
          } catch (error) {
            reject(error)
          }
        }
        files.then(resolve, reject)
        closed = onAbort(this.#scope.signal, wake)
        this.#wake = wake
        wake()
      })
    } finally {
      this.#wake = undefined
      closed?.[Symbol.dispose]()
    }
  }

  async sleep(ms: number): Promise<void> {
    // What ended the call just before has found nobody to wake.
    this.check()
    const { clock, signal } = this.#scope
    await new Promise<void>((resolve) => {
      const timer = clock.start(ms, resolve)
      const closed = onAbort(signal, () => this.#wake?.())
      this.#wake = () => {
        timer.cancel()
        closed[Symbol.dispose]()
        resolve()
      }
    })
    this.#wake?.()
    this.#wake = undefined
    this.check()
  }

  [Symbol.dispose](): void {
    this.#timer.cancel()
    this.#aborted?.[Symbol.dispose]()
  }

  #stop(error: Error): void {
    this.#stopped ??= error
    if (this.#exchange) this.#pool.cancel(this.#exchange, error)
    this.#wake?.()
  }
}

/** The method and the path of a call, for messages. */
export function describeCall(call: Call): string {
  const path = call.path.split('?', 1)[0]
  return `${call.method} ${path}`
}

function late(call: Call): KubeError {
  return new KubeError('KUBE_TIMEOUT', `${describeCall(call)}: no answer within the deadline`, {
    retryable: true,
  })
}

function closedError(what: string): KubeError {
  return new KubeError('CLOSED', `${what}: aborted`)
}
