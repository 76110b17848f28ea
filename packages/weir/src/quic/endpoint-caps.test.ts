/** N+1 for the terms of an endpoint: what happens at each cap, who is already in notices nothing, nothing is left. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:dgram'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLedger } from '../../testing/index.ts'
import { type Term, term } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { isWeirError, seededRandom } from '../runtime/index.ts'
import {
  type Connection,
  type Endpoint,
  FixedAddresses,
  transportLimits,
} from '../transport/index.ts'
import {
  acceptAll,
  eventually,
  exchange,
  limited,
  next,
  PROTOCOL,
  type Setting,
  Stranger,
  spoofedInitial,
  withEndpoints,
} from './endpoint.fixture.ts'
import {
  FAREWELLS_MAX,
  QUEUED_DATAGRAMS_MAX,
  type QuicTerms,
  quicLimits,
  quicTerms,
} from './memory.ts'
import { openQuicEndpoint } from './shell/quic-endpoint.ts'
import { SendSlots } from './shell/send-slots.ts'
import { toySecurity } from './toy-tls.fixture.ts'

/** Several strangers ask. */
async function strangers(b: Endpoint, count: number, first = 0): Promise<void> {
  await using stranger = await Stranger.open()
  for (let seed = first; seed < first + count; seed++) {
    await stranger.send(spoofedInitial(seed), b.localAddresses[0]!)
  }
}

/** Endpoints whose terms have other caps than their limits give. */
async function withTerms(
  change: (terms: QuicTerms) => Partial<QuicTerms>,
  run: (setting: Pick<Setting, 'a' | 'b' | 'ledger' | 'connect'>) => Promise<void>,
): Promise<void> {
  const limits = quicLimits(transportLimits({ endpointsMax: 2, connectTimeoutMs: 1_000 }))
  const planned = quicTerms(limits)
  const terms: QuicTerms = { ...planned, ...change(planned) }
  await withLedger(Object.values(terms) as Term[], async (ledger, scope) => {
    const open = () =>
      openQuicEndpoint({
        ...{ scope, ledger, terms, limits, security: toySecurity(), protocols: [PROTOCOL] },
        keyPair: KeyPair.generate(),
        lookup: new FixedAddresses([]),
      })
    const [a, b] = [await open(), await open()]
    const connect = (): Promise<[Connection, Connection]> => {
      const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      return Promise.all([dial, next(b).then((incoming) => incoming.accept())])
    }
    await run({ a, b, ledger, connect })
    await a.close()
    await b.close()
  })
}

const smaller = (each: Term, entriesMax: number): Term => term({ ...each, entriesMax })

test('N+1 transport.incoming: bytes of undecided ones in total', async () => {
  const limits = { incomingBytesMax: 3 * 1_200 }
  await withEndpoints({ limits }, async ({ b, connect, row, counters }) => {
    const [out, into] = await connect()
    await strangers(b, 5)
    await eventually('two are refused', () => {
      return counters.value('transport_incoming_overflow_total') === 2
    })
    assert.equal(row('transport.incoming').entries, 3)
    assert.equal(row('transport.incoming').bytes, 3_600)
    await exchange(out, into)
  })
})

test('N+1 transport.incoming: datagrams of one that is undecided', async () => {
  await withEndpoints({ own: { incomingDatagramsMax: 2 } }, async ({ b, row, connect }) => {
    const [out, into] = await connect()
    await using stranger = await Stranger.open()
    for (let each = 0; each < 5; each++) {
      await stranger.send(spoofedInitial(7), b.localAddresses[0]!)
    }
    using incoming = await next(b)
    await sleep(30)
    assert.equal(row('transport.incoming').entries, 1)
    assert.equal(row('transport.incoming').bytes, 2 * 1_200)
    incoming.ignore()
    assert.equal(row('transport.incoming').bytes, 0)
    assert.equal(row('quic.initials').entries, 1)
    await exchange(out, into)
  })
})

test('beyond half of the places a stranger has to prove its address, and is let in then', async () => {
  const limits = { incomingMax: 8 }
  await withEndpoints({ limits }, async ({ a, b, row }) => {
    await strangers(b, 40)
    await eventually('places are taken', () => row('transport.incoming').entries === 5)
    const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
    await eventually('it has proved its address', () => row('transport.incoming').entries === 6)
    for await (const incoming of b.incoming) {
      if (!incoming.validated) incoming.ignore()
      else {
        await incoming.accept()
        break
      }
    }
    await dial
  })
})

test('N+1 quic.handshakes: strangers who are not known yet', async () => {
  const options = { own: { handshakesMax: 1 }, limits: { connectTimeoutMs: 400 } }
  await withEndpoints(options, async ({ b, row, connect }) => {
    const [out, into] = await connect()
    await strangers(b, 2)
    await eventually('both ask', () => row('transport.incoming').entries === 2)
    const first = (await next(b)).accept()
    const second = (await next(b)).accept()
    await assert.rejects(second, limited('quic.handshakes'))
    assert.equal(row('quic.handshakes').entries, 1)
    await exchange(out, into)
    await assert.rejects(first, (error: unknown) => isWeirError(error, 'CONNECT_FAILED'))
    assert.equal(row('quic.handshakes').entries, 0)
    await connect()
  })
})

