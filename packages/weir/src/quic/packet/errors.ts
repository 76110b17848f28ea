/** Transport error codes (RFC 9000 section 20.1) and the violation that carries one. Input from peers never throws. */

export const ErrorCode = Object.freeze({
  none: 0x00,
  internal: 0x01,
  refused: 0x02,
  flowControl: 0x03,
  streamLimit: 0x04,
  streamState: 0x05,
  finalSize: 0x06,
  frameEncoding: 0x07,
  transportParameter: 0x08,
  connectionIdLimit: 0x09,
  protocolViolation: 0x0a,
  invalidToken: 0x0b,
  application: 0x0c,
  cryptoBuffer: 0x0d,
  keyUpdate: 0x0e,
  aeadLimit: 0x0f,
  noViablePath: 0x10,
  /** Plus the alert of TLS. */
  crypto: 0x100,
})

/** What a peer did wrong; it ends the connection. */
export interface Violation {
  readonly code: number
  readonly reason: string
}

export const violation = (code: number, reason: string): Violation => ({ code, reason })
