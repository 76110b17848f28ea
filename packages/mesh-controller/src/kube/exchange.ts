/**
 * One request and what comes back for it, on one connection: a short answer as a whole, or the begin of a long one.
 *
 * Memory: the request until it is answered; the answer, charged to `account` before it is kept. Whoever opened the
 * account gives back what was charged, when the answer is used.
 */
import type { Account } from 'weir-mesh/bounds'
import type { AnswerHead, AnswerSink } from './answer-parser.ts'
import type { Link } from './chain.ts'
import { KubeError, retryAfterOf, unreachable } from './errors.ts'
import { HeldBytes } from './held-bytes.ts'
import { type BodySource, StreamedBody } from './streamed-body.ts'

/** An answer that has come as a whole. */
export interface Answer {
  readonly status: number
  readonly retryAfterMs: number | undefined
  readonly text: string
}

export interface ExchangeOptions {
  /** For messages: the method and the path. */
  readonly what: string
  readonly text: string
  readonly account: Account
  /** Hand a success over when it begins. */
  readonly streams: boolean
  /** Whether the request may be sent again when a kept connection turns out to be closed. */
  readonly repeatable: boolean
}

export class Exchange implements AnswerSink {
  /** Undefined when the request may be sent once more, on another connection. */
  readonly result: Promise<Answer | StreamedBody | undefined>
  /** Its place while it waits for a connection. */
  link: Link<Exchange> | undefined
  readonly #options: ExchangeOptions
  #resolve!: (answer: Answer | StreamedBody | undefined) => void
  #reject!: (error: Error) => void
  #source: BodySource | undefined
  #head: AnswerHead | undefined
  #stream: StreamedBody | undefined
  /** A body so far, valid until the read is over. */
  #borrowed: Buffer | undefined
  #held: HeldBytes | undefined

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  get text(): string {
    return this.#options.text
  }

  /** Whether the reader of a long answer has enough for now. */
  get full(): boolean {
    return this.#stream?.full ?? false
  }

  /** It is being sent. */
  started(source: BodySource): void {
    this.#source = source
  }

  head(head: AnswerHead): void {
    this.#head = head
    const { streams, account } = this.#options
    if (streams && head.status >= 200 && head.status < 300) {
      this.#stream = new StreamedBody(head.status, this.#source as BodySource)
      this.#resolve(this.#stream)
    } else if (head.length !== undefined && head.length > account.term.payloadBytesMax) {
      this.#admit(account.take(head.length))
    }
  }

  body(bytes: Buffer): void {
    if (this.#stream) this.#stream.push(bytes)
    else if (!this.#held && !this.#borrowed) this.#borrowed = bytes
    else {
      this.keep()
      this.#append(bytes)
    }
  }

  /** A read is over and the answer is not: what came is copied, because the next read overwrites it. */
  keep(): void {
    const bytes = this.#borrowed
    if (!bytes) return
    this.#borrowed = undefined
    this.#held = new HeldBytes(this.#options.account)
    const { length } = this.#head as AnswerHead
    if (length !== undefined) this.#admit(this.#held.reserve(length))
    this.#append(bytes)
  }

  /** The answer has come as a whole. */
  completed(): void {
    this.#source = undefined
    if (this.#stream) return this.#stream.end()
    const head = this.#head as AnswerHead
    const bytes = this.#borrowed
    try {
      // What was held stays charged until the caller gives it back.
      if (bytes) this.#admit(this.#options.account.take(bytes.length))
    } catch (error) {
      return this.#reject(error as Error)
    }
    const body = bytes ?? this.#held?.bytes
    this.#borrowed = undefined
    this.#held = undefined
    this.#resolve({
      status: head.status,
      retryAfterMs: retryAfterOf(head.retryAfter),
      text: body === undefined ? '' : body.toString('utf8'),
    })
  }

  /**
   * The connection has ended before the answer did.
   *
   * @param stale it had been kept from an earlier request and no byte of the answer came: the server had closed it.
   */
  broken(error: unknown, stale: boolean): void {
    this.#source = undefined
    this.#borrowed = undefined
    this.#held = undefined
    if (stale && this.#options.repeatable) return this.#resolve(undefined)
    const reason = unreachable(this.#options.what, error)
    this.#stream?.broken(reason)
    this.#reject(reason)
  }

  /** Nobody waits for it any more. */
  stop(error: Error): void {
    const source = this.#source
    this.broken(error, false)
    source?.destroy()
  }

  #append(bytes: Buffer): void {
    this.#admit((this.#held as HeldBytes).append(bytes))
  }

  #admit(admission: ReturnType<Account['take']>): void {
    if (admission === 'ok') return
    throw new KubeError(
      admission === 'cap' ? 'KUBE_RESPONSE_TOO_LARGE' : 'KUBE_BUSY',
      `${this.#options.what}: the answer does not fit (${admission})`,
      { retryable: admission !== 'cap' },
    )
  }
}
