/** The client of the handshake (RFC 8446 appendix A.1). It knows whom it dials, and takes no other key. */
import { copyBytes, equalBytes } from '../../codec/index.ts'
import type { NodeId } from '../../core/index.ts'
import { assert } from '../../runtime/index.ts'
import type { Suite } from '../contract.ts'
import { Alert, refuse } from './alerts.ts'
import { readCertificate, readCertificateRequest } from './authentication.ts'
import { encodeClientHello, RANDOM_BYTES } from './client-hello.ts'
import { readEncryptedExtensions } from './encrypted-extensions.ts'
import { HandshakeMachine, type HandshakeOptions } from './handshake-machine.ts'
import { KeyShare } from './key-share.ts'
import { MessageType } from './messages.ts'
import type { TlsReader } from './reader.ts'
import { decodeServerHello, retryRequest, serverShare } from './server-hello.ts'
import { readTicket } from './ticket.ts'

export interface TlsClientOptions extends HandshakeOptions {
  readonly expected: NodeId
  readonly protocol: Uint8Array
  /** Sends no key share at first, so that the server must ask for it: for tests. Default false. */
  readonly withoutShare?: boolean
}

export class TlsClient extends HandshakeMachine {
  readonly #expected: NodeId
  readonly #protocol: Uint8Array
  readonly #random: Uint8Array
  #parameters: Uint8Array | undefined
  #keyShare: KeyShare | undefined
  #shared: boolean
  #retried = false
  /** Of the HelloRetryRequest, later of ServerHello. */
  #suite: Suite | undefined

  constructor(options: TlsClientOptions) {
    super('client', options)
    this.#expected = options.expected
    this.#protocol = copyBytes(options.protocol)
    this.#parameters = options.parameters
    this.#random = this.random.bytes(RANDOM_BYTES)
    this.#shared = options.withoutShare !== true
  }

  protected begin(): void {
    assert(this.expected === MessageType.none, 'a handshake is started twice')
    this.#keyShare = new KeyShare(this.random)
    this.#hello(undefined)
  }

  protected take(message: Uint8Array, body: TlsReader): void {
    switch (this.expected) {
      case MessageType.serverHello:
        return this.#serverHello(message, body)
      case MessageType.encryptedExtensions: {
        const parameters = readEncryptedExtensions(body, this.#protocol)
        this.transcript.add(message)
        this.expected = MessageType.certificateRequest
        return this.effects.peerParameters(parameters)
      }
      case MessageType.certificateRequest:
        readCertificateRequest(body)
        this.transcript.add(message)
        this.expected = MessageType.certificate
        return
      case MessageType.certificate:
        return this.#certificate(message, body)
      case MessageType.certificateVerify:
        this.verify(message, body, this.#expected)
        this.expected = MessageType.finished
        return
      case MessageType.finished:
        return this.#finished(message, body)
      default:
        // We offered no resumption: nothing is kept of it.
        return readTicket(body)
    }
  }

  protected forget(): void {
    this.#keyShare?.drop()
    this.#keyShare = this.#parameters = undefined
  }

  #hello(cookie: Uint8Array | undefined): void {
    assert(this.#parameters && this.#keyShare, 'a hello after the end of the handshake')
    this.expected = MessageType.serverHello
    const hello = encodeClientHello({
      random: this.#random,
      suites: this.suites,
      protocol: this.#protocol,
      parameters: this.#parameters,
      share: this.#shared ? this.#keyShare.publicKey : undefined,
      cookie,
    })
    this.send('initial', hello)
  }

  #serverHello(message: Uint8Array, body: TlsReader): void {
    const hello = decodeServerHello(body)
    const suite = this.suites.find((each) => each === hello.suite)
    if (!suite || (this.#suite !== undefined && this.#suite !== suite)) {
      refuse(Alert.illegalParameter, 'the server chooses a suite that it may not')
    }
    this.#suite = suite
    if (hello.retry) {
      if (this.#retried) refuse(Alert.unexpectedMessage, 'a second HelloRetryRequest')
      this.#retried = true
      const request = retryRequest(hello, this.#shared)
      if (request.share) this.#shared = true
      this.transcript.restart()
      this.transcript.add(message)
      return this.#hello(request.cookie)
    }
    const share = serverShare(hello)
    if (!this.#shared)
      refuse(Alert.illegalParameter, 'the server answers a share that was not sent')
    this.readNext('handshake')
    const secret = this.#keyShare!.exchange(share)
    if (!secret) refuse(Alert.illegalParameter, 'the share of the server is of small order')
    this.transcript.add(message)
    const secrets = this.schedule.handshake(secret, this.transcript.digest())
    secret.fill(0)
    this.expected = MessageType.encryptedExtensions
    this.secrets('handshake', suite, secrets)
  }

  #certificate(message: Uint8Array, body: TlsReader): void {
    const key = readCertificate(body, 'server')
    if (!equalBytes(key, this.#expected)) refuse(Alert.unknownCa, 'the server has another key')
    this.transcript.add(message)
    this.expected = MessageType.certificateVerify
  }

  #finished(message: Uint8Array, body: TlsReader): void {
    this.finish(message, body)
    this.readNext('application')
    const secrets = this.schedule.application(this.transcript.digest())
    this.effects.send('handshake', this.proof([]))
    this.expected = MessageType.newSessionTicket
    this.secrets('application', this.#suite!, secrets)
    this.succeed(this.#expected, this.#protocol)
  }
}
