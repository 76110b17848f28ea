/** One place more than each term allows, on the memory backend, and what its network does. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { isWeirError, ManualClock, type Scope } from '../runtime/index.ts'
import { FixedAddresses } from './addresses.ts'
import {
  biStream,
  nextIncoming,
  pattern,
  readBytes,
  TEST_PROTOCOL,
  text,
} from './conformance-pair.suite.ts'
import {
  type TransportLimits,
  type TransportTerms,
  transportLimits,
  transportTerms,
} from './memory.ts'
import { MemoryEndpoint } from './memory-endpoint.ts'
import { MemoryNetwork, type NetworkFaults } from './memory-network.ts'
import type { Connection } from './transport.ts'
import type { Message, Wire } from './wire.ts'

interface Setting {
  readonly network: MemoryNetwork
  readonly clock: ManualClock
  readonly ledger: Ledger
  readonly scope: Scope
  readonly terms: TransportTerms
  readonly a: MemoryEndpoint
  readonly b: MemoryEndpoint
  /** Another endpoint on the network, with limits of its own when given. */
  open(limits?: Partial<TransportLimits>): MemoryEndpoint
  connect(from?: MemoryEndpoint, to?: MemoryEndpoint): Promise<[Connection, Connection]>
}

async function withNetwork(
  limits: Partial<TransportLimits>,
  run: (setting: Setting) => Promise<void>,
  faults: NetworkFaults = {},
): Promise<void> {
  const complete = transportLimits({ endpointsMax: 3, ...limits })
  const terms = transportTerms(complete)
  const clock = new ManualClock()
  await withLedger(
    Object.values(terms),
    async (ledger, scope) => {
      const network = scope.own('network', new MemoryNetwork({ clock, faults }))
      const open = (own: Partial<TransportLimits> = {}) =>
        new MemoryEndpoint({
          ...{ scope, ledger, terms, network, protocols: [TEST_PROTOCOL] },
          limits: { ...complete, ...own },
          nodeId: KeyPair.generate().id,
          lookup: new FixedAddresses([]),
        })
      const [a, b] = [open(), open()]
      const connect = async (from = a, to = b): Promise<[Connection, Connection]> => {
        const dial = from.connect(to.nodeId, TEST_PROTOCOL, { addresses: to.localAddresses })
        return Promise.all([dial, nextIncoming(to).then((incoming) => incoming.accept())])
      }
      await run({ network, clock, ledger, scope, terms, a, b, open, connect })
      await a.close()
      await b.close()
      assert.equal(network.links, 0, 'wires left on the network')
    },
    { clock },
  )
}

const turns = async () => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const coded = (code: string, what?: RegExp) => (error: unknown) => {
  assert.ok(isWeirError(error, code), String(error))
  if (what) assert.match(error.message, what)
  return true
}

test('transport.connections: one more than the cap is refused on either side', () =>
  withNetwork({ connectionsMax: 1 }, async ({ a, b, ledger, terms, open, connect }) => {
    await connect()
    const again = () => a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
    await assert.rejects(again(), coded('LIMIT', /transport\.connections is full/))
    const c = open()
    const dial = assert.rejects(
      c.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses }),
      coded('CONNECT_FAILED', /too many connections/),
    )
    const incoming = await nextIncoming(b)
    await assert.rejects(incoming.accept(), coded('LIMIT'))
    await dial
    assert.ok(ledger.row(terms.connections).refused.cap >= 2)
  }))

test('transport.connections: a dial that waits takes a place', () =>
  withNetwork({ connectionsMax: 1 }, async ({ a, b, clock }) => {
    const dial = () => a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
    const waiting = assert.rejects(dial(), coded('CONNECT_FAILED', /did not answer/))
    await assert.rejects(dial(), coded('LIMIT'))
    const incoming = await nextIncoming(b)
    incoming.ignore()
    clock.advance(10_000)
    await waiting
    assert.equal(a.connections, 0)
  }))

test('transport.streams: one more of our own than the table holds is refused', () =>
  withNetwork({ streamsMax: 2 }, async ({ a, open, terms, ledger, connect }) => {
    // The other side allows more than the table of this one has.
    const [out] = await connect(a, open({ streamsMax: 64 }))
    for (let each = 0; each < 8; each++) await out.openBi()
    await assert.rejects(out.openBi(), coded('LIMIT', /transport\.streams/))
    assert.ok(ledger.row(terms.streams).refused.cap > 0)
  }))