test('N+1 quic.keys: keys of one connection more', async () => {
  // Both ends of one connection, for each endpoint its own account.
  await withTerms(
    ({ keys }) => ({ keys: smaller(keys, 1) }),
    async ({ a, b, connect }) => {
      const [out, into] = await connect()
      const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      await assert.rejects(dial, limited('quic.keys'))
      await exchange(out, into)
      out.close()
      await into.closed
      await connect()
    },
  )
})

test('N+1 quic.routes: one connection id more', async () => {
  await withTerms(
    ({ routes }) => ({ routes: smaller(routes, 1) }),
    async ({ a, b, connect }) => {
      const [out, into] = await connect()
      const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      await assert.rejects(dial, (error: unknown) => isWeirError(error, 'LIMIT'))
      await exchange(out, into)
      out.close()
      await into.closed
      await connect()
    },
  )
})

test('N+1 quic.ids: connections without room for further ids have those that they must', async () => {
  await withTerms(
    ({ ids }) => ({ ids: smaller(ids, 1) }),
    async ({ connect, ledger }) => {
      const [out, into] = await connect()
      const row = [...ledger.rows()].find(({ term }) => term.name === 'quic.ids')!
      assert.equal(row.entries, 2, 'at each end the second of its own')
      assert.equal(row.refused.cap, 2, 'at each end the third and fourth of the peer')
      await exchange(out, into)
      const [second, there] = await connect()
      await exchange(second, there)
      out.close()
      await into.closed
      await exchange(second, there)
    },
  )
})

test('N+1 quic.reset-tokens: a connection more is only not to be reset', async () => {
  await withTerms(
    ({ resetTokens }) => ({ resetTokens: smaller(resetTokens, 1) }),
    async ({ connect, ledger }) => {
      const row = () => [...ledger.rows()].find(({ term }) => term.name === 'quic.reset-tokens')!
      const [out, into] = await connect()
      assert.equal(row().entries, 1, 'a server gives a token, a client none')
      const [second, there] = await connect()
      assert.equal(row().entries, 1)
      assert.equal(row().refused.cap, 1)
      await exchange(second, there)
      second.close()
      await there.closed
      assert.equal(row().entries, 1, 'it takes nobody else with it')
      await exchange(out, into)
      out.close()
      await into.closed
      assert.equal(row().entries, 0)
    },
  )
})

test('N+1 quic.retry-tokens: a dial whose token has no room ends at once and says so', async () => {
  await withTerms(
    ({ retryTokens }) => ({ retryTokens: term({ ...retryTokens, payloadBytesMax: 10 }) }),
    async ({ a, b, connect }) => {
      const [out, into] = await connect()
      const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      const refused = assert.rejects(dial, /no room for its Retry token/)
      ;(await next(b)).retry()
      await refused
      await exchange(out, into)
      await connect()
    },
  )
})

test('N+1 quic.initials: one first connection id more is refused', async () => {
  await withTerms(
    ({ initials }) => ({ initials: smaller(initials, 1) }),
    async ({ a, b, connect }) => {
      const [out, into] = await connect()
      const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      await assert.rejects(dial, /refused the connection/)
      await exchange(out, into)
      out.close()
      await into.closed
      await connect()
    },
  )
})

test('N+1 quic.farewells: the oldest makes room', async () => {
  await withEndpoints({ limits: { connectionsMax: 4 } }, async ({ connect, row }) => {
    const before = row('quic.farewells')
    for (let each = 0; each < FAREWELLS_MAX + 2; each++) {
      const [out, into] = await connect()
      out.close()
      await into.closed
    }
    assert.equal(row('quic.farewells').entries, before.entries)
    assert.equal(row('quic.farewells').costBytes, before.costBytes)
  })
})

test('N+1 quic.datagrams: a socket that takes nothing keeps so many and drops more', async () => {
  const limits = quicLimits(transportLimits())
  const terms = quicTerms(limits)
  await withLedger([terms.datagrams], (ledger) => {
    const waiting: { readonly bytes: Uint8Array; readonly at: number }[] = []
    const socket = {
      getSendQueueCount: () => waiting.length,
      send: (bytes: Uint8Array, at: number) => waiting.push({ bytes, at }),
    } as unknown as Socket
    const account = ledger.require(terms.datagrams)
    const slots = new SendSlots(account, limits.datagramBytesMax)
    const source = Buffer.alloc(limits.datagramBytesMax)
    const send = (fill: number) => {
      source.fill(fill)
      return slots.send(socket, source, 10, 1, '127.0.0.1', () => {})
    }
    for (let each = 0; each < QUEUED_DATAGRAMS_MAX; each++) assert.equal(send(each), true)
    assert.equal(send(99), false)
    // As some leave, others come, and none changes while it waits.
    for (let each = QUEUED_DATAGRAMS_MAX; each < 3 * QUEUED_DATAGRAMS_MAX; each++) {
      const { bytes, at } = waiting.shift()!
      assert.equal(bytes[at], each - QUEUED_DATAGRAMS_MAX)
      assert.equal(send(each), true)
    }
    slots[Symbol.dispose]()
    account[Symbol.dispose]()
  })
})

