/** An endpoint on UDP: strangers, caps, and what is left when they are gone. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { type Counters, instant, isWeirError, seededRandom, systemClock } from '../runtime/index.ts'
import {
  type Connection,
  type Endpoint,
  FixedAddresses,
  type Incoming,
  parseAddress,
  type TransportLimits,
  transportLimits,
} from '../transport/index.ts'
import { type EndpointEffects, EndpointMachine } from './endpoint/endpoint-machine.ts'
import { resetToken } from './endpoint/stateless.ts'
import { Tokens } from './endpoint/tokens.ts'
import { type QuicLimits, quicLimits, quicTerms } from './memory.ts'
import { writeIds } from './packet/header.ts'
import { toySecurity } from './toy-tls.fixture.ts'
import { quicTransportOf } from './transport.ts'

const PROTOCOL = new Uint8Array(32).fill(7)

interface Setting {
  readonly a: Endpoint
  readonly b: Endpoint
  readonly ledger: Ledger
  readonly counters: Counters
  connect(): Promise<[Connection, Connection]>
}

async function withEndpoints(
  limits: Partial<TransportLimits>,
  own: Partial<QuicLimits>,
  run: (setting: Setting) => Promise<void>,
): Promise<void> {
  const planned = quicTransportOf(toySecurity(), own).plan({ ...limits, endpointsMax: 2 })
  await withLedger(planned.terms, async (ledger, scope, { counters }) => {
    const open = () =>
      planned.open({
        ...{ scope, ledger, keyPair: KeyPair.generate(), protocols: [PROTOCOL] },
        lookup: new FixedAddresses([]),
      })
    const [a, b] = [await open(), await open()]
    const connect = async (): Promise<[Connection, Connection]> => {
      const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      return Promise.all([dial, next(b).then((incoming) => incoming.accept())])
    }
    await run({ a, b, ledger, counters, connect })
    await a.close()
    await b.close()
  })
}

async function next(endpoint: Endpoint): Promise<Incoming> {
  for await (const incoming of endpoint.incoming) return incoming
  throw new Error('the endpoint closed')
}

const limited = (scope: string) => (error: unknown) => {
  assert.ok(isWeirError(error, 'LIMIT'), String(error))
  assert.equal(error.limit?.scope, scope)
  return true
}

/** The first datagram of a client that never says anything more, and nothing that could be opened. */
function spoofedInitial(seed: number): Uint8Array {
  const random = seededRandom(seed)
  const bytes = random.bytes(1_200)
  bytes[0] = 0xc3
  let at = writeIds(bytes, 1, 1, random.bytes(8), random.bytes(8))
  bytes[at++] = 0
  bytes.set([0x44, 0x00], at)
  return bytes
}

test('strangers who dial and never speak take their places and no more, and others get in', async () => {
  const limits = { incomingMax: 32, incomingDeadlineMs: 300, connectTimeoutMs: 3_000 }
  await withEndpoints(limits, {}, async ({ b, ledger, counters, connect }) => {
    const [out, into] = await connect()
    const { host, port } = parseAddress(b.localAddresses[0]!)
    const socket = createSocket('udp4')
    const before = ledger.costBytes
    for (let seed = 0; seed < 2_000; seed++) {
      const bytes = spoofedInitial(seed)
      await new Promise((resolve) => socket.send(bytes, port, host, resolve))
    }
    await sleep(50)
    assert.ok(counters.value('transport_incoming_overflow_total') > 1_000)
    const incoming = [...ledger.rows()].find((row) => row.term.name === 'transport.incoming')!
    assert.ok(incoming.entries <= 32)
    // Who is in already notices nothing.
    const send = await out.openUni()
    await send.write(PROTOCOL)
    await send.finish()
    for await (const part of await into.acceptUni()) assert.deepEqual(part, PROTOCOL)
    await sleep(600)
    await new Promise<void>((resolve) => socket.close(() => resolve()))
    assert.equal(incoming.term.entriesMax, 32)
    assert.equal(ledger.row(incoming.term).entries, 0)
    const initials = [...ledger.rows()].find((row) => row.term.name === 'quic.initials')!
    assert.equal(initials.entries, 0)
    assert.ok(ledger.costBytes <= before + 8_192)
    await connect()
  })
})

test('N+1: one handshake more than strangers may have is refused', async () => {
  const own = { handshakesMax: 1 }
  await withEndpoints({ connectTimeoutMs: 400 }, own, async ({ b }) => {
    const { host, port } = parseAddress(b.localAddresses[0]!)
    const socket = createSocket('udp4')
    for (const seed of [1, 2]) {
      const bytes = spoofedInitial(seed)
      await new Promise((resolve) => socket.send(bytes, port, host, resolve))
    }
    const first = (await next(b)).accept()
    const second = (await next(b)).accept()
    await assert.rejects(second, limited('quic.handshakes'))
    await assert.rejects(first, (error: unknown) => isWeirError(error, 'CONNECT_FAILED'))
    await new Promise<void>((resolve) => socket.close(() => resolve()))
  })
})

test('N+1: one call more than may wait to open a stream is refused', async () => {
  await withEndpoints({ streamsMax: 1, opensMax: 2 }, {}, async ({ connect }) => {
    const [out] = await connect()
    await out.openUni()
    const waits = Promise.allSettled([out.openUni(), out.openUni()])
    await assert.rejects(out.openUni(), limited('transport.opens'))
    out.close()
    await waits
  })
})

test('N+1: a connection whose first credit the pool has not is refused', async () => {
  const limits = {
    receivePoolBytes: 40 * 1024,
    connectionWindowBytesMax: 40 * 1024,
    windowBytesMax: 20 * 1024,
  }
  await withEndpoints(limits, {}, async ({ a, b, connect }) => {
    await connect()
    const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
    await assert.rejects(dial, limited('transport.receive'))
  })
})

