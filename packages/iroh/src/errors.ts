/**
 * What the errors of the binding mean.
 *
 * They are texts of Rust's `Debug` with a stack trace of up to 20 kB; there are no codes. They are read here and cut,
 * and never kept as a cause. A text that is not known becomes the least claim: the connection was lost.
 */
import { WeirError } from 'weir-mesh/runtime'
import {
  type CloseInfo,
  ConnectionClosedError,
  connectFailed,
  cutReason,
  protocolRefused,
  StreamError,
} from 'weir-mesh/transport'

const TEXT_CHARS_MAX = 200

/** The part of the text that says something. */
export function briefly(error: unknown): string {
  const whole = error instanceof Error ? error.message : String(error)
  const [head = ''] = whole.split('\n\nStack backtrace:', 1)
  const lines = head
    .split('\n')
    .map((line) => line.replace(/\(\/[^)]*\)/, '').trim())
    .filter((line) => line !== '' && line !== 'Caused by:')
  // The last cause is the one that says what happened.
  return (lines.at(-1) ?? '').slice(0, TEXT_CHARS_MAX)
}

/** From the text of `Connection.closed()`. */
export function closeInfo(text: string): CloseInfo {
  if (text === 'closed') return { code: 0, reason: '', by: 'local' }
  const peer = /^closed by peer: (?:(.*) \(code (\d+)\)|(\d+))$/s.exec(text)
  if (peer) {
    const [, reason = '', code, codeAlone] = peer
    return { code: Number(code ?? codeAlone), reason: cutReason(reason), by: 'remote' }
  }
  return { code: 0, reason: cutReason(text), by: 'lost' }
}

/** From the text of a failed read, write, open or accept, when the connection has not said yet why it ended. */
export function closeInfoOfError(error: unknown): CloseInfo {
  const text = briefly(error)
  if (text.includes('LocallyClosed')) return { code: 0, reason: '', by: 'local' }
  const peer = /ApplicationClose \{ error_code: (\d+), reason: b?"((?:[^"\\]|\\.)*)" \}/.exec(text)
  if (peer) return { code: Number(peer[1]), reason: cutReason(peer[2]!), by: 'remote' }
  return { code: 0, reason: cutReason(text), by: 'lost' }
}

/** What a stream operation ended with. */
export function streamFailure(error: unknown, closed: CloseInfo | undefined): WeirError {
  const text = briefly(error)
  const reset = /^Reset\((\d+)\)/.exec(text)
  if (reset) return new StreamError('STREAM_RESET', Number(reset[1]))
  const stopped = /^Stopped\((\d+)\)/.exec(text)
  if (stopped) return new StreamError('STREAM_STOPPED', Number(stopped[1]))
  if (/^ClosedStream/.test(text)) return new WeirError('CLOSED', 'the stream is closed')
  return new ConnectionClosedError(closed ?? closeInfoOfError(error))
}

/** What a dial or a handshake ended with. */
export function handshakeFailure(error: unknown): WeirError {
  const text = briefly(error)
  if (/known protocol|NoApplicationProtocol/.test(text)) return protocolRefused()
  if (/Endpoint is closed|LocallyClosed/.test(text)) {
    return new WeirError('CLOSED', 'the endpoint is closed')
  }
  if (/UnknownIssuer/.test(text)) return connectFailed('whoever answers there has another key')
  return connectFailed(text)
}

/** What binding an address ended with. */
export function bindFailure(error: unknown, address: string): WeirError {
  const text = briefly(error)
  if (/in use/i.test(text)) {
    return new WeirError(
      'ADDRESS_IN_USE',
      `somebody listens on ${address} already; take another port`,
    )
  }
  return new WeirError('ADDRESS_INVALID', `${address} cannot be bound: ${text}`)
}
