/**
 * A stand-in for TLS in tests of the transport: the same levels, keys and effects, and no cryptography of its own.
 * What TLS itself must do is tested with TLS.
 */
import { createHash } from 'node:crypto'
import { concatBytes, copyBytes, equalBytes } from '../codec/index.ts'
import type { NodeId } from '../core/index.ts'
import type { LevelSecrets, Suite, TlsEffects, TlsMachine } from './contract.ts'
import type { QuicSecurity } from './security.ts'
import { toyKeys } from './toy-keys.fixture.ts'

const ALERT_NO_PROTOCOL = 120
const ALERT_UNKNOWN_ISSUER = 48

/** A hello is: node id (32), number of protocols or chosen, protocols with length, parameters. */
function pack(node: Uint8Array, protocols: readonly Uint8Array[], parameters: Uint8Array) {
  const parts = protocols.map((each) => concatBytes(Uint8Array.of(each.length), each))
  const body = concatBytes(node, Uint8Array.of(protocols.length), ...parts, parameters)
  return concatBytes(Uint8Array.of(body.length >> 8, body.length & 255), body)
}

class ToyTls implements TlsMachine {
  readonly #client: boolean
  readonly #node: Uint8Array
  readonly #expected: Uint8Array | undefined
  readonly #protocols: readonly Uint8Array[]
  readonly #parameters: Uint8Array
  readonly #suite: Suite
  #held: Uint8Array = new Uint8Array(0)
  #peer: NodeId | undefined
  #protocol: Uint8Array = new Uint8Array(0)
  established = false

  constructor(
    client: boolean,
    node: Uint8Array,
    expected: Uint8Array | undefined,
    protocols: readonly Uint8Array[],
    parameters: Uint8Array,
    suite: Suite,
  ) {
    this.#client = client
    this.#node = node
    this.#expected = expected
    this.#protocols = protocols
    this.#parameters = copyBytes(parameters)
    this.#suite = suite
  }

  get heldBytes(): number {
    return this.#held.length
  }

  start(effects: TlsEffects): void {
    if (this.#client) effects.send('initial', pack(this.#node, this.#protocols, this.#parameters))
  }

  handle(_level: 'initial' | 'handshake' | 'application', bytes: Uint8Array, effects: TlsEffects) {
    this.#held = concatBytes(this.#held, bytes)
    while (this.#held.length >= 2) {
      const length = this.#held[0]! * 256 + this.#held[1]!
      if (this.#held.length < 2 + length) return
      const body = copyBytes(this.#held, 2, 2 + length)
      this.#held = copyBytes(this.#held, 2 + length)
      this.#message(body, effects)
    }
  }

  [Symbol.dispose](): void {}

  #message(body: Uint8Array, effects: TlsEffects): void {
    if (body.length === 3) {
      // Finished of the client.
      this.established = true
      effects.established({ node: this.#peer!, protocol: this.#protocol })
      return
    }
    if (body.length === 5) return this.#keys('handshake', effects)
    const node = copyBytes(body, 0, 32)
    const offered: Uint8Array[] = []
    let at = 33
    for (let each = 0; each < body[32]!; each++) {
      offered.push(copyBytes(body, at + 1, at + 1 + body[at]!))
      at += 1 + body[at]!
    }
    this.#peer = node as NodeId
    if (this.#client) return this.#serverHello(node, offered, body.subarray(at), effects)
    const chosen = offered.find((each) => this.#protocols.some((own) => equalBytes(own, each)))
    if (!chosen) return effects.alert(ALERT_NO_PROTOCOL, 'no protocol in common')
    this.#protocol = chosen
    effects.send('initial', concatBytes(Uint8Array.of(0, 5), new Uint8Array(5)))
    this.#keys('handshake', effects)
    effects.peerParameters(body.subarray(at))
    effects.send('handshake', pack(this.#node, [chosen], this.#parameters))
    this.#keys('application', effects)
  }

  #serverHello(
    node: Uint8Array,
    offered: readonly Uint8Array[],
    parameters: Uint8Array,
    effects: TlsEffects,
  ): void {
    if (!equalBytes(node, this.#expected!))
      return effects.alert(ALERT_UNKNOWN_ISSUER, 'another key')
    effects.peerParameters(parameters)
    effects.send('handshake', Uint8Array.of(0, 3, 1, 2, 3))
    this.#keys('application', effects)
    this.established = true
    effects.established({ node: node as NodeId, protocol: offered[0]! })
  }

  #keys(level: 'handshake' | 'application', effects: TlsEffects): void {
    const client = toySecret(level, 'client')
    const server = toySecret(level, 'server')
    const secrets: LevelSecrets = this.#client
      ? { suite: this.#suite, read: server, write: client }
      : { suite: this.#suite, read: client, write: server }
    effects.secrets(level, secrets)
  }
}

/** Known to tests, which forge packets with it. */
export function toySecret(level: string, side: 'client' | 'server'): Uint8Array {
  return new Uint8Array(createHash('sha256').update(level).update(side).digest())
}

export function toySecurity(suite: Suite = 0x1301): QuicSecurity {
  const tag = (original: Uint8Array, packet: Uint8Array) =>
    new Uint8Array(createHash('sha256').update(original).update(packet).digest().subarray(0, 16))
  return {
    initialKeys(id, role) {
      const client = toyKeys(suite, createHash('sha256').update(id).update('client').digest())
      const server = toyKeys(suite, createHash('sha256').update(id).update('server').digest())
      return role === 'client' ? { read: server, write: client } : { read: client, write: server }
    },
    levelKeys: ({ read, write }) => ({ read: toyKeys(suite, read), write: toyKeys(suite, write) }),
    limits: () => ({ sealedMax: 2 ** 23, forgedMax: 2 ** 36 }),
    isRetryAuthentic(original, packet) {
      const end = packet.length - 16
      return equalBytes(tag(original, packet.subarray(0, end)), packet.subarray(end))
    },
    retryTag: tag,
    client: ({ keyPair, expected, protocol, parameters }) =>
      new ToyTls(true, keyPair.id, expected, [protocol], parameters, suite),
    server: ({ keyPair, protocols, parameters }) =>
      new ToyTls(false, keyPair.id, undefined, protocols, parameters, suite),
  }
}
