/** Connections in memory for `npm run costs`: the server's half stays, the client's half goes when it has done its part. */
import { type Account, BoundedMap, Ledger, planMemory, type Term } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { instant, ManualClock, Scope, seededRandom } from '../runtime/index.ts'
import { transportLimits } from '../transport/index.ts'
import { machineAccounts, noResets } from './accounts.fixture.ts'
import type { ConnectionEffects, KeyPairOfLevel } from './connection/connection-options.ts'
import { ConnectionMachine } from './connection-machine.ts'
import { levelKeys } from './crypto/initial-keys.ts'
import { Candidate, EndpointMachine } from './endpoint/endpoint-machine.ts'
import { writeCryptoHead, writeNewConnectionId } from './frames/write-frames.ts'
import { type QuicTerms, quicLimits, quicTerms } from './memory.ts'
import { writeNumber } from './packet/header.ts'
import { FIRST_RANGES } from './recovery/range-set.ts'
import type { QuicSecurity } from './security.ts'
import { tlsSecurity } from './security.ts'
import { Connections } from './shell/connections.ts'
import type { QuicConnection } from './shell/quic-connection.ts'
import { Remotes } from './shell/remotes.ts'

export const costLimits = quicLimits(transportLimits({ incomingTraced: false }))
export const costTerms = quicTerms({ ...costLimits, messagesMax: 64 })
/** Of few connections, because a handshake of both ends takes milliseconds. */
export const fewTerms = quicTerms(quicLimits(transportLimits({ connectionsMax: 16 })))

const wide = quicTerms(
  quicLimits(
    transportLimits({ endpointsMax: 2 ** 14, connectionsMax: 1024, receivePoolBytes: 2 ** 30 }),
    { handshakesMax: 1024 },
  ),
)
const options = { limitBytes: Number.MAX_SAFE_INTEGER }
const besides = new Ledger(planMemory(Object.values(wide), options))
export const PROTOCOL = new Uint8Array(32).fill(7)
export const KEYS = [1, 2].map((fill) => KeyPair.fromSeed(new Uint8Array(32).fill(fill)))
const nothing = { shown() {}, readable() {}, writable() {}, stopped() {}, granted() {}, gone() {} }

/** An account of a term beside the one that is measured. */
export const beside = (name: keyof QuicTerms): Account => besides.require(wide[name])

/** A ledger whose accounts of one term are the measured one. */
function ledgerWith(account: Account | undefined): Ledger {
  const require = (term: Term, open?: object) =>
    account && term.name === account.term.name ? account : besides.require(term, open)
  return Object.create(besides, { require: { value: require } }) as Ledger
}

export interface Bench {
  readonly connections: Connections
  /** A handshake with a client; the server's half stays. */
  connect(index: number): Link
}

export interface Link {
  readonly server: QuicConnection
  /** Frames of the client in a packet with this number. */
  forge(frames: Uint8Array, packetNumber?: number): void
}

export function costBench(account: Account | undefined, index: number): Bench {
  const scope = new Scope('costs', { clock: new ManualClock() })
  const random = seededRandom(index)
  const buffer = new Uint8Array(1_500)
  const security = tlsSecurity()
  const ledger = ledgerWith(account)
  const machine = new EndpointMachine({
    ...{ security, random, clock: scope.clock, buffer, incomingDatagramsMax: 4 },
    ...{ resetKey: PROTOCOL, tokenKey: PROTOCOL },
    accounts: {
      routes: beside('routes'),
      initials: beside('initials'),
      farewells: beside('farewells'),
      resetTokens: beside('resetTokens'),
    },
  })
  let toClient: ((bytes: Uint8Array) => void) | undefined
  const connections = new Connections({
    ...{ scope, ledger, terms: wide, limits: costLimits, security, random, machine, buffer },
    send: (length) => toClient?.(buffer.slice(0, length)),
  })
  return {
    connections,
    connect(each) {
      const link = handshake(connections, security, index * 1_000 + each, (deliver) => {
        toClient = deliver
      })
      toClient = undefined
      return link
    },
  }
}

