/** How the terms of QUIC are filled for `npm run costs`. */
import { type Account, BoundedMap, type CostCase, RingQueue, term } from '../bounds/index.ts'
import { ManualClock, Scope, seededRandom } from '../runtime/index.ts'
import { IncomingQueue } from '../transport/index.ts'
import { ApplicationKeys } from './connection/application-keys.ts'
import { EXTRA_IDS_MAX, LOCAL_IDS_MAX, LocalIds, RemoteIds } from './connection/connection-ids.ts'
import { CRYPTO_GAPS_MAX, CRYPTO_WINDOW_BYTES, PacketSpace } from './connection/space.ts'
import type { Level, TlsEffects } from './contract.ts'
import {
  beside,
  besideConnection,
  costBench,
  fewTerms,
  KEYS,
  costLimits as limits,
  PROTOCOL as protocol,
  costTerms as terms,
  worst,
} from './costs.fixture.ts'
import { AES_128_GCM, CHACHA20_POLY1305 } from './crypto/aead.ts'
import { levelKeys } from './crypto/initial-keys.ts'
import { Candidate, idKey, type Target } from './endpoint/endpoint-machine.ts'
import { Farewells } from './endpoint/farewells.ts'
import { ResetTokens } from './endpoint/reset-tokens.ts'
import { defaultParameters } from './packet/parameters.ts'
import { FIRST_RANGES, RangeSet } from './recovery/range-set.ts'
import { SentPackets } from './recovery/sent-packets.ts'
import { type QuicSecurity, tlsSecurity } from './security.ts'
import { QuicReceiveStream } from './shell/receive-stream.ts'
import { SendSlots } from './shell/send-slots.ts'
import { QuicSendStream } from './shell/send-stream.ts'
import type { StreamOwner } from './shell/stream-owner.ts'
import { RECEIVED_RANGES_MAX } from './sizes.ts'
import { RING_FIRST_BYTES } from './streams/offset-ring.ts'
import { Reassembly } from './streams/reassembly.ts'
import { SendBuffer } from './streams/send-buffer.ts'
import { type Stream, Streams } from './streams/streams.ts'

/** What a full set of ranges costs beside its first ones. */
const SET_BYTES = 16 * (RECEIVED_RANGES_MAX - FIRST_RANGES)
/** A header of one byte and a number, and the sample of the header protection. */
const packet = new Uint8Array(64)

/** Keys in the middle of an update: both directions are used, and those of the phase before and after are there. */
function fillKeys(account: Account, index: number, suite: 0x1301 | 0x1303): unknown {
  const kept: ApplicationKeys[] = []
  for (let each = 0; each < account.term.entriesMax; each++) {
    if (account.take(0, 1) !== 'ok') throw new Error('a place for each connection')
    const secret = new Uint8Array(32).fill(index + each)
    const { read, write } = levelKeys({ suite, read: secret, write: secret })
    const keys = new ApplicationKeys(read, write, 1, 2)
    keys.sealed(0)
    keys.update(0)
    keys.forPacket(1 - keys.phase, 2)
    for (const used of [keys.read, keys.write]) used.unmask(packet, 0, 1)
    kept.push(keys)
  }
  return kept
}

/** Undecided ones with as many datagrams as there is room for. */
function fillIncoming(account: Account, index: number): unknown {
  const scope = new Scope('costs', { clock: new ManualClock() })
  const queue = new IncomingQueue({ scope, account, deadlineMs: 1_000, traced: false })
  const iterator = queue[Symbol.asyncIterator]()
  const taken: unknown[] = []
  const { entriesMax, payloadBytesMax } = account.term
  const random = seededRandom(index)
  const each = Math.floor(payloadBytesMax / entriesMax)
  for (let entry = 0; entry < entriesMax; entry++) {
    const [destination, peerId] = [random.bytes(16), random.bytes(8)]
    const key = Buffer.from(destination).toString('latin1')
    const remote = { host: `10.0.${index % 256}.${entry}`, port: entry }
    const candidate = new Candidate(key, remote, destination, peerId, undefined)
    for (let left = each; left > 0; left -= 1_200) {
      candidate.keep(random.bytes(Math.min(left, 1_200)), remote)
    }
    candidate.handle = queue.offer({
      remote: `${remote.host}:${remote.port}`,
      validated: false,
      bytes: candidate.waitingBytes,
      accept: () => Promise.reject(new Error(candidate.key)),
      refuse: () => candidate.forget(),
      retry: () => candidate.forget(),
      ignore: () => candidate.forget(),
    })
    taken.push(iterator.next())
  }
  return [queue, taken]
}