test('N+1 transport.opens: one call more that waits to open a stream', async () => {
  await withEndpoints({ limits: { streamsMax: 1, opensMax: 2 } }, async ({ connect }) => {
    const [out, into] = await connect()
    const first = await out.openUni()
    const waits = [out.openUni(), out.openUni()]
    await assert.rejects(out.openUni(), limited('transport.opens'))
    await assert.rejects(
      out.openBi().then(() => out.openBi()),
      limited('transport.opens'),
    )
    await first.finish()
    for await (const _ of await into.acceptUni());
    await waits[0]
    out.close()
    await Promise.allSettled(waits)
  })
})

test('N+1 transport.receive: a connection whose first credit the pool has not', async () => {
  const limits = {
    receivePoolBytes: 40 * 1024,
    connectionWindowBytesMax: 40 * 1024,
    windowBytesMax: 20 * 1024,
  }
  await withEndpoints({ limits }, async ({ a, b, connect }) => {
    const [out, into] = await connect()
    const dial = a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
    await assert.rejects(dial, limited('transport.receive'))
    await exchange(out, into)
    out.close()
    await into.closed
    await connect()
  })
})

test('N+1 quic.send: a small pool of send buffers makes writers wait and stops nobody', async () => {
  const own = { sendPoolBytes: 8 * 1024, connectionSendBytesMax: 8 * 1024 }
  await withEndpoints({ own }, async ({ connect, row }) => {
    const [out, into] = await connect()
    await exchange(out, into, 200_000)
    assert.ok(row('quic.send-pool').peakCostBytes <= 2 * 8 * 1024 + 1_000)
    assert.ok(row('quic.send').refused.cap + row('quic.send').refused.pool > 0)
  })
})

test('N+1 quic.records: few records of packets in flight slow a sender and stop nobody', async () => {
  for (const own of [
    { recordsBytesMax: 2_048, recordPoolBytes: 64 * 1024, datagramBytesMax: 1_200 },
    { recordsBytesMax: 16 * 1024, recordPoolBytes: 2_048, datagramBytesMax: 1_200 },
  ]) {
    await withEndpoints({ own }, async ({ connect, row }) => {
      const [out, into] = await connect()
      await exchange(out, into, 300_000)
      assert.ok(row('quic.records').refused.cap + row('quic.records').refused.pool > 0)
    })
  }
})

test('N+1 transport.connections: a dial from outside that has no place is refused, and comes in later', async () => {
  const limits = { connectionsMax: 1, endpointsMax: 3 }
  await withEndpoints({ limits }, async ({ a, b, open, row }) => {
    const c = await open()
    const accepted = acceptAll(b)
    const addresses = b.localAddresses
    const out = await a.connect(b.nodeId, PROTOCOL, { addresses })
    await assert.rejects(c.connect(b.nodeId, PROTOCOL, { addresses }), /refused the connection/)
    await eventually('one is accepted', () => accepted.length === 1)
    await exchange(out, accepted[0]!)
    assert.equal(row('transport.connections').entries, 2)
    out.close()
    await accepted[0]!.closed
    await c.connect(b.nodeId, PROTOCOL, { addresses })
  })
})

test('what is charged for a connection is there again when it is over, whoever ends it and when', async () => {
  await withEndpoints({ limits: { connectTimeoutMs: 300 } }, async ({ a, b, ledger, connect }) => {
    const before = ledger.costBytes
    const random = seededRandom(3)
    for (let round = 0; round < 12; round++) {
      const [out, into] = await connect()
      const send = await out.openBi()
      // More than there is credit for: some of it waits when the connection ends.
      const write = send.send.write(random.bytes(1 + random.below(60_000)))
      write.catch(() => {})
      const [first, last] = round % 2 === 0 ? [out, into] : [into, out]
      first.close(round)
      await last.closed
    }
    const abort = new AbortController()
    const options = { addresses: b.localAddresses, signal: abort.signal }
    const dial = a.connect(b.nodeId, PROTOCOL, options)
    await sleep(20)
    abort.abort()
    await assert.rejects(dial, (error: unknown) => isWeirError(error, 'CLOSED'))
    using undecided = await next(b)
    undecided.ignore()
    await eventually('all is given back', () => ledger.costBytes === before)
  })
})
