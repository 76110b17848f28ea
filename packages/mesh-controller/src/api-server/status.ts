/** What the API answers when it cannot do what was asked, in the words of a Kubernetes API server. */
import { WeirError } from 'weir-mesh/runtime'
import type { JsonObject } from '../kube/index.ts'
import type { Kind } from './kind.ts'

export interface Cause {
  readonly reason: string
  readonly message: string
  readonly field: string
}

/** An answer that is a Status; thrown on the way to it. */
export class ApiError extends WeirError {
  readonly status: number
  readonly reason: string
  readonly details: JsonObject | undefined

  constructor(status: number, reason: string, message: string, details?: JsonObject) {
    super(`API_${status}`, message)
    this.status = status
    this.reason = reason
    this.details = details
  }

  body(): JsonObject {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.details ? { details: this.details } : {}),
      code: this.status,
    }
  }
}

const GONE_CONTINUE =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.'

export const badRequest = (message: string) => new ApiError(400, 'BadRequest', message)

export const unauthorized = () => new ApiError(401, 'Unauthorized', 'Unauthorized')

export const notFound = (kind: Kind, name: string) =>
  new ApiError(404, 'NotFound', `${qualified(kind)} "${name}" not found`, details(kind, name))

export const noResource = () =>
  new ApiError(404, 'NotFound', 'the server could not find the requested resource', {})

export const forbidden = (kind: Kind, name: string, why: string) =>
  new ApiError(
    403,
    'Forbidden',
    `${qualified(kind)} "${name}" is forbidden: ${why}`,
    details(kind, name),
  )

export const methodNotAllowed = () =>
  new ApiError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    {},
  )

export const notAcceptable = () =>
  new ApiError(
    406,
    'NotAcceptable',
    'only the following media types are accepted: application/json',
  )

export const alreadyExists = (kind: Kind, name: string) =>
  new ApiError(
    409,
    'AlreadyExists',
    `${qualified(kind)} "${name}" already exists`,
    details(kind, name),
  )

export const conflict = (kind: Kind, name: string, why?: string) =>
  new ApiError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(kind)} "${name}": ${
      why ??
      'the object has been modified; please apply your changes to the latest version and try again'
    }`,
    details(kind, name),
  )

export const expired = (message = GONE_CONTINUE) => new ApiError(410, 'Expired', message)

export const tooLarge = (limit: number) =>
  new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`)

/** 415; newer kubectl sends built-in kinds as protobuf, and `kubectl apply -f` sends them as JSON. */
export function unsupportedType(accepted: readonly string[], sent = ''): ApiError {
  const types = accepted.filter((type) => type !== '').join(', ')
  const hint = sent.includes('protobuf') ? '; with kubectl use apply -f or create -f' : ''
  return new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${types}${hint}`,
  )
}

export const busy = (why = 'Too many requests, please try again later.') =>
  new ApiError(429, 'TooManyRequests', why, { retryAfterSeconds: 1 })

export const internal = (message: string) => new ApiError(500, 'InternalError', message)

export const futureVersion = (wanted: number, current: number) =>
  new ApiError(504, 'Timeout', `Too large resource version: ${wanted}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  })

/** 422 with one or more causes. */
export function invalid(kind: Kind, name: string, causes: readonly Cause[]): ApiError {
  const texts = causes.map((cause) => `${cause.field}: ${cause.message}`)
  const all = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`
  return new ApiError(422, 'Invalid', `${qualifiedKind(kind)} "${name}" is invalid: ${all}`, {
    name,
    ...(kind.group ? { group: kind.group } : {}),
    kind: kind.kind,
    causes: causes.map(({ reason, message, field }) => ({ reason, message, field })),
  })
}

/** `widgets.demo.example`, or `namespaces` in the core group. */
export function qualified(kind: Kind): string {
  return kind.group ? `${kind.plural}.${kind.group}` : kind.plural
}

function qualifiedKind(kind: Kind): string {
  return kind.group ? `${kind.kind}.${kind.group}` : kind.kind
}

function details(kind: Kind, name: string): JsonObject {
  return { name, ...(kind.group ? { group: kind.group } : {}), kind: kind.plural }
}