function fillConnections(account: Account, index: number): unknown {
  const bench = costBench(account, index)
  for (let each = 0; each < account.term.entriesMax; each++) worst(bench.connect(each))
  return bench
}

function besideConnections(index: number): unknown {
  const bench = costBench(undefined, index)
  const { entriesMax } = fewTerms.connections
  return [bench, Array.from({ length: entriesMax }, (_, each) => besideConnection(each))]
}

/**
 * Streams of a connection at their worst: the first gaps in what has come and in what was acknowledged, and the rings of
 * a kilobyte that no other term pays for.
 */
function fillStreams(account: Account): unknown {
  const streams = streamsWith(account)
  const bytes = new Uint8Array(1)
  const handles: unknown[] = []
  for (let index = 0; index < limits.streamsMax; index++) {
    for (const id of [4 * index, 4 * index + 2]) {
      for (let gap = 0; gap < FIRST_RANGES; gap++)
        streams.stream(id, 1 + 2 * gap, bytes, 0, 1, false)
    }
    handles.push(fragmented(streams.open(true)!), fragmented(streams.open(false)!))
  }
  for (const stream of streams.streams()) handles.push(fragmented(stream))
  return [streams, handles]
}

const packet1000 = new Uint8Array(1_000)

/** Of what was sent every other byte is acknowledged and the rest lost. */
function fragmented(stream: Stream): unknown {
  const { send, receive } = stream
  if (send?.buffer.written === 0) {
    const { buffer } = send
    buffer.write(packet1000, 0, packet1000.length)
    buffer.next(packet1000.length)
    buffer.take(packet1000, 0)
    for (let at = 1; at < 4 * FIRST_RANGES; at += 4) {
      buffer.acked(at, 1)
      buffer.lost(at + 2, 1)
    }
  }
  return {
    stream,
    send: send && new QuicSendStream(stream, owner),
    receive: receive && new QuicReceiveStream(stream, owner),
    woken: false,
    next: undefined,
  }
}

const owner = {} as StreamOwner

function streamsWith(account: Account): Streams {
  const streams = new Streams({
    ...{ client: false, limits },
    accounts: {
      ...{ streams: account, receive: beside('receive') },
      ...{ send: beside('send'), gaps: beside('gaps') },
    },
    events: { shown() {}, readable() {}, writable() {}, stopped() {}, granted() {}, gone() {} },
  })
  const peer = defaultParameters()
  streams.fillParameters(peer)
  peer.initialMaxData = 2 ** 30
  streams.peerParameters(peer)
  return streams
}

/** Servers that wait for the last part of the client: TLS, keys of two levels, and their flights. */
function fillHandshakes(account: Account, index: number): unknown {
  const kept: unknown[] = []
  const security = tlsSecurity()
  for (let each = 0; each < account.term.entriesMax; each++) {
    if (account.take(0, 1) !== 'ok') throw new Error('a place for each handshake')
    kept.push(halfOpen(security, index * 1_000 + each))
  }
  return kept
}

function halfOpen(security: QuicSecurity, seed: number): unknown {
  const records = beside('records')
  const spaces = { initial: space('initial', records), handshake: space('handshake', records) }
  const keys: unknown[] = [security.initialKeys(seededRandom(seed).bytes(8), 'server')]
  const server = security.server({ keyPair: KEYS[1]!, protocols: [protocol], parameters: protocol })
  const effects = (sent: (level: Level, bytes: Uint8Array) => void): TlsEffects => ({
    send: sent,
    secrets: (_level, secrets) => void keys.push(security.levelKeys(secrets)),
    peerParameters() {},
    established() {},
    alert: (alert, message) => {
      throw new Error(`alert ${alert}: ${message}`)
    },
    violation: (message) => {
      throw new Error(message)
    },
  })
  const client = security.client({
    ...{ keyPair: KEYS[0]!, expected: KEYS[1]!.id, protocol, parameters: protocol },
  })
  client.start(
    effects((level, bytes) => {
      server.handle(
        level,
        bytes,
        effects((own, answer) => {
          if (own !== 'application') spaces[own].cryptoOut.write(answer, 0, answer.length)
        }),
      )
    }),
  )
  client[Symbol.dispose]()
  // What a client may send out of order meanwhile, beside what is charged, and of a message in pieces.
  for (const each of Object.values(spaces)) {
    for (let gap = 0; gap < FIRST_RANGES; gap++) {
      each.cryptoIn.add(1 + 200 * gap, protocol, 0, protocol.length)
      each.note(2 * gap, true, 0, 0)
    }
  }
  return [server, spaces, keys, new Uint8Array(2_048)]
}