test('transport.streams: a peer that opens one more than it was granted is cut off', () =>
  withNetwork({ streamsMax: 2 }, async ({ a, b, network }) => {
    const { wire, dial } = rawDial(network, b)
    const into = await (await nextIncoming(b)).accept()
    await dial
    for (const stream of [0, 4]) wire().send({ type: 'open', stream, bidi: true, credit: 0 })
    wire().send({ type: 'open', stream: 2, bidi: false, credit: 0 })
    assert.equal(b.connections, 1, 'so many were granted')
    wire().send({ type: 'open', stream: 8, bidi: true, credit: 0 })
    const info = await into.closed
    assert.equal(info.code, 3)
    assert.match(info.reason, /not granted/)
    assert.equal(a.connections, 0)
  }))

test('transport.accepts: streams that nobody accepts stop the peer, and not the memory', () =>
  withNetwork({ streamsMax: 2 }, async ({ ledger, terms, connect }) => {
    const [out, into] = await connect()
    for (let each = 0; each < 2; each++) {
      const send = await out.openUni()
      await send.write(text('x'))
      send.reset(1)
    }
    let opened = false
    const third = out.openUni().then((send) => {
      opened = true
      return send
    })
    await turns()
    assert.equal(opened, false, 'ended streams count until they were accepted')
    assert.equal(ledger.row(terms.accepts).entries, 2)
    await assert.rejects((await into.acceptUni()).read(1), coded('STREAM_RESET'))
    await third
  }))

test('transport.opens: one waiting call more than the cap is refused', () =>
  withNetwork({ streamsMax: 1, opensMax: 2 }, async ({ ledger, terms, connect }) => {
    const [out] = await connect()
    await out.openUni()
    const waiting = [out.openUni(), out.openUni()].map((open) => open.catch(() => {}))
    await assert.rejects(out.openUni(), coded('LIMIT', /transport\.opens/))
    assert.equal(ledger.row(terms.opens).entries, 2)
    out.close()
    await Promise.all(waiting)
  }))

test('transport.opens: an aborted wait gives its place back', () =>
  withNetwork({ streamsMax: 1, opensMax: 1 }, async ({ connect }) => {
    const [out, into] = await connect()
    const first = await out.openUni()
    const abort = new AbortController()
    const aborted = assert.rejects(out.openUni({ signal: abort.signal }), coded('CLOSED'))
    abort.abort()
    await aborted
    const second = out.openUni()
    await first.write(text('x'))
    await first.finish()
    const receive = await into.acceptUni()
    await readBytes(receive, 1)
    await receive.read(1)
    await second
  }))

test('transport.receive: without credit for one stream more, its writer waits for another to end', () =>
  withNetwork(
    { windowFirstBytes: 1024, windowBytesMax: 1024, connectionWindowBytesMax: 2048 },
    async ({ ledger, terms, connect }) => {
      const [out, into] = await connect()
      const sends = await Promise.all([out.openUni(), out.openUni(), out.openUni()])
      await Promise.all([sends[0]!.write(pattern(10)), sends[1]!.write(pattern(10))])
      let written = false
      const third = sends[2]!.write(pattern(10)).then(() => {
        written = true
      })
      await turns()
      assert.equal(written, false)
      assert.equal(ledger.row(terms.receivePool).bytes, 2048)
      const first = await into.acceptUni()
      first.stop(0)
      await third
    },
  ))

test('transport.receive-pool: what one connection holds the other must wait for', () =>
  withNetwork(
    {
      endpointsMax: 3,
      windowFirstBytes: 1024,
      windowBytesMax: 1024,
      connectionWindowBytesMax: 3 * 1024,
      // Three endpoints share it: nine windows.
      receivePoolBytes: 1024,
    },
    async ({ ledger, terms, connect }) => {
      const [out, into] = await connect()
      const [other, otherInto] = await connect()
      const sends = await Promise.all([out.openUni(), out.openUni(), out.openUni()])
      for (const send of sends) await send.write(text('x'))
      assert.equal(ledger.row(terms.receivePool).bytes, 3 * 1024)
      const late = await other.openUni()
      let written = false
      const write = late.write(text('y')).then(() => {
        written = true
      })
      await turns()
      assert.equal(written, false)
      assert.ok(ledger.row(terms.receive).refused.pool > 0)
      ;(await into.acceptUni()).stop(0)
      await write
      assert.deepEqual(await readBytes(await otherInto.acceptUni(), 1), text('y'))
    },
  ))

test('under critical pressure a new stream gets no credit, and gets it when the pressure falls', () =>
  withNetwork({}, async ({ ledger, connect }) => {
    const [out, into] = await connect()
    const [open] = await biStream([out, into], text('open before'))
    const pressure = (used: number) =>
      ledger.pressure.process([{ source: 'working set', used, limit: 100 }])
    pressure(96)
    const send = await out.openUni()
    let written = false
    const write = send.write(text('x')).then(() => {
      written = true
    })
    await open.send.write(text('streams that are open go on'))
    await turns()
    assert.equal(written, false)
    pressure(10)
    await write
    assert.deepEqual(await readBytes(await into.acceptUni(), 1), text('x'))
  }))

