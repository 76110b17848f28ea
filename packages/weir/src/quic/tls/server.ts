/** The server of the handshake (RFC 8446 appendix A.2). It takes every client that proves a key. */
import { equalBytes } from '../../codec/index.ts'
import type { NodeId } from '../../core/index.ts'
import { assert } from '../../runtime/index.ts'
import type { Suite } from '../contract.ts'
import { Alert, refuse } from './alerts.ts'
import { encodeCertificateRequest, readCertificate } from './authentication.ts'
import { type ClientHello, decodeClientHello, fixedPart, RANDOM_BYTES } from './client-hello.ts'
import { encodeEncryptedExtensions } from './encrypted-extensions.ts'
import { Extension } from './extensions.ts'
import { HandshakeMachine, type HandshakeOptions } from './handshake-machine.ts'
import { KeyShare } from './key-share.ts'
import { MessageType } from './messages.ts'
import type { TlsReader } from './reader.ts'
import { encodeServerHello, RETRY_RANDOM } from './server-hello.ts'

export interface TlsServerOptions extends HandshakeOptions {
  /** In order of preference; not copied. */
  readonly protocols: readonly Uint8Array[]
}

export class TlsServer extends HandshakeMachine {
  readonly #protocols: readonly Uint8Array[]
  #parameters: Uint8Array | undefined
  /** Set by a HelloRetryRequest: what the second ClientHello must repeat. */
  #fixed: Uint8Array | undefined
  #suite: Suite | undefined
  #protocol: Uint8Array | undefined
  #peer: NodeId | undefined

  constructor(options: TlsServerOptions) {
    super('server', options)
    this.#protocols = options.protocols
    this.#parameters = options.parameters
    this.expected = MessageType.clientHello
  }

  protected begin(): void {}

  protected take(message: Uint8Array, body: TlsReader): void {
    switch (this.expected) {
      case MessageType.clientHello:
        return this.#clientHello(message, body)
      case MessageType.certificate:
        this.#peer = readCertificate(body, 'client')
        this.transcript.add(message)
        this.expected = MessageType.certificateVerify
        return
      case MessageType.certificateVerify:
        this.verify(message, body, this.#peer!)
        this.expected = MessageType.finished
        return
      default:
        this.finish(message, body)
        this.readNext('application')
        // No client may say anything after this (RFC 9001 section 6, RFC 8446 section 4.6).
        this.expected = MessageType.none
        return this.succeed(this.#peer!, this.#protocol!)
    }
  }

  protected forget(): void {
    this.#parameters = this.#fixed = undefined
  }

  #clientHello(message: Uint8Array, body: TlsReader): void {
    const hello = decodeClientHello(body)
    if (this.#fixed) this.#checkSecond(hello, this.#fixed)
    else if (hello.extensions.has(Extension.cookie)) {
      refuse(Alert.illegalParameter, 'a cookie that we did not give')
    }
    const suite = this.suites.find((own) => hello.suites.includes(own))
    if (!suite) refuse(Alert.handshakeFailure, 'no cipher suite in common')
    const protocol = this.#protocols.find((own) =>
      hello.protocols.some((offered) => equalBytes(offered, own)),
    )
    if (!protocol) refuse(Alert.noApplicationProtocol, 'no protocol in common')
    this.#suite = suite
    this.#protocol = protocol
    this.transcript.add(message)
    if (hello.share) this.#answer(hello.share, hello.parameters)
    else this.#askForShare(hello)
  }

  #askForShare(hello: ClientHello): void {
    this.#fixed = fixedPart(hello)
    this.transcript.restart()
    this.send('initial', encodeServerHello(RETRY_RANDOM, this.#suite!, undefined))
  }

  /** The second ClientHello may differ only by the share that we asked for (RFC 8446 section 4.1.2). */
  #checkSecond(hello: ClientHello, fixed: Uint8Array): void {
    if (!hello.share || hello.shares !== 1) {
      refuse(Alert.illegalParameter, 'not the share that was asked for')
    }
    if (hello.extensions.has(Extension.cookie) || !equalBytes(fixedPart(hello), fixed)) {
      refuse(Alert.illegalParameter, 'the second ClientHello is another one')
    }
    if (hello.extensions.has(Extension.earlyData)) {
      refuse(Alert.illegalParameter, 'early data after a HelloRetryRequest')
    }
  }

  #answer(share: Uint8Array, parameters: Uint8Array): void {
    assert(this.#parameters && this.#protocol && this.#suite, 'an answer before its choices')
    this.readNext('handshake')
    const keyShare = new KeyShare(this.random)
    const shared = keyShare.exchange(share)
    if (!shared) refuse(Alert.illegalParameter, 'the share of the client is of small order')
    const random = this.random.bytes(RANDOM_BYTES)
    this.send('initial', encodeServerHello(random, this.#suite, keyShare.publicKey))
    const secrets = this.schedule.handshake(shared, this.transcript.digest())
    shared.fill(0)
    this.expected = MessageType.certificate
    this.secrets('handshake', this.#suite, secrets)
    this.effects.peerParameters(parameters)
    const first = [
      encodeEncryptedExtensions(this.#protocol, this.#parameters),
      encodeCertificateRequest(),
    ]
    this.effects.send('handshake', this.proof(first))
    const application = this.schedule.application(this.transcript.digest())
    this.secrets('application', this.#suite, application)
  }
}