const space = (level: Level, records: Account) => new PacketSpace(level, { records })

/** Sets of ranges, as many as there is room for. */
function fillRanges(account: Account): unknown {
  return Array.from({ length: account.term.payloadBytesMax / SET_BYTES }, () => {
    const set = new RangeSet(RECEIVED_RANGES_MAX, account)
    for (let range = 0; set.add(2 * range, 2 * range + 1); range++);
    return set
  })
}

/** The same sets with the ranges that no account pays for. */
function besideRanges(bytes: number): unknown {
  return Array.from({ length: bytes / SET_BYTES }, () => {
    const set = new RangeSet(FIRST_RANGES)
    for (let range = 0; set.add(2 * range, 2 * range + 1); range++);
    return set
  })
}

/** Handshake bytes of two levels, with a gap at the start of their windows. */
function fillCrypto(account: Account): unknown {
  const levels = [1, 2].map(() => new Reassembly(CRYPTO_GAPS_MAX, account, account))
  for (const each of levels) each.add(CRYPTO_WINDOW_BYTES - 1, packet, 0, 1)
  return levels
}

/** The first ring of each, and what a large ring takes beside its bytes, which is with the connection: 114 bytes. */
const besideCrypto = (): unknown => [
  [1, 2].map(() => {
    const level = new Reassembly(CRYPTO_GAPS_MAX)
    level.add(1, packet, 0, 1)
    return level
  }),
  new Uint8Array(64),
]

const noRouter = {
  issue: () => undefined,
  retire() {},
  expectReset() {},
  forgetReset() {},
}

/** Peers that give all ids that they may, and of ours the second. */
function fillIds(account: Account, index: number): unknown {
  const kept: unknown[] = []
  const random = seededRandom(index)
  const issued = () => ({ bytes: random.bytes(8), token: random.bytes(16) })
  while (account.entries < account.term.entriesMax) {
    const remote = new RemoteIds(noRouter, account, random.bytes(8))
    const local = new LocalIds({ ...noRouter, issue: issued }, account, issued())
    local.fill(LOCAL_IDS_MAX)
    for (let sequence = 1; sequence < remote.limit; sequence++) {
      remote.add(sequence, 0, random.bytes(8), random.bytes(16))
    }
    kept.push(remote, local)
  }
  return kept
}

function besideIds(index: number): unknown {
  const random = seededRandom(index)
  const none = beside('ids')
  const pairs = terms.ids.entriesMax / EXTRA_IDS_MAX
  const kept = Array.from({ length: pairs }, () => {
    const issued = () => ({ bytes: random.bytes(8), token: random.bytes(16) })
    const remote = new RemoteIds(noRouter, none, random.bytes(8))
    const local = new LocalIds({ ...noRouter, issue: issued }, none, issued())
    remote.add(1, 0, random.bytes(8), random.bytes(16))
    return [remote, local]
  })
  return kept
}

function fillResetTokens(account: Account, index: number): unknown {
  const random = seededRandom(index)
  const tokens = new ResetTokens<Target>(account, random.bytes(32))
  const target: Target = { receive() {}, takeReset: () => false }
  while (account.entries < account.term.entriesMax) {
    tokens.add(Buffer.from(random.bytes(16)).toString('latin1'), target)
  }
  return tokens
}

function fillRetryTokens(account: Account): unknown {
  const { entriesMax, payloadBytesMax } = account.term
  const each = Math.floor(payloadBytesMax / entriesMax)
  return Array.from({ length: entriesMax }, () => {
    account.require(each, 1)
    return new Uint8Array(each)
  })
}

/** The sending part of a connection: the ring of one stream that nobody acknowledges. */
function fillSend(account: Account): unknown {
  const buffers: SendBuffer[] = []
  const bytes = new Uint8Array(32 * 1024)
  while (account.freeBytes > 0) {
    const buffer = new SendBuffer(account)
    if (!buffer.write(bytes, 0, bytes.length)) break
    buffers.push(buffer)
  }
  return buffers
}