test('under severe pressure incomings are turned away, under critical pressure dials as well', () =>
  withNetwork({}, async ({ a, b, ledger, connect }) => {
    const dial = () => a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
    const pressure = (used: number) =>
      ledger.pressure.process([{ source: 'working set', used, limit: 100 }])
    pressure(86)
    await assert.rejects(dial(), coded('CONNECT_FAILED', /too many/))
    pressure(96)
    await assert.rejects(dial(), coded('LIMIT', /pressure/))
    pressure(10)
    await connect()
  }))

test('a window grows while it is read fast, up to its cap, and never without a charge', () =>
  withNetwork({}, async ({ ledger, terms, connect }) => {
    const [mine, theirs] = await biStream(await connect(), text('x'))
    const held = () => ledger.row(terms.receivePool).bytes
    const idle = held()
    assert.equal(idle, 2 * 16 * 1024, 'one window a direction')
    const write = mine.send.write(pattern(1_000_000))
    await readBytes(theirs.receive, 1_000_001)
    await write
    assert.equal(held(), idle + 48 * 1024, 'the one that was read has grown to 64 KiB')
    await mine.send.finish()
    assert.equal(held(), 16 * 1024, 'credit beyond the end is given back at once')
  }))

test('bytes in flight never exceed the window, and many small writes cost no more', () =>
  withNetwork(
    { windowFirstBytes: 4096, windowBytesMax: 4096 },
    async ({ ledger, terms, connect }) => {
      const [out, into] = await connect()
      const send = await out.openUni()
      let sent = 0
      const writing = (async () => {
        for (; sent < 10_000; sent++) await send.write(Uint8Array.of(sent))
      })()
      await turns()
      assert.equal(sent, 4096)
      assert.equal(ledger.row(terms.receive).bytes, 4096)
      const receive = await into.acceptUni()
      const all = await readBytes(receive, 10_000)
      await writing
      assert.ok(all.every((byte, at) => byte === (at & 255)))
    },
  ))

test('a peer that sends more than its credit is cut off', () =>
  withNetwork({}, async ({ b, network }) => {
    const { wire, dial } = rawDial(network, b)
    const into = await (await nextIncoming(b)).accept()
    await dial
    wire().send({ type: 'open', stream: 2, bidi: false, credit: 0 })
    wire().send({ type: 'data', stream: 2, bytes: new Uint8Array(16 * 1024) })
    assert.equal(b.connections, 1)
    wire().send({ type: 'data', stream: 2, bytes: new Uint8Array(1) })
    assert.match((await into.closed).reason, /more data than credit/)
  }))

test('messages for streams that never were change nothing', () =>
  withNetwork({}, async ({ b, network }) => {
    const { wire, dial } = rawDial(network, b)
    const into = await (await nextIncoming(b)).accept()
    await dial
    const stream = 40
    const messages: Message[] = [
      { type: 'data', stream, bytes: text('x') },
      { type: 'finish', stream },
      { type: 'reset', stream, code: 1 },
      { type: 'stop', stream, code: 1 },
      { type: 'credit', stream, bytes: 1 },
    ]
    for (const message of messages) wire().send(message)
    assert.equal(b.connections, 1)
    wire().send({ type: 'close', code: 9, reason: 'r'.repeat(100_000) })
    const info = await into.closed
    wire().close()
    assert.equal(info.code, 9)
    assert.equal(info.reason.length, 256, 'a reason is cut')
  }))

test('delay holds each message for its time, in order, and the clock of the network decides', () =>
  withNetwork(
    {},
    async ({ clock, a, b }) => {
      let connected = false
      const dial = a
        .connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
        .then((connection) => {
          connected = true
          return connection
        })
      const asked = nextIncoming(b)
      await clock.advanceAsync(10)
      const into = await (await asked).accept()
      await clock.advanceAsync(9)
      assert.equal(connected, false)
      await clock.advanceAsync(1)
      const out = await dial
      // The grant of streams is on its way as well.
      const opening = out.openUni()
      await clock.advanceAsync(20)
      const send = await opening
      const writing = send.write(text('one')).then(() => send.finish())
      const accepting = into.acceptUni()
      // Open there, credit back, data there.
      await clock.advanceAsync(30, 5)
      await writing
      const receive = await accepting
      assert.deepEqual(await readBytes(receive, 3), text('one'))
      assert.equal(await receive.read(1), undefined)
      out.close(1, 'late')
      assert.equal((await out.closed).by, 'local')
      let closed = false
      const closing = into.closed.then((info) => {
        closed = true
        return info
      })
      await clock.advanceAsync(9)
      assert.equal(closed, false)
      await clock.advanceAsync(1)
      assert.deepEqual(await closing, { code: 1, reason: 'late', by: 'remote' })
      into.close()
      await clock.advanceAsync(20)
    },
    { delayMs: () => 10 },
  ))

