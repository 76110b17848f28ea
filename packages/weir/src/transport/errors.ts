/** The errors of connections and streams: each is a `WeirError` and carries what the peer said as numbers. */
import { WeirError } from '../runtime/index.ts'
import type { CloseInfo } from './transport.ts'

/** Longest reason of a close that is sent or kept. */
export const REASON_CHARS_MAX = 256

/** `CONNECTION_CLOSED`, with who closed it, the code and the reason. */
export class ConnectionClosedError extends WeirError {
  readonly close: CloseInfo

  constructor(close: CloseInfo) {
    super('CONNECTION_CLOSED', closeText(close), { retryable: close.by !== 'local' })
    this.close = close
  }
}

/** `STREAM_RESET` or `STREAM_STOPPED`, with the code that the peer gave. */
export class StreamError extends WeirError {
  readonly streamCode: number

  constructor(code: 'STREAM_RESET' | 'STREAM_STOPPED', streamCode: number) {
    const what = code === 'STREAM_RESET' ? 'gave up sending' : 'wants no more'
    super(code, `the peer ${what} on this stream, with code ${streamCode}`)
    this.streamCode = streamCode
  }
}

function closeText(close: CloseInfo): string {
  const reason = close.reason === '' ? '' : `: ${close.reason}`
  if (close.by === 'lost') return `the connection was lost${reason}; dial again`
  const who = close.by === 'local' ? 'this side' : 'the peer'
  return `the connection was closed by ${who} with code ${close.code}${reason}`
}

/** A reason as it is sent and kept. */
export function cutReason(reason: string): string {
  return reason.length > REASON_CHARS_MAX ? reason.slice(0, REASON_CHARS_MAX) : reason
}

export const streamEnded = (how: string): WeirError =>
  new WeirError('CLOSED', `the stream was ${how} by this side`)

export const protocolRefused = (): WeirError =>
  new WeirError(
    'PROTOCOL_REFUSED',
    'the two sides have no protocol in common; look at the network id and the version of both',
  )

export const connectFailed = (why: string, options: { readonly cause?: unknown } = {}): WeirError =>
  new WeirError('CONNECT_FAILED', `the node could not be reached: ${why}`, {
    retryable: true,
    ...options,
  })
