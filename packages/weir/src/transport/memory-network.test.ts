/** Delay, faults and addresses of the network of the memory backend. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { KeyPair } from '../core/index.ts'
import { FixedAddresses } from './addresses.ts'
import { biStream, nextIncoming, readBytes, TEST_PROTOCOL, text } from './conformance-pair.suite.ts'
import { coded, withNetwork } from './fixtures.ts'
import { transportLimits } from './memory.ts'
import { MemoryEndpoint } from './memory-endpoint.ts'

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

test('messages keep their order when the delay shrinks, and the bytes they had', () => {
  let delayMs = 0
  return withNetwork(
    {},
    async ({ clock, connect }) => {
      const [out, into] = await connect()
      const send = await out.openUni()
      const bytes = Buffer.from('1')
      delayMs = 10
      await send.write(bytes)
      bytes.write('2')
      delayMs = 1
      await send.write(bytes)
      bytes.write('x')
      await send.finish()
      const accepting = into.acceptUni()
      await clock.advanceAsync(9)
      await clock.advanceAsync(1)
      const receive = await accepting
      assert.deepEqual(await readBytes(receive, 2), text('12'))
      assert.equal(await receive.read(1), undefined)
      await clock.advanceAsync(10)
      delayMs = 0
      out.close()
    },
    { delayMs: () => delayMs },
  )
})

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
