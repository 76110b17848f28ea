/** Faults that a test asks for: what goes wrong with a request instead of, or before, its answer. */
import { ApiError, busy, expired, internal } from './status.ts'

export interface FaultRequest {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly watch: boolean
}

export interface Fault {
  /** Answer with this error. 410 of a watch comes as an event, as from a real server. */
  readonly status?: 401 | 403 | 409 | 410 | 429 | 500 | 503
  /** `Retry-After` of a 429 or 503, in seconds. */
  readonly retryAfter?: number
  /** Wait before the answer. */
  readonly delayMs?: number
  /** Close the connection without an answer. */
  readonly hangUp?: boolean
  /** Accept the watch and say nothing. */
  readonly stall?: boolean
  /** Cut the watch after this many events. */
  readonly cutAfter?: number
}

/** Asked for each request. */
export type FaultHook = (request: FaultRequest) => Fault | undefined

export function errorOfFault(fault: Fault): ApiError | undefined {
  switch (fault.status) {
    case undefined:
      return undefined
    case 410:
      return expired()
    case 429:
      return busy()
    case 500:
      return internal('a fault that a test asked for')
    case 401:
      return new ApiError(401, 'Unauthorized', 'Unauthorized')
    case 403:
      return new ApiError(403, 'Forbidden', 'User "test" has no role here')
    case 409:
      return new ApiError(
        409,
        'Conflict',
        'Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again',
      )
    case 503:
      return new ApiError(503, 'ServiceUnavailable', 'a fault that a test asked for')
  }
}