/** The streams whose rings they are, each with its first kilobyte. */
function besideSend(): unknown {
  const account = beside('send')
  return Array.from({ length: terms.send.payloadBytesMax / (32 * 1024) }, () => {
    const buffer = new SendBuffer(account)
    buffer.write(new Uint8Array(1), 0, 1)
    return buffer
  })
}

function fillRecords(account: Account): unknown {
  const sent = new SentPackets(account)
  for (let number = 0; sent.hasRoom(); number++) {
    sent.ref(1, number, 0, 1)
    sent.commit(number, 0, 1_200)
  }
  return sent
}

/** The part of the connection: records of one packet. */
function besideRecords(): unknown {
  const sent = new SentPackets(beside('records'))
  if (sent.hasRoom()) sent.commit(0, 0, 1)
  return sent
}

function fillRoutes(account: Account, index: number): unknown {
  const random = seededRandom(index)
  const target: Target = { receive() {}, takeReset: () => false }
  const routes = new BoundedMap<number, Target>(account)
  while (routes.set(idKey(random.bytes(8), 0), target) === 'ok');
  return routes
}

function fillInitials(account: Account, index: number): unknown {
  const random = seededRandom(index)
  const target: Target = { receive() {}, takeReset: () => false }
  const initials = new BoundedMap<string, Target>(account)
  while (initials.set(Buffer.from(random.bytes(20)).toString('latin1'), target) === 'ok');
  return initials
}

function fillMessages(account: Account): unknown {
  const { entriesMax, payloadBytesMax } = account.term
  const messages = new RingQueue<Uint8Array>(account, { bytesOf: (bytes) => bytes.length })
  const each = Math.floor(payloadBytesMax / entriesMax)
  while (messages.push(new Uint8Array(each)) === 'ok' && messages.lost === 0);
  return messages
}

function fillDatagrams(account: Account): unknown {
  const slots = [1, 2].map(() => new SendSlots(account, limits.datagramBytesMax))
  for (const each of slots) each.touch()
  return slots
}

export const costs: readonly CostCase[] = Object.freeze([
  {
    term: terms.keys,
    variant: 'AES',
    fill: (account: Account, index: number) => fillKeys(account, index, AES_128_GCM),
  },
  {
    term: terms.keys,
    variant: 'ChaCha20',
    fill: (account: Account, index: number) => fillKeys(account, index, CHACHA20_POLY1305),
  },
  { term: terms.incoming, variant: 'quic', fill: fillIncoming },
  {
    term: fewTerms.connections,
    variant: 'quic',
    fill: fillConnections,
    beside: besideConnections,
    instances: 6,
    warmUps: 2,
  },
  {
    term: terms.streams,
    variant: 'quic',
    fill: fillStreams,
    beside: () => [beside('receive'), beside('send')],
  },
  {
    term: fewTerms.handshakes,
    fill: fillHandshakes,
    beside: () => Array.from({ length: fewTerms.handshakes.entriesMax }, () => beside('records')),
    instances: 6,
    warmUps: 2,
  },
  { term: terms.send, fill: fillSend, beside: besideSend },
  // As much as its two rings can take of it.
  {
    term: term({ ...terms.records, payloadBytesMax: 112 * 1024 }),
    fill: fillRecords,
    beside: besideRecords,
  },
  // Whole sets, of which one fills a connection's share of acknowledgements.
  ...[terms.gaps, terms.ackRanges].map((each) => {
    const sets = Math.floor(each.payloadBytesMax / SET_BYTES)
    const whole = term({ ...each, payloadBytesMax: sets * SET_BYTES })
    return { term: whole, fill: fillRanges, beside: () => besideRanges(whole.payloadBytesMax) }
  }),
  {
    term: term({ ...terms.crypto, payloadBytesMax: 2 * (CRYPTO_WINDOW_BYTES - RING_FIRST_BYTES) }),
    fill: fillCrypto,
    beside: besideCrypto,
  },
  { term: terms.ids, fill: fillIds, beside: besideIds },
  { term: terms.resetTokens, fill: fillResetTokens },
  { term: terms.retryTokens, fill: fillRetryTokens },
  { term: terms.routes, fill: fillRoutes },
  { term: terms.initials, fill: fillInitials },
  { term: terms.farewells, fill: (account: Account) => new Farewells(account) },
  { term: terms.datagrams, fill: fillDatagrams },
  { term: terms.messages, fill: fillMessages },
])
