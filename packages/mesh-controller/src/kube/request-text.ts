/**
 * Requests of HTTP/1.1 as text, header and body in one, so that they leave in one write.
 *
 * Whatever comes from a configuration is looked at before it is sent: a line end in a token or a path would be a second
 * request (RFC 9112 section 11.2).
 *
 * Memory: the lines that are the same in each request.
 */
import { KubeError } from './errors.ts'

export interface RequestLines {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Path below the server's URL, with the query. */
  readonly path: string
  readonly body?: string
  /** Default `application/json`. */
  readonly contentType?: string
  /** Default `application/json`. */
  readonly accept?: string
}

const TARGET = /^\/[\x21\x22\x24-\x7e]*$/
const FIELD_VALUE = /^[\t\x20-\x7e]*$/
const JSON_TYPE = 'application/json'

export class RequestText {
  readonly #path: string
  readonly #fixed: string
  #authorization: string | undefined
  #lines: string

  constructor(base: URL, userAgent: string) {
    this.#path = base.pathname.replace(/\/$/, '')
    this.#fixed = `host: ${base.host}\r\nuser-agent: ${checked(userAgent, 'user agent')}\r\n`
    this.#lines = this.#fixed
  }

  /** @throws {KubeError} `KUBE_REQUEST_INVALID`; `KUBE_CREDENTIALS` for a token that cannot be sent. */
  write(request: RequestLines, authorization: string | undefined): string {
    const target = this.#path + request.path
    if (!TARGET.test(target)) throw invalid('path')
    if (authorization !== this.#authorization) this.#authorize(authorization)
    const { body, accept = JSON_TYPE, contentType = JSON_TYPE } = request
    const head = `${request.method} ${target} HTTP/1.1\r\n${this.#lines}accept: ${checked(accept, 'accept')}\r\n`
    if (body === undefined) return `${head}\r\n`
    const type = checked(contentType, 'content type')
    return `${head}content-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  }

  #authorize(authorization: string | undefined): void {
    if (authorization !== undefined && !FIELD_VALUE.test(authorization)) {
      // Its text is a secret and is not shown.
      throw new KubeError('KUBE_CREDENTIALS', 'the token holds characters that no header can carry')
    }
    this.#authorization = authorization
    this.#lines = this.#fixed
    if (authorization !== undefined) this.#lines += `authorization: ${authorization}\r\n`
  }
}

function checked(value: string, what: string): string {
  if (value !== JSON_TYPE && !FIELD_VALUE.test(value)) throw invalid(what)
  return value
}

function invalid(what: string): KubeError {
  return new KubeError(
    'KUBE_REQUEST_INVALID',
    `the ${what} of a request to the cluster holds characters that cannot be sent`,
  )
}
