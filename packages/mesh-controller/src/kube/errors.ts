/**
 * What can go wrong with a cluster, as one class with a stable code. An answer of the API server carries its HTTP
 * status, the reason and the wait that it asks for.
 */
import { isWeirError, WeirError, type WeirErrorOptions } from 'weir-mesh/runtime'
import { isJsonObject, type Json, parseJson } from './json.ts'

export interface KubeErrorOptions extends WeirErrorOptions {
  readonly status?: number
  readonly reason?: string
  readonly retryAfterMs?: number
}

export class KubeError extends WeirError {
  /** HTTP status, 0 when there was no answer. */
  readonly status: number
  /** Reason of the Status object, empty when there was none. */
  readonly reason: string
  /** How long the server asks to wait before the next try. */
  readonly retryAfterMs: number | undefined

  constructor(code: string, message: string, options: KubeErrorOptions = {}) {
    super(code, message, options)
    this.status = options.status ?? 0
    this.reason = options.reason ?? ''
    this.retryAfterMs = options.retryAfterMs
  }
}

const MESSAGE_CHARS_MAX = 1024
const RETRY_AFTER_MS_MAX = 60_000

// By reason first: 409 is both "exists" and "conflict", and the first cannot be retried.
const CODE_OF_REASON: Readonly<Record<string, string>> = Object.freeze({
  Unauthorized: 'KUBE_UNAUTHORIZED',
  Forbidden: 'KUBE_FORBIDDEN',
  NotFound: 'KUBE_NOT_FOUND',
  AlreadyExists: 'KUBE_ALREADY_EXISTS',
  Conflict: 'KUBE_CONFLICT',
  Gone: 'KUBE_GONE',
  Expired: 'KUBE_GONE',
  Invalid: 'KUBE_INVALID',
  Timeout: 'KUBE_TIMEOUT',
  ServerTimeout: 'KUBE_TIMEOUT',
  TooManyRequests: 'KUBE_TOO_MANY_REQUESTS',
  BadRequest: 'KUBE_BAD_REQUEST',
  MethodNotAllowed: 'KUBE_METHOD_NOT_ALLOWED',
  UnsupportedMediaType: 'KUBE_UNSUPPORTED',
  NotAcceptable: 'KUBE_UNSUPPORTED',
  RequestEntityTooLarge: 'KUBE_TOO_LARGE',
  ServiceUnavailable: 'KUBE_UNAVAILABLE',
  InternalError: 'KUBE_SERVER_ERROR',
})

const CODE_OF_STATUS: Readonly<Record<number, string>> = Object.freeze({
  400: 'KUBE_BAD_REQUEST',
  401: 'KUBE_UNAUTHORIZED',
  403: 'KUBE_FORBIDDEN',
  404: 'KUBE_NOT_FOUND',
  405: 'KUBE_METHOD_NOT_ALLOWED',
  406: 'KUBE_UNSUPPORTED',
  409: 'KUBE_CONFLICT',
  410: 'KUBE_GONE',
  413: 'KUBE_TOO_LARGE',
  415: 'KUBE_UNSUPPORTED',
  422: 'KUBE_INVALID',
  429: 'KUBE_TOO_MANY_REQUESTS',
  503: 'KUBE_UNAVAILABLE',
  504: 'KUBE_TIMEOUT',
})

// What may be asked again unchanged: the object, the credentials or the server may be another by then.
const RETRYABLE = Object.freeze([
  'KUBE_TIMEOUT',
  'KUBE_TOO_MANY_REQUESTS',
  'KUBE_UNAVAILABLE',
  'KUBE_SERVER_ERROR',
  'KUBE_UNAUTHORIZED',
])

/** The error for an answer with an HTTP status of 400 or more, or for a Status in a watch. */
export function errorOfStatus(
  what: string,
  httpStatus: number,
  body: Json | undefined,
  retryAfterMs?: number,
): KubeError {
  const status = isJsonObject(body) && body['kind'] === 'Status' ? body : undefined
  const text = (value: Json | undefined) => (typeof value === 'string' ? value : '')
  const reason = text(status?.['reason'])
  const number = typeof status?.['code'] === 'number' ? status['code'] : httpStatus
  const fallback = number >= 500 ? 'KUBE_SERVER_ERROR' : 'KUBE_REFUSED'
  const code = CODE_OF_REASON[reason] ?? CODE_OF_STATUS[number] ?? fallback
  const details = isJsonObject(status?.['details']) ? status['details'] : undefined
  const seconds = details?.['retryAfterSeconds']
  const wait = retryAfterMs ?? (typeof seconds === 'number' ? seconds * 1000 : undefined)
  const said = text(status?.['message']) || `HTTP status ${number}`
  return new KubeError(code, `${what}: ${said.slice(0, MESSAGE_CHARS_MAX)}`, {
    status: number,
    reason,
    retryable: RETRYABLE.includes(code),
    ...(wait === undefined
      ? {}
      : { retryAfterMs: Math.min(Math.max(wait, 0), RETRY_AFTER_MS_MAX) }),
  })
}

/** As `errorOfStatus`, for a body that may be anything. */
export function errorOfBody(
  what: string,
  httpStatus: number,
  text: string,
  retryAfterMs?: number,
): KubeError {
  let body: Json | undefined
  try {
    body = parseJson(text)
  } catch {
    // A proxy between us and the server answers in its own words; the status says enough.
  }
  return errorOfStatus(what, httpStatus, body, retryAfterMs)
}

/** The error for a connection that could not be made or that broke. */
export function unreachable(what: string, cause: unknown): KubeError {
  if (cause instanceof KubeError) return cause
  return new KubeError('KUBE_UNREACHABLE', `${what}: no answer from the cluster`, {
    cause,
    retryable: true,
  })
}

/** The error for bytes that are no answer of HTTP/1.1. Another connection, or another server behind it, may do better. */
export function invalidAnswer(why: string): KubeError {
  return new KubeError('KUBE_HTTP_INVALID', `what the cluster sent is not an HTTP answer: ${why}`, {
    retryable: true,
  })
}

/** Whether an error is one of a cluster, with this code when one is given. */
export function isKubeError(error: unknown, code?: string): error is KubeError {
  return error instanceof KubeError && isWeirError(error, code)
}

// What a person has to mend: a missing permission, a kind or a path that is not there.
const REFUSALS = Object.freeze([403, 404, 405])

/** Whether the server answered, and its answer is no for this collection alone: others may go on without it. */
export function isRefusal(error: unknown): error is KubeError {
  return error instanceof KubeError && REFUSALS.includes(error.status)
}

/** `Retry-After` in ms: a number of seconds; the form with a date is not used by API servers. */
export function retryAfterOf(header: string | undefined): number | undefined {
  if (header === undefined || !/^\d{1,6}$/.test(header)) return undefined
  return Math.min(Number(header) * 1000, RETRY_AFTER_MS_MAX)
}
