/**
 * The alerts of TLS that we raise (RFC 8446 section 6.2), and the refusal that carries one out of a decoder.
 *
 * QUIC sends no alert records: the connection is closed with 0x100 + alert (RFC 9001 section 4.8).
 */

export const Alert = Object.freeze({
  unexpectedMessage: 10,
  handshakeFailure: 40,
  badCertificate: 42,
  unsupportedCertificate: 43,
  illegalParameter: 47,
  unknownCa: 48,
  decodeError: 50,
  decryptError: 51,
  protocolVersion: 70,
  missingExtension: 109,
  unsupportedExtension: 110,
  certificateRequired: 116,
  noApplicationProtocol: 120,
})

/** What the peer did wrong. It never leaves this folder: the machine turns it into an effect. */
export class TlsRefusal extends Error {
  override readonly name = 'TlsRefusal'
  /** Undefined when a rule of QUIC about TLS was broken: then the code is PROTOCOL_VIOLATION. */
  readonly alert: number | undefined

  constructor(alert: number | undefined, message: string) {
    super(message)
    this.alert = alert
  }
}

export function refuse(alert: number, message: string): never {
  throw new TlsRefusal(alert, message)
}

/** Refuses what RFC 9001 forbids and RFC 8446 does not. */
export function refuseForQuic(message: string): never {
  throw new TlsRefusal(undefined, message)
}