function handshake(
  connections: Connections,
  security: QuicSecurity,
  seed: number,
  listen: (deliver: (bytes: Uint8Array) => void) => void,
): Link {
  const random = seededRandom(seed)
  const remote = { host: '127.0.0.1', port: 1 + (seed % 60_000) }
  let keys: KeyPairOfLevel | undefined
  const capturing: QuicSecurity = {
    ...security,
    levelKeys: (secrets) => {
      keys = security.levelKeys(secrets)
      return security.levelKeys(secrets)
    },
  }
  const held = machineAccounts(wide, (term) => besides.require(term))
  const original = random.bytes(16)
  const localId = { bytes: random.bytes(8), token: random.bytes(16) }
  const client = new ConnectionMachine(
    {
      ...{ role: 'client', security: capturing, random, remote, validated: false },
      tls: (parameters) =>
        security.client({
          keyPair: KEYS[0]!,
          expected: KEYS[1]!.id,
          protocol: PROTOCOL,
          parameters,
        }),
      router: { issue: () => undefined, retire() {}, ...noResets },
      ...{ localId, originalDestination: original },
      ...{ accounts: held.accounts, shared: held.shared },
      limits: { ...costLimits, congestionWindowBytesMax: 2 ** 20 },
      buffer: new Uint8Array(1_500),
    },
    instant(1),
  )
  const key = Buffer.from(original).toString('latin1')
  const candidate = new Candidate(key, remote, original, localId.bytes, undefined)
  const { connection } = connections.open({
    ...{ remotes: new Remotes([remote]), candidate, label: '127.0.0.1:1' },
    tls: serverTls(security),
  })
  let id: Uint8Array = new Uint8Array(8)
  const queue: Uint8Array[] = []
  const effects: ConnectionEffects = {
    ...nothing,
    send: (bytes, length) => void queue.push(bytes.slice(0, length)),
    established() {},
    ended() {},
  }
  listen((bytes) => {
    if ((bytes[0]! & 0x80) !== 0) id = bytes.slice(7 + bytes[5]!, 15 + bytes[5]!)
    client.receive(bytes, remote, instant(1), effects)
    client.flush(instant(1), effects)
  })
  client.start(instant(1), effects)
  client.flush(instant(1), effects)
  for (let turn = 0; turn < 6; turn++) {
    for (const bytes of queue.splice(0)) connection.receive(bytes, remote)
    connection.turn()
  }
  client[Symbol.dispose]()
  held[Symbol.dispose]()
  let next = 2 ** 20
  return {
    server: connection,
    forge(frames, packetNumber = next++) {
      const packet = new Uint8Array(13 + Math.max(frames.length, 4) + 16)
      packet[0] = 0x43
      packet.set(id, 1)
      writeNumber(packet, 9, packetNumber, 4)
      packet.set(frames, 13)
      keys!.write.seal(packet, 0, 13, packet.length - 16, packetNumber, 4)
      connection.receive(packet, remote)
    },
  }
}

/** Of its own: a closure of the handshake would keep the client. */
const serverTls = (security: QuicSecurity) => (parameters: Uint8Array) =>
  security.server({ keyPair: KEYS[1]!, protocols: [PROTOCOL], parameters })

/**
 * What a peer can make a connection hold beside streams and beside what is charged: the first ranges of packets, the
 * connection id that must be taken, the first gaps in the first kilobyte of handshake bytes, ids that are retired.
 */
export function worst(link: Link): void {
  const frame = new Uint8Array(60)
  for (let sequence = 1; sequence < 9; sequence++) {
    const id = new Uint8Array(8).fill(sequence)
    const token = new Uint8Array(16).fill(sequence)
    const retirePrior = Math.min(sequence, 7)
    const end = writeNewConnectionId(frame, 0, sequence, retirePrior, id, token)
    link.forge(frame.subarray(0, end))
  }
  for (let gap = 0; gap < FIRST_RANGES; gap++) {
    link.forge(frame.subarray(0, writeCryptoHead(frame, 0, 1 + 4 * gap, 1) + 1), 2 ** 21 + 2 * gap)
  }
}

/** What a connection has of other terms: its accounts, the table of its streams, and its keys. */
export function besideConnection(index: number): unknown {
  const streams = new BoundedMap(beside('streams'))
  const secret = new Uint8Array(32).fill(index)
  const { read, write } = levelKeys({ suite: 0x1301, read: secret, write: secret })
  return [
    read,
    write,
    streams,
    beside('opens'),
    beside('receive'),
    beside('send'),
    beside('records'),
    beside('gaps'),
    beside('ackRanges'),
    beside('crypto'),
    // The second of ours.
    { bytes: new Uint8Array(8), token: Buffer.alloc(16, index).toString('latin1') },
  ]
}
