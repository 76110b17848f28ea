/**
 * TLS that breaks one rule: our own, with a message of it changed on its way out.
 *
 * What is changed is no longer what our side has hashed. That does not matter here: the peer has to refuse the message
 * before it could notice.
 */
import { concatBytes } from 'weir-mesh/codec'
import type { Level, TlsEffects, TlsMachine } from '../../packages/weir/src/quic/contract.ts'
import type { QuicSecurity } from '../../packages/weir/src/quic/security.ts'

export type Fault =
  | 'no client certificate type'
  | 'no server certificate type'
  | 'no client key'
  | 'a forged signature'

const MessageType = Object.freeze({
  clientHello: 1,
  encryptedExtensions: 8,
  certificate: 11,
  certificateVerify: 15,
})

const Extension = Object.freeze({ clientCertificateType: 19, serverCertificateType: 20 })

/** The same security, but for the fault. */
export function broken(real: QuicSecurity, fault: Fault): QuicSecurity {
  return {
    ...real,
    client: (options) => new BrokenTls(real.client(options), fault),
    server: (options) => new BrokenTls(real.server(options), fault),
  }
}

class BrokenTls implements TlsMachine {
  readonly #real: TlsMachine
  readonly #fault: Fault

  constructor(real: TlsMachine, fault: Fault) {
    this.#real = real
    this.#fault = fault
  }

  get heldBytes(): number {
    return this.#real.heldBytes
  }

  get established(): boolean {
    return this.#real.established
  }

  start(effects: TlsEffects): void {
    this.#real.start(this.#breaking(effects))
  }

  handle(level: Level, bytes: Uint8Array, effects: TlsEffects): void {
    this.#real.handle(level, bytes, this.#breaking(effects))
  }

  [Symbol.dispose](): void {
    this.#real[Symbol.dispose]()
  }

  #breaking(effects: TlsEffects): TlsEffects {
    return {
      send: (level, bytes) => {
        const changed = messages(bytes).flatMap((message) => breakMessage(message, this.#fault))
        if (changed.length > 0) effects.send(level, concatBytes(...changed))
      },
      secrets: (level, secrets) => effects.secrets(level, secrets),
      peerParameters: (bytes) => effects.peerParameters(bytes),
      established: (peer) => effects.established(peer),
      alert: (alert, message) => effects.alert(alert, message),
      violation: (...what) => effects.violation(...what),
    }
  }
}

/** The handshake messages of a flight, each with its head of four bytes. */
function messages(flight: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = []
  for (let at = 0; at < flight.length; ) {
    const end = at + 4 + (flight[at + 1]! << 16) + (flight[at + 2]! << 8) + flight[at + 3]!
    if (end > flight.length) throw new Error('a flight does not hold whole messages')
    found.push(flight.slice(at, end))
    at = end
  }
  return found
}

/** @returns what stands for the message: itself, another one, or nothing. */
function breakMessage(message: Uint8Array, fault: Fault): Uint8Array[] {
  const type = message[0]
  switch (fault) {
    case 'no client certificate type':
      return [without(message, Extension.clientCertificateType)]
    case 'no server certificate type':
      return [without(message, Extension.serverCertificateType)]
    case 'no client key':
      // An empty context and an empty list, and so nothing to sign.
      if (type === MessageType.certificate) return [Uint8Array.of(type, 0, 0, 4, 0, 0, 0, 0)]
      return type === MessageType.certificateVerify ? [] : [message]
    case 'a forged signature':
      if (type === MessageType.certificateVerify) message[message.length - 1]! ^= 1
      return [message]
    default:
      return [message]
  }
}

/** A ClientHello or EncryptedExtensions without one extension. */
function without(message: Uint8Array, extension: number): Uint8Array {
  const at = extensionsAt(message)
  if (at < 0) return message
  const kept: Uint8Array[] = []
  for (let from = at + 2; from < message.length; ) {
    const end = from + 4 + uint16(message, from + 2)
    if (uint16(message, from) !== extension) kept.push(message.subarray(from, end))
    from = end
  }
  const list = concatBytes(...kept)
  const body = concatBytes(
    message.subarray(4, at),
    Uint8Array.of(list.length >> 8, list.length & 255),
    list,
  )
  return concatBytes(Uint8Array.of(message[0]!, 0, body.length >> 8, body.length & 255), body)
}

/** Where the list of extensions begins with its length; -1 for messages of another kind. */
function extensionsAt(message: Uint8Array): number {
  if (message[0] === MessageType.encryptedExtensions) return 4
  if (message[0] !== MessageType.clientHello) return -1
  // Version and random, then session id, suites and compression with their lengths.
  let at = 4 + 2 + 32
  at += 1 + message[at]!
  at += 2 + uint16(message, at)
  return at + 1 + message[at]!
}

const uint16 = (bytes: Uint8Array, at: number): number => bytes[at]! * 256 + bytes[at + 1]!
