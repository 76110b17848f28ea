/**
 * A TLS machine in either role, and packet keys, that change what they send as a script says: messages before they
 * enter the transcript, handshake bytes after that, frames before they are sealed.
 */
import { concatBytes } from '../../codec/index.ts'
import type { KeyPair } from '../../core/index.ts'
import type { PacketSecurity } from '../connection/connection-options.ts'
import type { Level, PacketKeys, TlsEffects } from '../contract.ts'
import { type Edit, edited, editedMessage, type Script, Site } from '../fuzz-script.fixture.ts'
import { writeNumber } from '../packet/header.ts'
import { writeVarint2 } from '../packet/varint.ts'
import { WrappedKeys } from '../wrapped-keys.fixture.ts'
import {
  encodeCertificate,
  encodeCertificateVerify,
  encodeFinished,
  signedContent,
} from './authentication.ts'
import { TlsClient, type TlsClientOptions } from './client.ts'
import type { KeySchedule, Side } from './key-schedule.ts'
import { TlsServer, type TlsServerOptions } from './server.ts'
import type { Transcript } from './transcript.ts'

const PACKET_BYTES_MAX = 1_300
const LEVELS: readonly Level[] = Object.freeze(['initial', 'handshake', 'application'])
/** What a packet edit does beside its bytes. */
const WRONG_LENGTH = 0x20
const RESERVED_BITS = 0x40
const OTHER_NUMBER = 0x80

export class Forger {
  readonly #script: Script
  #messages = 0
  #flights = 0
  /** Packets sealed so far. */
  readonly sealed = { initial: 0, handshake: 0, application: 0 }

  constructor(script: Script) {
    this.#script = script
  }

  message(bytes: Uint8Array): Uint8Array {
    return this.#edited(Site.message, this.#messages++, bytes, editedMessage)
  }

  flight(bytes: Uint8Array): Uint8Array {
    return this.#edited(Site.flight, this.#flights++, bytes, edited)
  }

  /** Handshake bytes out of turn that are to go out with those of a level. */
  *extra(levels: readonly Level[]): Generator<[Level, Uint8Array]> {
    for (const { site, index, payload } of this.#script.edits) {
      const level = LEVELS[Math.floor(index / 3)]!
      if (site === Site.crypto && levels.includes(level)) yield [level, payload]
    }
  }

  /** The edits of the next packet of a level. */
  packet(level: Level): readonly Edit[] {
    const which = this.sealed[level]++
    const site = Site[level]
    return this.#script.edits.filter((each) => each.site === site && each.index === which % 8)
  }

  security(real: PacketSecurity): PacketSecurity {
    let next: Level = 'handshake'
    const wrapped = (level: Level, { read, write }: { read: PacketKeys; write: PacketKeys }) => ({
      read,
      write: new ForgingKeys(write, level, this),
    })
    return {
      ...real,
      initialKeys: (id, role) => wrapped('initial', real.initialKeys(id, role)),
      levelKeys: (secrets) => {
        const level = next
        next = 'application'
        return wrapped(level, real.levelKeys(secrets))
      },
    }
  }

  #edited(
    site: number,
    which: number,
    bytes: Uint8Array,
    apply: (bytes: Uint8Array, edit: Edit) => Uint8Array,
  ): Uint8Array {
    let made = bytes
    for (const edit of this.#script.edits) {
      if (edit.site === site && edit.index === which) made = apply(made, edit)
    }
    return made
  }
}

class ForgingKeys extends WrappedKeys {
  readonly #level: Level
  readonly #forger: Forger

  constructor(real: PacketKeys, level: Level, forger: Forger) {
    super(real)
    this.#level = level
    this.#forger = forger
  }