test('a cut loses the connections between two nodes and no others', () =>
  withNetwork({}, async ({ network, a, b, open, connect }) => {
    const c = open()
    const [out, into] = await connect(a, b)
    const [other] = await connect(a, c)
    const [mine, theirs] = await biStream([out, into], text('x'))
    await theirs.receive.read(1)
    const read = theirs.receive.read(1)
    const failed = assert.rejects(read, coded('CONNECTION_CLOSED', /lost/))
    assert.equal(network.cut(a.nodeId, b.nodeId), 1)
    await failed
    assert.equal((await out.closed).by, 'lost')
    assert.equal((await into.closed).by, 'lost')
    await assert.rejects(mine.send.write(text('x')), coded('CONNECTION_CLOSED'))
    const stream = await other.openUni()
    await stream.write(text('still'))
    assert.equal(network.cut(c.nodeId), 1)
    assert.equal(network.cut(), 0)
  }))

test('faults refuse or lose a dial', () => {
  let fate: 'reach' | 'lose' | 'refuse' = 'refuse'
  return withNetwork(
    {},
    async ({ a, b, clock, connect }) => {
      const dial = () => a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
      await assert.rejects(dial(), coded('CONNECT_FAILED', /refused/))
      fate = 'lose'
      const lost = assert.rejects(dial(), coded('CONNECT_FAILED', /did not answer/))
      clock.advance(10_000)
      await lost
      fate = 'reach'
      await connect()
    },
    { dial: () => fate },
  )
})

test('a dial that was given up cannot be accepted any more', () =>
  withNetwork({}, async ({ a, b }) => {
    const abort = new AbortController()
    const dial = assert.rejects(
      a.connect(b.nodeId, TEST_PROTOCOL, { signal: abort.signal, addresses: b.localAddresses }),
      coded('CLOSED'),
    )
    const incoming = await nextIncoming(b)
    abort.abort()
    await dial
    await assert.rejects(incoming.accept(), coded('CONNECT_FAILED', /given up/))
    assert.deepEqual([a.connections, b.connections], [0, 0])
  }))

test('the second address is tried when the first fails', () =>
  withNetwork({}, async ({ a, b }) => {
    const dial = a.connect(b.nodeId, TEST_PROTOCOL, {
      addresses: ['127.0.0.1:65000', ...a.localAddresses, ...b.localAddresses],
    })
    const into = await (await nextIncoming(b)).accept()
    assert.deepEqual(into.nodeId, a.nodeId)
    assert.deepEqual((await dial).remote, b.localAddresses[0])
  }))

test('an address that is taken is refused, and free again after a close', () =>
  withNetwork({ endpointsMax: 3 }, async ({ network, a, ledger, scope, terms }) => {
    const open = () =>
      new MemoryEndpoint({
        ...{ scope, ledger, terms, network, protocols: [], limits: transportLimits() },
        nodeId: KeyPair.generate().id,
        lookup: new FixedAddresses([]),
        listen: a.address,
      })
    assert.throws(open, coded('ADDRESS_IN_USE'))
    await a.close()
    await open().close()
  }))

test('two writes or two reads at once are a mistake of the program', () =>
  withNetwork({}, async ({ connect }) => {
    const [mine, theirs] = await biStream(await connect(), text('x'))
    const write = mine.send.write(pattern(100_000)).catch(() => {})
    await assert.rejects(async () => mine.send.write(text('y')), /one write at a time/)
    await assert.rejects(mine.send.finish(), /finish while a write waits/)
    const read = mine.receive.read(1).catch(() => {})
    assert.throws(() => mine.receive.read(1), /one reader/)
    theirs.receive.stop(0)
    mine.receive.stop(0)
    await Promise.all([write, read])
  }))

test('limits that contradict each other or do not exist are a mistake of the program', () => {
  assert.throws(() => transportLimits({ windowFirstBytes: 65_537 }), /stream windows/)
  assert.throws(() => transportLimits({ connectionsMax: 0 }), /connectionsMax is 0/)
  assert.throws(
    () => transportLimits({ connectionMax: 1 } as Partial<TransportLimits>),
    /no transport limit 'connectionMax'/,
  )
})

/** A peer that speaks the wire itself, and so may say what it must not. */
function rawDial(network: MemoryNetwork, to: MemoryEndpoint) {
  let wire: Wire | undefined
  const dial = new Promise<void>((resolve) => {
    network.dial(to.address, {
      from: KeyPair.generate().id,
      fromAddress: '127.0.0.1:1',
      to: to.nodeId,
      protocol: TEST_PROTOCOL,
      validated: false,
      answered(_answer, attach) {
        wire = attach!({
          receive: (message) => {
            if (message.type === 'close') wire?.close()
          },
          lost: () => {},
        })
        resolve()
      },
    })
  })
  return { wire: () => wire!, dial }
}
