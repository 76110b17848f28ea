/** What is special about this backend, beside what the conformance suite holds. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Ledger } from 'weir-mesh/bounds'
import { KeyPair } from 'weir-mesh/core'
import { isWeirError, type Scope } from 'weir-mesh/runtime'
import {
  type Connection,
  type Endpoint,
  FixedAddresses,
  loadTransport,
  type TransportLimits,
  transportLimits,
} from 'weir-mesh/transport'
import {
  biStream,
  nextIncoming,
  pattern,
  readAll,
  readBytes,
  TEST_PROTOCOL,
  text,
} from '../../weir/src/transport/conformance-pair.suite.ts'
import { withLedger } from '../../weir/testing/index.ts'
import { type IrohTerms, irohTerms, openIrohEndpoint } from './index.ts'

interface Setting {
  readonly ledger: Ledger
  readonly scope: Scope
  readonly terms: IrohTerms
  readonly a: Endpoint
  readonly b: Endpoint
  open(listen?: string): Promise<Endpoint>
  connect(): Promise<[Connection, Connection]>
}

async function withPair(
  given: Partial<TransportLimits>,
  run: (setting: Setting) => Promise<void>,
): Promise<void> {
  const limits = transportLimits({ endpointsMax: 3, ...given })
  const terms = irohTerms(limits)
  await withLedger(Object.values(terms), async (ledger, scope) => {
    const open = (listen?: string) =>
      openIrohEndpoint({
        ...{ scope, ledger, terms, limits, protocols: [TEST_PROTOCOL] },
        keyPair: KeyPair.generate(),
        lookup: new FixedAddresses([]),
        ...(listen ? { listen } : {}),
      })
    const [a, b] = [await open(), await open()]
    const connect = async (): Promise<[Connection, Connection]> => {
      const dial = a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
      return Promise.all([dial, nextIncoming(b).then((incoming) => incoming.accept())])
    }
    await run({ ledger, scope, terms, a, b, open, connect })
    await a.close()
    await b.close()
  })
}

const coded = (code: string) => (error: unknown) => {
  assert.ok(isWeirError(error, code), String(error))
  return true
}

test('it is the transport that is loaded by the name iroh', async () => {
  assert.equal((await loadTransport('iroh')).name, 'iroh')
})

test('only the given address and the other loopback are bound', () =>
  withPair({}, async ({ a, open }) => {
    assert.equal(a.localAddresses.length, 1)
    assert.match(a.localAddresses[0]!, /^127\.0\.0\.1:\d+$/)
    const six = await open('[::1]:0')
    assert.match(six.localAddresses[0]!, /^\[::1\]:\d+$/)
  }))

test('an address that is taken, or is none, is refused with a code', () =>
  withPair({}, async ({ a, open, ledger, terms }) => {
    await assert.rejects(open(a.localAddresses[0]), coded('ADDRESS_IN_USE'))
    await assert.rejects(open('localhost:1'), coded('ADDRESS_INVALID'))
    await assert.rejects(open('192.0.2.1:0'), coded('ADDRESS_INVALID'))
    assert.equal(ledger.row(terms.native).instances, 2)
  }))

test('iroh.native: one endpoint more than planned is refused, and its socket closed', () =>
  withPair({ endpointsMax: 2 }, async ({ open, a }) => {
    await assert.rejects(open(), coded('LIMIT'))
    await a.close()
    await (await open()).close()
  }))

test('transport.streams: one more of our own waits, and transport.opens caps who waits', () =>
  withPair({ streamsMax: 1, opensMax: 1 }, async ({ ledger, terms, connect }) => {
    const [out] = await connect()
    const first = await out.openUni()
    const second = out.openUni()
    assert.equal(ledger.row(terms.opens).entries, 1)
    await assert.rejects(out.openUni(), coded('LIMIT'))
    first.reset(1)
    await second
    assert.equal(ledger.row(terms.opens).entries, 0)
    assert.equal(ledger.row(terms.streams).entries, 1)
  }))

test('transport.streams: streams of the peer beyond the cap are not taken from the binding', () =>
  withPair({ streamsMax: 2, opensMax: 8 }, async ({ a, b, connect, ledger, terms }) => {
    const [one, other] = [await connect(), await connect()]
    assert.deepEqual([a.nodeId.length, b.nodeId.length], [32, 32])
    const [out, into] = one
    const accepted: unknown[] = []
    for (let each = 0; each < 2; each++) {
      const send = await out.openUni()
      await send.write(text('x'))
      accepted.push(await into.acceptUni())
    }
    const abort = new AbortController()
    const third = into.acceptUni({ signal: abort.signal })
    const failed = assert.rejects(third, coded('CLOSED'))
    abort.abort()
    await failed
    assert.equal(ledger.row(terms.streams).entries, 4)
    other[0].close()
  }))

test('iroh.buffers: a write that cannot be charged goes through without a copy', () =>
  withPair(
    // Less than one read: neither reads nor writes get a charge.
    { windowFirstBytes: 64 * 1024, connectionWindowBytesMax: 64 * 1024, receivePoolBytes: 1 },
    async ({ ledger, terms, connect }) => {
      const [mine, theirs] = await biStream(await connect(), text('x'))
      await theirs.receive.read(1)
      const bytes = pattern(300_000)
      const write = mine.send.write(bytes)
      assert.equal(ledger.row(terms.bufferPool).bytes, 0)
      assert.deepEqual(await readBytes(theirs.receive, bytes.length), bytes)
      await write
      assert.ok(ledger.row(terms.buffers).refused.pool > 0)
    },
  ))

test('iroh.buffers: what waits to be sent stays below the cap of a stream', () =>
  withPair({ windowBytesMax: 64 * 1024 }, async ({ ledger, terms, connect }) => {
    const [mine, theirs] = await biStream(await connect(), text('x'))
    const write = mine.send.write(pattern(4_000_000)).catch(() => {})
    for (let each = 0; each < 20; each++) {
      await sleep(10)
      assert.ok(ledger.row(terms.bufferPool).bytes <= 64 * 1024 + 32 * 1024 + 16 * 1024)
    }
    theirs.receive.stop(1)
    await write
  }))

test('small writes are gathered and arrive as they were', () =>
  withPair({}, async ({ connect }) => {
    const [mine, theirs] = await biStream(await connect(), text('x'))
    const sent = pattern(20_000)
    const writing = (async () => {
      for (let at = 0; at < sent.length; at += 20) await mine.send.write(sent.subarray(at, at + 20))
      await mine.send.finish()
    })()
    assert.deepEqual((await readBytes(theirs.receive, 20_001)).subarray(1), sent)
    assert.equal(await theirs.receive.read(1), undefined)
    await writing
  }))

test('what arrived before the peer closed can still be read', () =>
  withPair({}, async ({ connect, ledger, terms }) => {
    const [out, into] = await connect()
    const [mine, theirs] = await biStream([out, into], text('last words'))
    await mine.send.finish()
    assert.equal(String(await theirs.receive.read(1)), String(text('l')))
    await sleep(50)
    out.close(3, 'bye')
    assert.equal((await into.closed).code, 3)
    assert.equal(await readAll(theirs.receive), 'ast words')
    await assert.rejects(theirs.send.write(text('x')), coded('CONNECTION_CLOSED'))
    assert.equal(ledger.row(terms.streams).entries, 0)
  }))

test('a stream that nobody reads after the peer closed is let go by itself', () =>
  withPair({}, async ({ connect, ledger, terms }) => {
    const [out, into] = await connect()
    const [, theirs] = await biStream([out, into], text('last words'))
    await theirs.receive.read(1)
    out.close(3)
    await into.closed
    for (let each = 0; each < 60 && ledger.row(terms.connections).entries > 0; each++) {
      await sleep(50)
    }
    assert.equal(ledger.row(terms.connections).entries, 0)
    await assert.rejects(theirs.receive.read(1), coded('CONNECTION_CLOSED'))
  }))

test('a dial that was aborted keeps its place until the binding has given up', () =>
  withPair({ connectionsMax: 1 }, async ({ a, b, ledger, terms }) => {
    const abort = new AbortController()
    const dial = a.connect(b.nodeId, TEST_PROTOCOL, {
      signal: abort.signal,
      addresses: b.localAddresses,
    })
    const failed = assert.rejects(dial, coded('CLOSED'))
    const incoming = await nextIncoming(b)
    abort.abort()
    await failed
    assert.equal(ledger.row(terms.connections).entries, 1)
    // Accepted in the end, the late connection is closed at once.
    const into = await incoming.accept()
    assert.equal((await into.closed).reason, 'given up')
    for (let each = 0; each < 100 && ledger.row(terms.connections).entries > 0; each++) {
      await sleep(10)
    }
    assert.equal(ledger.row(terms.connections).entries, 0)
  }))

test('a process that closed its endpoint ends by itself and prints nothing', async () => {
  const program = `
    import { transport } from 'weir-mesh-iroh'
    import { Ledger, planMemory } from 'weir-mesh/bounds'
    import { Scope } from 'weir-mesh/runtime'
    import { KeyPair } from 'weir-mesh/core'
    import { FixedAddresses } from 'weir-mesh/transport'
    const planned = transport.plan()
    const ledger = new Ledger(planMemory(planned.terms, { limitBytes: 2 ** 40 }))
    const scope = new Scope('program')
    await planned.open({ scope, ledger, keyPair: KeyPair.generate(), protocols: [new Uint8Array(32)], lookup: new FixedAddresses([]) })
    await scope.close()
    ledger.assertEmpty()
  `
  const flags = ['--conditions=weir-source', '--input-type=module', '-e', program]
  const run = promisify(execFile)(process.execPath, flags, {
    cwd: import.meta.dirname,
    timeout: 30_000,
  })
  const { stdout, stderr } = await run
  assert.equal(stdout + stderr, '')
})
