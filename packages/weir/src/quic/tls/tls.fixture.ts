/** Two ends of a handshake without a network, for tests. */
import { KeyPair } from '../../core/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import type { Level, LevelSecrets, TlsEffects, TlsMachine } from '../contract.ts'
import { TlsClient, type TlsClientOptions, TlsServer, type TlsServerOptions } from './index.ts'

export const clientPair: KeyPair = KeyPair.fromSeed(new Uint8Array(32).fill(1))
export const serverPair: KeyPair = KeyPair.fromSeed(new Uint8Array(32).fill(2))
export const PROTOCOL: Uint8Array = new TextEncoder().encode('weir/test')
export const CLIENT_PARAMETERS: Uint8Array = Uint8Array.of(1, 1, 30, 15, 0)
export const SERVER_PARAMETERS: Uint8Array = Uint8Array.of(1, 1, 40, 15, 0, 0, 1, 7)

/** What a machine did, in its order and with copies of all bytes. */
export class Told implements TlsEffects {
  readonly sent: { level: Level; bytes: Uint8Array }[] = []
  readonly keys: { level: Level; secrets: LevelSecrets }[] = []
  parameters: Uint8Array | undefined
  peer: { readonly node: Uint8Array; readonly protocol: Uint8Array } | undefined
  /** The alert, or the word for a violation of QUIC. */
  failure: number | 'violation' | undefined
  message = ''

  send(level: Level, bytes: Uint8Array): void {
    this.sent.push({ level, bytes })
  }

  secrets(level: Level, { suite, read, write }: LevelSecrets): void {
    this.keys.push({ level, secrets: { suite, read: read.slice(), write: write.slice() } })
  }

  peerParameters(bytes: Uint8Array): void {
    this.parameters = bytes.slice()
  }

  established(peer: { readonly node: Uint8Array; readonly protocol: Uint8Array }): void {
    this.peer = { node: peer.node.slice(), protocol: peer.protocol.slice() }
  }

  alert(alert: number, message: string): void {
    this.#fail(alert, message)
  }

  violation(message: string): void {
    this.#fail('violation', message)
  }

  #fail(failure: number | 'violation', message: string): void {
    if (this.failure !== undefined) throw new Error('a machine failed twice')
    this.failure = failure
    this.message = message
  }
}

export class End {
  readonly machine: TlsMachine
  readonly record = new Told()

  constructor(machine: TlsMachine) {
    this.machine = machine
  }

  start(): void {
    this.machine.start(this.record)
  }

  handle(level: Level, bytes: Uint8Array): void {
    this.machine.handle(level, bytes, this.record)
  }
}

export const client = (own: Partial<TlsClientOptions> = {}): End =>
  new End(
    new TlsClient({
      keyPair: clientPair,
      expected: serverPair.id,
      protocol: PROTOCOL,
      parameters: CLIENT_PARAMETERS,
      random: seededRandom(3),
      ...own,
    }),
  )

export const server = (own: Partial<TlsServerOptions> = {}): End =>
  new End(
    new TlsServer({
      keyPair: serverPair,
      protocols: [PROTOCOL],
      parameters: SERVER_PARAMETERS,
      random: seededRandom(4),
      ...own,
    }),
  )

/** What one end sent reaches the other, until both are silent. `change` may alter or drop a flight. */
export function converse(
  left: End,
  right: End,
  change: (from: End, level: Level, bytes: Uint8Array) => readonly Uint8Array[] = (
    _,
    __,
    bytes,
  ) => [bytes],
): void {
  const done = new Map([
    [left, 0],
    [right, 0],
  ])
  left.start()
  right.start()
  for (let busy = true; busy; ) {
    busy = false
    for (const [from, to] of [
      [left, right],
      [right, left],
    ] as const) {
      for (let at = done.get(from)!; at < from.record.sent.length; at++) {
        const { level, bytes } = from.record.sent[at]!
        done.set(from, at + 1)
        busy = true
        for (const part of change(from, level, bytes)) to.handle(level, part)
      }
    }
  }
}
