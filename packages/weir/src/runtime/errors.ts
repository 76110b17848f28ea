/**
 * The one error class of the project, and the assertion for mistakes of the programmer.
 *
 * A `WeirError` is something the caller can act on: its code is stable and documented in `docs/errors.md`, its
 * message says what happened and what to do. An `AssertionError` is a bug and is never caught to go on.
 */

/** How full the thing was that refused, for codes that name a limit. */
export interface LimitDetail {
  readonly scope: string
  readonly limit: number
  readonly used: number
  readonly wanted: number
}

export interface WeirErrorOptions {
  readonly cause?: unknown
  /** Whether the same call may succeed later without a change by the caller. Default false. */
  readonly retryable?: boolean
  readonly limit?: LimitDetail
}

export class WeirError extends Error {
  override readonly name = 'WeirError'
  readonly code: string
  readonly retryable: boolean
  readonly limit: LimitDetail | undefined

  constructor(code: string, message: string, options: WeirErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
    this.limit = options.limit
  }
}

/** A broken promise inside the program: never for input from a peer, a file or a user. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** Whether `error` is a `WeirError`, with this code when one is given. */
export function isWeirError(error: unknown, code?: string): error is WeirError {
  return error instanceof WeirError && (code === undefined || error.code === code)
}

/** One line for logs and users: the code when there is one, and the message with those of its causes. */
export function describeError(error: unknown): string {
  const parts: string[] = []
  let current: unknown = error
  while (current !== undefined && parts.length < 5) {
    if (current instanceof WeirError) parts.push(`${current.code}: ${current.message}`)
    else if (current instanceof Error) {
      const code = (current as NodeJS.ErrnoException).code
      parts.push(
        code && !current.message.includes(code) ? `${code} ${current.message}` : current.message,
      )
    } else parts.push(String(current))
    current = current instanceof Error ? current.cause : undefined
  }
  return parts.join(' <- ')
}
