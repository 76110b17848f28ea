/** What every backend must do with dials, incomings, connections and endpoints. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeyPair } from '../core/index.ts'
import { isWeirError } from '../runtime/index.ts'
import { FixedAddresses } from './addresses.ts'
import {
  biStream,
  type Check,
  coded,
  dialFails,
  nextIncoming,
  QUIET_MS,
  readAll,
  settled,
  TEST_PROTOCOL,
  type Traits,
  text,
} from './conformance-pair.suite.ts'
import { ConnectionClosedError } from './errors.ts'

const OTHER_PROTOCOL = new Uint8Array(32).fill(8)

export function connectionConformance(check: Check, traits: Traits): void {
  check('a close gives code and reason to both ends and to all that waits', async ({ connect }) => {
    const [out, into] = await connect()
    const [mine, theirs] = await biStream([out, into], text('x'))
    await theirs.receive.read(1)
    const waits = [theirs.receive.read(1), into.acceptUni(), into.acceptBi(), mine.receive.read(1)]
    const failures = Promise.allSettled(waits)
    out.close(42, 'enough')
    out.close(43, 'again')
    assert.deepEqual(await out.closed, { code: 42, reason: 'enough', by: 'local' })
    assert.deepEqual(await into.closed, { code: 42, reason: 'enough', by: 'remote' })
    for (const failure of await failures) {
      assert.ok(failure.status === 'rejected' && failure.reason instanceof ConnectionClosedError)
      assert.equal(failure.reason.close.code, 42)
    }
    await assert.rejects(theirs.send.write(text('x')), coded('CONNECTION_CLOSED'))
    await assert.rejects(mine.send.write(text('x')), coded('CONNECTION_CLOSED'))
    await assert.rejects(out.openUni(), coded('CONNECTION_CLOSED'))
    await assert.rejects(into.openBi(), coded('CONNECTION_CLOSED'))
  })

  check(
    'a close while streams are opened leaves nobody waiting',
    async ({ connect }) => {
      const [out, into] = await connect()
      const opens = Array.from({ length: 20 }, (_, at) => (at % 2 ? out.openBi() : out.openUni()))
      const settled = Promise.allSettled(opens)
      into.close(5, 'closing')
      for (const open of await settled) {
        if (open.status === 'rejected') assert.ok(isWeirError(open.reason, 'CONNECTION_CLOSED'))
      }
      assert.equal((await out.closed).code, 5)
      await assert.rejects(out.openBi(), coded('CONNECTION_CLOSED'))
    },
    { opensMax: 32 },
  )

  check('a connect can be aborted, and the next one works', async ({ a, b, connect }) => {
    const abort = new AbortController()
    const dial = a.connect(b.nodeId, TEST_PROTOCOL, {
      signal: abort.signal,
      addresses: b.localAddresses,
    })
    const failed = assert.rejects(dial, coded('CLOSED'))
    await sleep(QUIET_MS)
    abort.abort()
    await failed
    await assert.rejects(
      a.connect(b.nodeId, TEST_PROTOCOL, { signal: abort.signal, addresses: b.localAddresses }),
      coded('CLOSED'),
    )
    using left = await nextIncoming(b)
    left.ignore()
    await connect()
  })

  check('a wait for a stream can be aborted, and the next one works', async ({ connect }) => {
    const [out, into] = await connect()
    const abort = new AbortController()
    const waits = Promise.allSettled([
      into.acceptBi({ signal: abort.signal }),
      into.acceptUni({ signal: abort.signal }),
    ])
    await sleep(5)
    abort.abort()
    for (const wait of await waits) {
      assert.ok(wait.status === 'rejected' && isWeirError(wait.reason, 'CLOSED'))
    }
    const [, theirs] = await biStream([out, into], text('late'))
    assert.equal(String(await theirs.receive.read(1)), String(text('l')))
    const uni = await out.openUni()
    await uni.write(text('uni'))
    await uni.finish()
    assert.equal(await readAll(await into.acceptUni()), 'uni')
  })

  check('a refused dial fails and may be tried again', async ({ a, b, counters, connect }) => {
    const dial = dialFails(a, b, 'CONNECT_FAILED')
    const incoming = await nextIncoming(b)
    assert.equal(incoming.decided, false)
    incoming.refuse()
    assert.equal(incoming.decided, true)
    assert.equal((await dial).retryable, true)
    assert.equal(counters.value('transport_incoming_refused_total'), 1)
    await assert.rejects(incoming.accept(), coded('INCOMING_DECIDED'))
    assert.throws(() => incoming.refuse(), coded('INCOMING_DECIDED'))
    assert.throws(() => incoming.ignore(), coded('INCOMING_DECIDED'))
    assert.throws(() => incoming.retry(), coded('INCOMING_DECIDED'))
    incoming[Symbol.dispose]()
    await connect()
  })

  check('`using` refuses an incoming at the end of the block', async ({ a, b, counters }) => {
    const dial = dialFails(a, b, 'CONNECT_FAILED')
    {
      using incoming = await nextIncoming(b)
      assert.ok(incoming.remote.includes(':'))
    }
    await dial
    assert.equal(counters.value('transport_incoming_refused_total'), 1)
  })

  check(
    'an ignored dial ends with its own timeout',
    async ({ a, b, counters }) => {
      const dial = dialFails(a, b, 'CONNECT_FAILED')
      const incoming = await nextIncoming(b)
      incoming.ignore()
      await dial
      assert.equal(counters.value('transport_incoming_ignored_total'), 1)
    },
    { connectTimeoutMs: 300 },
  )

  check(
    'an incoming that nobody decides on is refused at its deadline',
    async ({ a, b, counters }) => {
      const dial = dialFails(a, b, 'CONNECT_FAILED')
      const incoming = await nextIncoming(b)
      await dial
      assert.equal(incoming.decided, true)
      await assert.rejects(incoming.accept(), coded('INCOMING_DECIDED'))
      assert.equal(counters.value('transport_incoming_expired_total'), 1)
    },
    { incomingDeadlineMs: 100 },
  )

  check(
    'an incoming that nobody takes is refused at its deadline',
    async ({ a, b, counters }) => {
      await dialFails(a, b, 'CONNECT_FAILED')
      assert.equal(counters.value('transport_incoming_expired_total'), 1)
    },
    { incomingDeadlineMs: 100 },
  )

  check('a retry makes the peer prove its address', async ({ a, b, counters }) => {
    const dial = a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
    const first = await nextIncoming(b)
    assert.equal(first.validated, false)
    assert.equal(first.retry(), true)
    assert.equal(first.decided, true)
    const second = await nextIncoming(b)
    assert.equal(second.validated, true)
    assert.equal(second.retry(), false, 'its address is proved already')
    assert.equal(second.decided, false)
    const [out, into] = await Promise.all([dial, second.accept()])
    assert.deepEqual(into.nodeId, a.nodeId)
    out.close()
    assert.equal(counters.value('transport_incoming_retried_total'), 1)
    assert.equal(counters.value('transport_incoming_accepted_total'), 1)
  })

  check('a protocol that the other side has not is refused at both ends', async ({ a, b }) => {
    const dial = assert.rejects(
      a.connect(b.nodeId, OTHER_PROTOCOL, { addresses: b.localAddresses }),
      coded('PROTOCOL_REFUSED'),
    )
    const incoming = await nextIncoming(b)
    await assert.rejects(incoming.accept(), coded('PROTOCOL_REFUSED'))
    await dial
  })

  check('whoever answers with another key is not connected to', async ({ a, b, scope }) => {
    const other = KeyPair.generate().id
    const dial = assert.rejects(
      a.connect(other, TEST_PROTOCOL, { addresses: b.localAddresses }),
      coded('CONNECT_FAILED'),
    )
    // Whether the listener sees anything of it is the backend's affair.
    const accept = scope.spawn('accept', async () => {
      for await (const incoming of b.incoming) await incoming.accept().catch(() => {})
    })
    await dial
    await b.close()
    await accept.result
  })

  check(
    'a dial that nobody answers fails',
    async ({ a }) => {
      const other = KeyPair.generate().id
      const dial = a.connect(other, TEST_PROTOCOL, { addresses: ['127.0.0.1:9'] })
      await assert.rejects(dial, coded('CONNECT_FAILED'))
    },
    { connectTimeoutMs: 300 },
  )

  check('a node without address cannot be dialled, one in the table can', async (pair) => {
    const { a, b, planned, ledger, scope } = pair
    await assert.rejects(a.connect(b.nodeId, TEST_PROTOCOL), coded('ADDRESS_UNKNOWN'))
    await using c = await planned.open({
      scope,
      ledger,
      keyPair: KeyPair.generate(),
      lookup: new FixedAddresses([{ node: b.nodeId, addresses: b.localAddresses }]),
      protocols: [TEST_PROTOCOL],
    })
    const dial = c.connect(b.nodeId, TEST_PROTOCOL)
    const into = await (await nextIncoming(b)).accept()
    const out = await dial
    assert.deepEqual(into.nodeId, c.nodeId)
    out.close()
  })

  check('closing an endpoint ends everything on it', async ({ a, b, connect, scope }) => {
    const [out, into] = await connect()
    const [mine, theirs] = await biStream([out, into], text('x'))
    await theirs.receive.read(1)
    const ends = Promise.allSettled([
      mine.receive.read(1),
      out.acceptBi(),
      theirs.receive.read(1),
      a.connect(KeyPair.generate().id, TEST_PROTOCOL, { addresses: ['127.0.0.1:9'] }),
    ])
    const iteration = scope.spawn('incoming', async () => {
      for await (const incoming of a.incoming) incoming.refuse()
    })
    await Promise.all([a.close(), a.close()])
    for (const end of await ends) assert.equal(end.status, 'rejected')
    await iteration.result
    assert.equal((await out.closed).by, 'local')
    assert.equal((await into.closed).by, 'remote')
    await assert.rejects(
      a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses }),
      coded('CLOSED'),
    )
  })

  check(
    'one connection more than the cap is refused, and the place is free again after a close',
    async ({ a, b, connect }) => {
      const [out] = await connect()
      const dial = a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
      await assert.rejects(dial, coded('LIMIT'))
      out.close()
      await settled(() => connect())
    },
    { connectionsMax: 1 },
  )

  check(
    'one undecided incoming more than the cap is refused at once',
    async ({ a, b, counters }) => {
      const first = a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
      const incoming = await nextIncoming(b)
      await dialFails(a, b, 'CONNECT_FAILED')
      assert.equal(counters.value('transport_incoming_overflow_total'), 1)
      const [out] = await Promise.all([first, incoming.accept()])
      out.close()
    },
    { incomingMax: 1 },
  )

  check('connections that come and go leave nothing behind', async ({ ledger, connect }) => {
    const before = ledger.costBytes
    for (let round = 0; round < 20; round++) {
      const [out, into] = await connect()
      const [mine, theirs] = await biStream([out, into], text('x'))
      await mine.send.finish()
      await readAll(theirs.receive)
      if (round % 2) out.close()
      else into.close()
      await Promise.all([out.closed, into.closed])
    }
    assert.equal(ledger.costBytes, before)
  })

  if (traits.garbage) {
    const { garbage } = traits
    check('garbage on the socket changes nothing', async ({ a, b, connect }) => {
      const [out, into] = await connect()
      for (const address of [...a.localAddresses, ...b.localAddresses]) await garbage(address)
      const [mine, theirs] = await biStream([out, into], text('still here'))
      await mine.send.finish()
      assert.equal(await readAll(theirs.receive), 'still here')
      await connect()
    })
  }
}
