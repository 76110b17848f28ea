/** One place more than each term allows, and what the plan holds meanwhile, on the memory backend. */
import assert from 'node:assert/strict'
import test from 'node:test'
import {
  biStream,
  nextIncoming,
  pattern,
  readBytes,
  TEST_PROTOCOL,
  text,
} from './conformance-pair.suite.ts'
import { coded, rawDial, turns, withNetwork } from './fixtures.ts'
import { type TransportLimits, transportLimits } from './memory.ts'
import type { Message } from './wire.ts'

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

/** Four endpoints share one pool of four bytes, a window each. */
const SHARED = Object.freeze({
  ...{ endpointsMax: 4, receivePoolBytes: 1, connectionWindowBytesMax: 8 },
  ...{ windowFirstBytes: 1, windowBytesMax: 1 },
})

test('credit that comes free at one endpoint is given to a stream of another', () =>
  withNetwork(SHARED, async ({ connect, open, ledger, terms }) => {
    const [out] = await connect()
    for (let each = 0; each < 2; each++) await out.openBi()
    assert.equal(ledger.row(terms.receivePool).bytes, 4)
    const [other, otherInto] = await connect(open(), open())
    const send = await other.openUni()
    const write = send.write(text('x'))
    await turns()
    assert.ok(ledger.row(terms.receive).refused.pool > 0)
    out.close()
    await write
    assert.deepEqual(await readBytes(await otherInto.acceptUni(), 1), text('x'))
    other.close()
  }))

test('credit beyond the end of a stream is free before the stream was read', () =>
  withNetwork(
    { ...SHARED, windowFirstBytes: 4, windowBytesMax: 4 },
    async ({ connect, open, ledger, terms }) => {
      const [out] = await connect()
      const unread = await out.openUni()
      await unread.write(text('x'))
      const [other, otherInto] = await connect(
        open(),
        open({ windowFirstBytes: 1, windowBytesMax: 1 }),
      )
      const late = await other.openUni()
      const write = late.write(text('y'))
      await turns()
      assert.ok(ledger.row(terms.receive).refused.pool > 0)
      await unread.finish()
      await write
      assert.deepEqual(await readBytes(await otherInto.acceptUni(), 1), text('y'))
      other.close()
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

test('after the last byte only what waits to be read is charged', () =>
  withNetwork({}, async ({ ledger, terms, connect }) => {
    const [out, into] = await connect()
    const send = await out.openUni()
    await send.write(pattern(100))
    await send.finish()
    const held = () => ledger.row(terms.receivePool).bytes
    assert.equal(held(), 100)
    const receive = await into.acceptUni()
    await receive.read(60)
    assert.equal(held(), 40)
    receive.stop(0)
    assert.equal(held(), 0)
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