test('a small pool of send buffers makes writers wait and stops nobody', async () => {
  const own = { sendPoolBytes: 8 * 1024, connectionSendBytesMax: 8 * 1024 }
  await withEndpoints({}, own, async ({ connect, ledger }) => {
    const [out, into] = await connect()
    const bytes = seededRandom(1).bytes(200_000)
    const parts: Uint8Array[] = []
    const send = await out.openUni()
    const write = send.write(bytes).then(() => send.finish())
    for await (const part of await into.acceptUni()) parts.push(part)
    await write
    assert.deepEqual(Buffer.concat(parts), Buffer.from(bytes))
    const pool = [...ledger.rows()].find((row) => row.term.name === 'quic.send-pool')!
    assert.ok(pool.peakCostBytes <= 2 * 8 * 1024 + 1_000)
  })
})

test('few records of packets in flight slow a sender and stop nobody', async () => {
  const own = { recordsBytesMax: 2_048, recordPoolBytes: 64 * 1024 }
  await withEndpoints({}, own, async ({ connect }) => {
    const [out, into] = await connect()
    const send = await out.openUni()
    const write = send.write(new Uint8Array(300_000)).then(() => send.finish())
    let length = 0
    for await (const part of await into.acceptUni()) length += part.length
    await write
    assert.equal(length, 300_000)
  })
})

test('N+1: more datagrams of an undecided one than may wait are dropped', async () => {
  const own = { incomingDatagramsMax: 2 }
  await withEndpoints({}, own, async ({ b, ledger }) => {
    const { host, port } = parseAddress(b.localAddresses[0]!)
    const socket = createSocket('udp4')
    for (let each = 0; each < 5; each++) {
      await new Promise((resolve) => socket.send(spoofedInitial(7), port, host, resolve))
    }
    using incoming = await next(b)
    await sleep(30)
    const row = [...ledger.rows()].find((each) => each.term.name === 'transport.incoming')!
    assert.equal(row.entries, 1)
    assert.equal(row.bytes, 2 * 1_200)
    incoming.ignore()
    await new Promise<void>((resolve) => socket.close(() => resolve()))
  })
})

test('a token counts for its address, its ids and its time alone', () => {
  const tokens = new Tokens(new Uint8Array(32).fill(1))
  const [original, source] = [new Uint8Array(16).fill(2), new Uint8Array(8).fill(3)]
  const remote = { host: '10.0.0.1', port: 5 }
  const token = tokens.make(original, source, remote, 1_000_000)
  assert.deepEqual(tokens.read(token, source, remote, 1_010_000), original)
  assert.equal(tokens.read(token, source, remote, 1_015_001), 'expired')
  assert.equal(tokens.read(token, source, remote, 999_999), 'expired')
  assert.equal(tokens.read(token, source, { ...remote, port: 6 }, 1_000_000), undefined)
  assert.equal(tokens.read(token, source, { ...remote, host: '10.0.0.2' }, 1_000_000), undefined)
  assert.equal(tokens.read(token, new Uint8Array(8), remote, 1_000_000), undefined)
  for (let at = 0; at < token.length; at++) {
    const changed = Uint8Array.from(token)
    changed[at]! ^= 1
    assert.equal(tokens.read(changed, source, remote, 1_000_000), undefined)
  }
  assert.equal(tokens.read(token.subarray(1), source, remote, 1_000_000), undefined)
  assert.equal(tokens.read(new Uint8Array(0), source, remote, 1_000_000), undefined)
})

test('what leads nowhere is answered with a shorter reset, and two who know nothing fall silent', async () => {
  const limits = quicLimits(transportLimits({ endpointsMax: 2 }))
  const terms = quicTerms(limits)
  await withLedger(Object.values(terms), (ledger) => {
    const make = (seed: number) => {
      const sent: Uint8Array[] = []
      const resetKey = new Uint8Array(32).fill(seed)
      const machine = new EndpointMachine({
        ...{ security: toySecurity(), random: seededRandom(seed), clock: systemClock },
        ...{ resetKey, tokenKey: resetKey, buffer: new Uint8Array(1_500) },
        incomingDatagramsMax: 4,
        accounts: {
          routes: ledger.require(terms.routes),
          initials: ledger.require(terms.initials),
          farewells: ledger.require(terms.farewells),
        },
      })
      const effects: EndpointEffects = {
        send: (bytes, length) => void sent.push(bytes.slice(0, length)),
        candidate: () => false,
        more: () => false,
        connections: () => [],
      }
      const receive = (bytes: Uint8Array) =>
        machine.receive(bytes, { host: '10.0.0.1', port: 1 }, instant(1), effects)
      return { machine, sent, receive, resetKey }
    }
    const [one, two] = [make(1), make(2)]
    const packet = seededRandom(3).bytes(300)
    packet[0] = 0x45
    one.receive(packet)
    const reset = one.sent[0]!
    assert.equal(reset.length, 42)
    assert.deepEqual(reset.slice(26), resetToken(one.resetKey, packet.slice(1, 9)))
    two.receive(reset)
    assert.equal(two.sent.length, 0)
    for (let each = 0; each < 100; each++) one.receive(packet)
    assert.ok(one.sent.length <= 17, `${one.sent.length} resets at once`)
    // Another version is answered with ours, a short datagram with it is not.
    const strange = spoofedInitial(9)
    strange[4] = 9
    two.receive(strange)
    assert.deepEqual([...two.sent[0]!.subarray(-4)], [0, 0, 0, 1])
    two.receive(strange.subarray(0, 1_000))
    assert.equal(two.sent.length, 1)
    one.machine[Symbol.dispose]()
    two.machine[Symbol.dispose]()
  })
})
