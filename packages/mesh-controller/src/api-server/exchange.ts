/**
 * One request and its answer: reads the body within its account, and writes small answers.
 *
 * Memory: the body, charged to `api.requests`; the answer, charged to `api.outgoing` until the client took it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Account } from 'weir-mesh/bounds'
import { isWeirError } from 'weir-mesh/runtime'
import {
  checkKeys,
  isJsonObject,
  type Json,
  type JsonObject,
  parseJson,
  stringifyJson,
} from '../kube/index.ts'
import { Patience, type PatienceOptions } from './patience.ts'
import { Sender } from './sender.ts'
import { ApiError, badRequest, busy, internal, tooLarge, unsupportedType } from './status.ts'

export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly path: string
  readonly query: URLSearchParams
  readonly warnings: string[] = [] // tidy: containers: lives as long as one request, at most 20 lines
  readonly #account: Account
  readonly #outgoing: Account
  readonly #patience: PatienceOptions

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    accounts: { readonly request: Account; readonly outgoing: Account },
    patience: PatienceOptions,
  ) {
    this.request = request
    this.response = response
    this.#account = accounts.request
    this.#outgoing = accounts.outgoing
    this.#patience = patience
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2)
    this.path = path
    this.query = new URLSearchParams(query)
  }

  get method(): string {
    return this.request.method ?? 'GET'
  }

  /** The media type of the body, without parameters. */
  get mediaType(): string {
    return (this.request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  }

  /**
   * The body as JSON.
   *
   * @throws {ApiError} 413, 415 for a type that is not accepted, 400 for what is not JSON, 429 without memory for it.
   */
  async body(accepted: readonly string[]): Promise<Json> {
    if (!accepted.includes(this.mediaType)) throw unsupportedType(accepted, this.mediaType)
    const text = await this.#text()
    try {
      const value = parseJson(text)
      checkKeys(value)
      return value
    } catch (error) {
      if (isWeirError(error)) throw badRequest(error.message)
      throw error
    }
  }

  async object(accepted: readonly string[]): Promise<JsonObject> {
    const value = await this.body(accepted)
    if (isJsonObject(value)) return value
    throw badRequest('the body is not an object')
  }

  /** The body of a delete: it may be empty. */
  async options(): Promise<JsonObject> {
    const length = this.request.headers['content-length']
    if (length === '0' || (length === undefined && !this.request.headers['transfer-encoding'])) {
      return {}
    }
    const text = await this.#text()
    if (text.trim() === '') return {}
    if (this.mediaType !== '' && this.mediaType !== 'application/json') {
      throw unsupportedType(['application/json'])
    }
    try {
      const value = parseJson(text)
      return isJsonObject(value) ? value : {}
    } catch (error) {
      throw badRequest((error as Error).message)
    }
  }

  /** Begins an answer that is written in pieces. */
  begin(status: number, contentType = 'application/json'): Sender {
    this.#head(status, contentType)
    this.response.flushHeaders()
    return new Sender(this.response, this.#outgoing, this.#patience)
  }

  json(status: number, text: string, contentType = 'application/json'): void {
    // As text it leaves with the header in one write.
    this.send(status, `${text}\n`, contentType)
  }

  send(status: number, body: Buffer | string, contentType: string): void {
    const { response } = this
    if (response.destroyed || response.headersSent) return
    const length = Buffer.byteLength(body)
    if (this.#outgoing.take(length) !== 'ok') {
      if (status < 400) return this.fail(busy())
      response.destroy() // not even the refusal fits
      return
    }
    let given = false
    const give = () => {
      if (given) return
      given = true
      this.#outgoing.give(length)
    }
    response.once('close', give)
    response.once('finish', give)
    new Patience(response, this.#patience).waits()
    this.#head(status, contentType)
    response.setHeader('content-length', length)
    response.end(body)
  }

  /** Answers with a Status. */
  fail(error: unknown, retryAfter?: number): void {
    if (this.response.headersSent || this.response.destroyed) {
      this.response.destroy()
      return
    }
    const status = statusOf(error)
    const seconds = retryAfter ?? (status.status === 429 ? 1 : undefined)
    if (seconds !== undefined) this.response.setHeader('retry-after', String(seconds))
    // The rest of the body is read and dropped: closing on it would reset the connection, and the client would see
    // that instead of the answer. The server's request timeout bounds it.
    this.request.resume()
    if (status.status === 401) this.response.setHeader('www-authenticate', 'Bearer')
    this.json(status.status, stringifyJson(status.body()))
  }

  #head(status: number, contentType: string): void {
    this.response.statusCode = status
    this.response.setHeader('content-type', contentType)
    this.response.setHeader('cache-control', 'no-cache, private')
    for (const warning of this.warnings.slice(0, 20)) {
      // Header values are ASCII; anything else would make the answer fail.
      const text = warning
        .replace(/[^\x20-\x7e]/g, '?')
        .replace(/(["\\])/g, '\\$1')
        .slice(0, 200)
      this.response.appendHeader('warning', `299 - "${text}"`)
    }
  }

  #take(bytes: number): void {
    if (this.#account.take(bytes) !== 'ok') throw busy()
  }

  async #text(): Promise<string> {
    const limit = this.#account.term.payloadBytesMax / CHAR_BYTES_MAX
    const announced = Number(this.request.headers['content-length'] ?? '0')
    if (announced > limit) throw tooLarge(limit)
    let text = ''
    let bytes = 0
    const decoder = new TextDecoder()
    await this.#read((chunk) => {
      bytes += chunk.length
      if (bytes > limit) throw tooLarge(limit)
      this.#take(chunk.length)
      const piece = decoder.decode(chunk, { stream: true })
      if (WIDE.test(piece)) this.#take(Math.max(CHAR_BYTES_MAX * piece.length - chunk.length, 0))
      text += piece
    })
    return text + decoder.decode()
  }

  /** Reads the body to its end. By events: the iterator of a stream takes as long as all else of a small request. */
  #read(onChunk: (chunk: Buffer) => void): Promise<void> {
    const { request } = this
    return new Promise<void>((resolve, reject) => {
      request.on('data', (chunk: Buffer) => {
        try {
          onChunk(chunk)
        } catch (error) {
          request.removeAllListeners('data')
          reject(error as Error)
        }
      })
      const closed = () => {
        if (!request.readableEnded) reject(badRequest('the body of the request broke off'))
      }
      request.once('end', resolve)
      request.once('close', closed)
      // A client that has gone already is told of no more.
      if (request.destroyed) closed()
    })
  }
}

/** What V8 takes for a character at most, and the characters for which it takes that. */
const CHAR_BYTES_MAX = 2
const WIDE = /[\u0100-\uffff]/

function statusOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (isWeirError(error, 'LIMIT')) {
    return internal(`${error.message}: delete objects, or give this server more memory`)
  }
  if (isWeirError(error) && error.code.startsWith('JSON_')) return badRequest(error.message)
  return internal('an internal error occurred')
}