  override seal(
    buffer: Uint8Array,
    start: number,
    headerEnd: number,
    plainEnd: number,
    packetNumber: number,
    numberLength: number,
  ): number {
    const edits = this.#forger.packet(this.#level)
    const numberAt = headerEnd - numberLength
    let end = plainEnd
    let number = packetNumber
    for (const edit of edits) {
      let plain = edited(buffer.slice(headerEnd, end), edit).subarray(0, PACKET_BYTES_MAX)
      // The header protection takes its sample from here.
      if (plain.length < 4) plain = concatBytes(plain, new Uint8Array(4 - plain.length))
      buffer.set(plain, headerEnd)
      end = headerEnd + plain.length
      if (this.#level !== 'application' && (edit.operation & WRONG_LENGTH) === 0) {
        writeVarint2(buffer, numberAt - 2, numberLength + plain.length + 16)
      }
      if ((edit.operation & RESERVED_BITS) !== 0) {
        buffer[start]! ^= this.#level === 'application' ? 0x18 : 0x0c
      }
      if ((edit.operation & OTHER_NUMBER) !== 0) {
        number = Math.max(packetNumber + (edit.at % 64) - 8, 0)
        writeNumber(buffer, numberAt, number, numberLength)
      }
    }
    return super.seal(buffer, start, headerEnd, end, number, numberLength)
  }

  protected override wrap(next: PacketKeys): PacketKeys {
    return new ForgingKeys(next, this.#level, this.#forger)
  }
}

/** What a machine in either role forges with, and what of the machine itself that takes. */
interface Forging {
  readonly forger: Forger
  readonly transcript: Transcript
  readonly effects: TlsEffects
}

/** A message as `HandshakeMachine` sends it, changed first. */
function forgedSend({ forger, transcript, effects }: Forging, level: Level, message: Uint8Array) {
  const made = forger.message(message)
  transcript.add(made)
  effects.send(level, forger.flight(made))
  for (const [each, bytes] of forger.extra(['initial'])) effects.send(each, bytes)
}

interface ForgingProof extends Forging {
  readonly keyPair: Pick<KeyPair, 'id' | 'sign'>
  readonly side: Side
  readonly schedule: KeySchedule
}

/** The proof of a side as `HandshakeMachine` makes it, over messages that were changed first. */
function forgedProof(proving: ForgingProof, first: readonly Uint8Array[]): Uint8Array {
  const { forger, transcript, effects, keyPair, side, schedule } = proving
  for (const [level, bytes] of forger.extra(['handshake', 'application'])) {
    effects.send(level, bytes)
  }
  const parts: Uint8Array[] = []
  const add = (message: Uint8Array) => {
    const made = forger.message(message)
    transcript.add(made)
    parts.push(made)
  }
  for (const message of first) add(message)
  add(encodeCertificate(keyPair.id))
  add(encodeCertificateVerify(keyPair.sign(signedContent(side, transcript.digest()))))
  add(encodeFinished(schedule.finished(side, transcript.digest())))
  return forger.flight(concatBytes(...parts))
}

export class ForgingClient extends TlsClient {
  readonly #forger: Forger
  readonly #pair: TlsClientOptions['keyPair']

  constructor(options: TlsClientOptions, forger: Forger) {
    super(options)
    this.#forger = forger
    this.#pair = options.keyPair
  }

  protected override send(level: Level, message: Uint8Array): void {
    const { transcript, effects } = this
    forgedSend({ forger: this.#forger, transcript, effects }, level, message)
  }

  protected override proof(first: readonly Uint8Array[]): Uint8Array {
    const { transcript, effects, schedule, side } = this
    const own = { forger: this.#forger, keyPair: this.#pair }
    return forgedProof({ ...own, transcript, effects, schedule, side }, first)
  }
}

export class ForgingServer extends TlsServer {
  readonly #forger: Forger
  readonly #pair: TlsServerOptions['keyPair']

  constructor(options: TlsServerOptions, forger: Forger) {
    super(options)
    this.#forger = forger
    this.#pair = options.keyPair
  }

  protected override send(level: Level, message: Uint8Array): void {
    const { transcript, effects } = this
    forgedSend({ forger: this.#forger, transcript, effects }, level, message)
  }

  protected override proof(first: readonly Uint8Array[]): Uint8Array {
    const { transcript, effects, schedule, side } = this
    const own = { forger: this.#forger, keyPair: this.#pair }
    return forgedProof({ ...own, transcript, effects, schedule, side }, first)
  }
}
