/**
 * What the client and the server of a TLS 1.3 handshake have in common (RFC 8446 as RFC 9001 uses it).
 *
 * Exactly one type of message may come at any time. Messages reach the roles whole and in order; what a role refuses
 * becomes one alert, and from then on the machine is deaf and holds no secrets. The same after the handshake, except
 * that a client still reads tickets, to drop them.
 *
 * Memory: one unfinished message, at most `cryptoBytesMax`; during the handshake a hash object, a native key and the
 * secrets. An established machine holds some hundred bytes.
 */
import { concatBytes } from '../../codec/index.ts'
import { type KeyPair, type NodeId, SIGNATURE_BYTES } from '../../core/index.ts'
import { assert, type Random, systemRandom } from '../../runtime/index.ts'
import type { Level, Suite, TlsEffects, TlsMachine } from '../contract.ts'
import { Alert, refuse, refuseForQuic, TlsRefusal } from './alerts.ts'
import {
  checkCertificateVerify,
  encodeCertificate,
  encodeCertificateVerify,
  encodeFinished,
  readFinished,
  signedContent,
} from './authentication.ts'
import { KeySchedule, type Side, type SidedSecrets } from './key-schedule.ts'
import { HEAD_BYTES, MessageReader, MessageType } from './messages.ts'
import { TlsReader } from './reader.ts'
import { Transcript } from './transcript.ts'

export interface HandshakeOptions {
  readonly keyPair: Pick<KeyPair, 'id' | 'sign'>
  /** Our transport parameters; not copied. */
  readonly parameters: Uint8Array
  /** In order of preference. Default AES-128-GCM, then ChaCha20-Poly1305. */
  readonly suites?: readonly Suite[]
  /** The largest handshake message that is taken, and so the most that is held. Default 4 KiB. */
  readonly cryptoBytesMax?: number
  /** Default the system's, which is the only one for real handshakes. */
  readonly random?: Random
}

const SUITES: readonly Suite[] = Object.freeze([0x1301, 0x1303])
const CRYPTO_BYTES_MAX = 4_096

export abstract class HandshakeMachine implements TlsMachine {
  protected readonly side: Side
  protected readonly suites: readonly Suite[]
  protected readonly random: Random
  protected readonly transcript = new Transcript()
  protected readonly schedule = new KeySchedule()
  /** The only message that may come now. */
  protected expected: number = MessageType.none
  readonly #keyPair: Pick<KeyPair, 'id' | 'sign'>
  readonly #messages: MessageReader
  #level: Level = 'initial'
  #effects: TlsEffects | undefined
  #over = false
  #established = false

  constructor(side: Side, options: HandshakeOptions) {
    const { keyPair, suites = SUITES, random = systemRandom, cryptoBytesMax } = options
    assert(suites.length > 0, 'a handshake needs a cipher suite')
    this.side = side
    this.suites = suites
    this.random = random
    this.#keyPair = keyPair
    this.#messages = new MessageReader(cryptoBytesMax ?? CRYPTO_BYTES_MAX)
  }

  get heldBytes(): number {
    return this.#messages.heldBytes
  }

  get established(): boolean {
    return this.#established
  }

  start(effects: TlsEffects): void {
    this.#run(effects, () => this.begin())
  }

  handle(level: Level, bytes: Uint8Array, effects: TlsEffects): void {
    if (bytes.length > 0) this.#run(effects, () => this.#read(level, bytes))
  }

  [Symbol.dispose](): void {
    this.#over = true
    this.#messages.drop()
    this.#wipe()
  }

  protected abstract begin(): void
  /** A message of the expected type; a view, valid during the call. Adds it to the transcript when it belongs there. */
  protected abstract take(message: Uint8Array, body: TlsReader): void
  /** Zeroes or lets go what only the handshake needs. */
  protected abstract forget(): void

  protected get effects(): TlsEffects {
    assert(this.#effects, 'TLS acts when nobody called it')
    return this.#effects
  }

  /** Bytes of the next level follow: none of this one may be left (RFC 9001 section 4.1.3). */
  protected readNext(level: Level): void {
    if (this.#messages.pending) refuseForQuic(`handshake bytes are left over in ${this.#level}`)
    this.#level = level
  }

  /** Adds messages of ours to the transcript and sends them. */
  protected send(level: Level, message: Uint8Array): void {
    this.transcript.add(message)
    this.effects.send(level, message)
  }

  /** Hands secrets out, as this side sees them, and zeroes them. */
  protected secrets(level: 'handshake' | 'application', suite: Suite, both: SidedSecrets): void {
    const [write, read] =
      this.side === 'client' ? [both.client, both.server] : [both.server, both.client]
    this.effects.secrets(level, { suite, read, write })
    write.fill(0)
    read.fill(0)
  }

  /** Our Certificate, CertificateVerify and Finished, after the messages of the transcript and `first`. */
  protected proof(first: readonly Uint8Array[]): Uint8Array {
    const { transcript, side } = this
    const parts: Uint8Array[] = []
    const add = (message: Uint8Array) => {
      transcript.add(message)
      parts.push(message)
    }
    for (const message of first) add(message)
    add(encodeCertificate(this.#keyPair.id))
    const signature = this.#keyPair.sign(signedContent(side, transcript.digest()))
    assert(signature.length === SIGNATURE_BYTES, 'a signature has 64 bytes')
    add(encodeCertificateVerify(signature))
    add(encodeFinished(this.schedule.finished(side, transcript.digest())))
    return concatBytes(...parts)
  }

  protected verify(message: Uint8Array, body: TlsReader, key: Uint8Array): void {
    checkCertificateVerify(body, this.#peerSide, key, this.transcript.digest())
    this.transcript.add(message)
  }

  protected finish(message: Uint8Array, body: TlsReader): void {
    const content = readFinished(body)
    if (!this.schedule.isFinished(this.#peerSide, this.transcript.digest(), content)) {
      refuse(Alert.decryptError, 'the Finished message is wrong')
    }
    this.transcript.add(message)
  }

  /** The peer is authenticated and everything was said. */
  protected succeed(node: NodeId, protocol: Uint8Array): void {
    this.#established = true
    this.#wipe()
    this.effects.established({ node, protocol })
  }

  get #peerSide(): Side {
    return this.side === 'client' ? 'server' : 'client'
  }

  #run(effects: TlsEffects, run: () => void): void {
    if (this.#over) return
    this.#effects = effects
    try {
      run()
    } catch (error) {
      if (!(error instanceof TlsRefusal)) throw error
      this[Symbol.dispose]()
      if (error.alert === undefined) effects.violation(error.message)
      else effects.alert(error.alert, error.message)
    } finally {
      this.#effects = undefined
    }
  }

  #read(level: Level, bytes: Uint8Array): void {
    if (level !== this.#level) {
      const rank = LEVELS.indexOf(level) - LEVELS.indexOf(this.#level)
      if (rank < 0) refuseForQuic(`more handshake bytes in ${level}`)
      refuse(Alert.unexpectedMessage, `handshake bytes in ${level} too early`)
    }
    this.#messages.feed(bytes)
    for (;;) {
      // Nothing comes after `dispose`, which drops what was fed.
      const message = this.#messages.next(this.expected)
      if (!message) return
      this.take(message, new TlsReader(message, HEAD_BYTES))
    }
  }

  #wipe(): void {
    this.transcript.end()
    this.schedule.wipe()
    this.forget()
  }
}

const LEVELS: readonly Level[] = Object.freeze(['initial', 'handshake', 'application'])
