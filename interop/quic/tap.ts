/**
 * Looks into the packets of our own endpoint where they are not sealed: which cipher was agreed on, what each side
 * says when it closes, and the last frames of both, as evidence when the two do not understand each other.
 *
 * It stands around the packet keys, so it sees what was authentic and nothing else. Memory: the last `FRAMES_MAX`
 * frames as texts.
 */
import type { LevelSecrets, PacketKeys, Suite } from '../../packages/weir/src/quic/contract.ts'
import type { FrameSink } from '../../packages/weir/src/quic/frames/frame-types.ts'
import { readFrames } from '../../packages/weir/src/quic/frames/read-frames.ts'
import { Cursor } from '../../packages/weir/src/quic/packet/varint.ts'
import type { QuicSecurity } from '../../packages/weir/src/quic/security.ts'
import { WrappedKeys } from '../../packages/weir/src/quic/wrapped-keys.fixture.ts'

const FRAMES_MAX = 60

/** A CONNECTION_CLOSE frame. */
export interface SeenClose {
  readonly by: 'us' | 'peer'
  readonly application: boolean
  readonly code: number
  readonly reason: string
}

export class Tap {
  readonly security: QuicSecurity
  /** Those that secrets were made for, in order. */
  readonly suites: Suite[] = []
  readonly closes: SeenClose[] = []
  readonly #frames: string[] = []
  /** Whether frames are noted; closes always are. */
  #noting = true

  constructor(real: QuicSecurity) {
    const wrapped = (level: string, keys: { readonly read: PacketKeys; write: PacketKeys }) => ({
      read: new TappedKeys(keys.read, level, this),
      write: new TappedKeys(keys.write, level, this),
    })
    this.security = {
      ...real,
      initialKeys: (id, role) => wrapped('initial ', real.initialKeys(id, role)),
      levelKeys: (secrets: LevelSecrets) => {
        this.suites.push(secrets.suite)
        return wrapped('', real.levelKeys(secrets))
      },
    }
  }

  /** Stops noting frames, which costs as much as handling them. */
  quiet(): void {
    this.#noting = false
  }

  /** Whether packets have to be looked at. */
  get noting(): boolean {
    return this.#noting
  }

  /** The error codes of QUIC with which connections were closed by this side or that. */
  codes(by: 'us' | 'peer'): number[] {
    return this.closes.flatMap((each) => (each.by === by && !each.application ? [each.code] : []))
  }

  /** The last frames, for the message of a test that fails. */
  story(): string {
    return this.#frames.join('\n')
  }

  /** @internal */
  packet(by: 'us' | 'peer', name: string, bytes: Uint8Array, from: number, to: number): void {
    const said: string[] = []
    const sink = new Notes(said, (application, code, reason) => {
      this.closes.push({ by, application, code, reason })
    })
    const read = readFrames(new Cursor().reset(bytes, from, to), 'application', sink)
    if (typeof read !== 'number') said.push(`BAD ${read.code} ${read.reason}`)
    this.#frames.push(`${by === 'us' ? '>' : '<'} ${name} ${said.join(', ')}`)
    if (this.#frames.length > FRAMES_MAX) this.#frames.shift()
  }
}

class TappedKeys extends WrappedKeys {
  readonly #level: string
  readonly #tap: Tap

  constructor(real: PacketKeys, level: string, tap: Tap) {
    super(real)
    this.#level = level
    this.#tap = tap
  }

  override seal(
    buffer: Uint8Array,
    start: number,
    headerEnd: number,
    plainEnd: number,
    packetNumber: number,
    packetNumberLength: number,
  ): number {
    if (this.#tap.noting) this.#note('us', packetNumber, buffer, headerEnd, plainEnd)
    return super.seal(buffer, start, headerEnd, plainEnd, packetNumber, packetNumberLength)
  }

  override open(
    buffer: Uint8Array,
    start: number,
    headerEnd: number,
    end: number,
    packetNumber: number,
  ): number {
    const plainEnd = super.open(buffer, start, headerEnd, end, packetNumber)
    if (this.#tap.noting && plainEnd >= 0) {
      this.#note('peer', packetNumber, buffer, headerEnd, plainEnd)
    }
    return plainEnd
  }

  protected override wrap(next: PacketKeys): PacketKeys {
    return new TappedKeys(next, this.#level, this.#tap)
  }

  #note(by: 'us' | 'peer', number: number, bytes: Uint8Array, from: number, to: number): void {
    this.#tap.packet(by, `${this.#level}#${number}`, bytes, from, to)
  }
}

type ClosedNote = (application: boolean, code: number, reason: string) => void

class Notes implements FrameSink {
  readonly #said: string[]
  readonly #closed: ClosedNote

  constructor(said: string[], closed: ClosedNote) {
    this.#said = said
    this.#closed = closed
  }

  ack(largest: number): undefined {
    this.#said.push(`ack ${largest}`)
  }

  ackRange(): void {}

  ackEnd(): undefined {}

  crypto(offset: number, bytes: Uint8Array): undefined {
    this.#said.push(`crypto ${offset}+${bytes.length}`)
  }

  stream(
    id: number,
    offset: number,
    _bytes: Uint8Array,
    _from: number,
    length: number,
    fin: boolean,
  ): undefined {
    this.#said.push(`stream ${id} ${offset}+${length}${fin ? ' fin' : ''}`)
  }

  resetStream(id: number, code: number, finalSize: number): undefined {
    this.#said.push(`reset ${id} ${code} ${finalSize}`)
  }

  stopSending(id: number, code: number): undefined {
    this.#said.push(`stop ${id} ${code}`)
  }

  maxData(limit: number): undefined {
    this.#said.push(`max-data ${limit}`)
  }

  maxStreamData(id: number, limit: number): undefined {
    this.#said.push(`max-stream-data ${id} ${limit}`)
  }

  maxStreams(bidi: boolean, limit: number): undefined {
    this.#said.push(`max-streams ${bidi ? 'bidi' : 'uni'} ${limit}`)
  }

  blocked(id: number): undefined {
    this.#said.push(`blocked ${id}`)
  }

  newConnectionId(sequence: number, retirePrior: number): undefined {
    this.#said.push(`new-id ${sequence} ${retirePrior}`)
  }

  retireConnectionId(sequence: number): undefined {
    this.#said.push(`retire-id ${sequence}`)
  }

  pathChallenge(): undefined {
    this.#said.push('path-challenge')
  }

  pathResponse(): undefined {
    this.#said.push('path-response')
  }

  newToken(): undefined {
    this.#said.push('new-token')
  }

  handshakeDone(): undefined {
    this.#said.push('handshake-done')
  }

  datagram(bytes: Uint8Array): undefined {
    this.#said.push(`datagram ${bytes.length}`)
  }

  close(application: boolean, code: number, reason: Uint8Array): void {
    const text = Buffer.from(reason).toString()
    this.#said.push(`close ${application ? 'application' : 'transport'} ${code} ${text}`)
    this.#closed(application, code, text)
  }
}
