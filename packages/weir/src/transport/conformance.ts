/**
 * What every backend must do, as tests: `conformance(transport, traits)` in a test file runs all of it.
 *
 * Each test ends with an empty ledger, no timer and no clean-up that failed; see `withLedger`.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { type Counters, isWeirError, type Scope, seededRandom } from '../runtime/index.ts'
import { FixedAddresses } from './addresses.ts'
import { ConnectionClosedError, StreamError } from './errors.ts'
import type { PlannedTransport, Transport } from './load.ts'
import type { TransportLimits } from './memory.ts'
import type { Address, BiStream, Connection, Endpoint, Incoming, RecvStream } from './transport.ts'

export interface Traits {
  /** A writer must wait at the latest when so many bytes of one stream were not read. */
  readonly unreadBytesMax: number
  /** Whether limits on streams are those of the plan, or the backend's own. */
  readonly ownStreamLimits: boolean
  /** Throws garbage at the address of an endpoint. */
  garbage?(address: Address): Promise<void>
}

export const TEST_PROTOCOL = new Uint8Array(32).fill(7)
const OTHER_PROTOCOL = new Uint8Array(32).fill(8)
/** Long enough for anything that could go wrong in between to go wrong; nothing is expected to happen. */
const QUIET_MS = 60

interface Pair {
  readonly a: Endpoint
  readonly b: Endpoint
  readonly ledger: Ledger
  readonly scope: Scope
  readonly counters: Counters
  readonly planned: PlannedTransport
  /** A connection that a dials and b accepts: both ends. */
  connect(): Promise<[Connection, Connection]>
}

/** Runs the suite as tests named after the transport. */
export function conformance(transport: Transport, traits: Traits): void {
  const check = (
    what: string,
    run: (pair: Pair) => Promise<void>,
    limits: Partial<TransportLimits> = {},
  ) => test(`${transport.name}: ${what}`, () => withPair(transport, limits, run))

  check('both ends know the other, the protocol and who dialled', async ({ a, b, connect }) => {
    const [out, into] = await connect()
    assert.deepEqual([out.nodeId, into.nodeId], [b.nodeId, a.nodeId])
    assert.deepEqual([out.protocol, into.protocol], [TEST_PROTOCOL, TEST_PROTOCOL])
    assert.deepEqual([out.outbound, into.outbound], [true, false])
    assert.ok(b.localAddresses.includes(out.remote), `${out.remote} is not ${b.localAddresses}`)
  })

  check('a finished half leaves the other half open', async ({ connect }) => {
    const [mine, theirs] = await biStream(await connect(), text('question'))
    await mine.send.finish()
    assert.equal(await readAll(theirs.receive), 'question')
    await theirs.send.write(text('answer'))
    await theirs.send.finish()
    assert.equal(await readAll(mine.receive), 'answer')
    assert.equal(await mine.receive.read(10), undefined, 'the end stays the end')
  })

  check('one-way streams go both ways', async ({ connect }) => {
    for (const [from, to] of bothWays(await connect())) {
      const send = await from.openUni()
      await send.write(text('over'))
      await send.finish()
      assert.equal(await readAll(await to.acceptUni()), 'over')
    }
  })

  check('a reset fails the reader with its code, both ways', async ({ connect }) => {
    for (const pair of bothWays(await connect())) {
      const [mine, theirs] = await biStream(pair, text('x'))
      assert.equal(String(await theirs.receive.read(1)), '120')
      const read = theirs.receive.read(1)
      mine.send.reset(7)
      await assert.rejects(read, streamError('STREAM_RESET', 7))
      await assert.rejects(theirs.receive.read(1), streamError('STREAM_RESET', 7))
      await assert.rejects(mine.send.write(text('y')), coded('CLOSED'))
      theirs.send.reset(8)
      await assert.rejects(mine.receive.read(1), streamError('STREAM_RESET', 8))
    }
  })

  check('a stop fails the writer with its code, both ways', async ({ connect }) => {
    for (const pair of bothWays(await connect())) {
      const [mine, theirs] = await biStream(pair, text('x'))
      theirs.receive.stop(9)
      await assert.rejects(writeUntilFailure(mine), streamError('STREAM_STOPPED', 9))
      assert.equal(await mine.send.stopped, 9)
      mine.receive.stop(10)
      await assert.rejects(writeUntilFailure(theirs), streamError('STREAM_STOPPED', 10))
      assert.equal(await theirs.send.stopped, 10)
    }
  })

  check('a stop is possible while a read waits, and ends it', async ({ connect }) => {
    const [mine, theirs] = await biStream(await connect(), text('x'))
    await theirs.receive.read(1)
    const read = theirs.receive.read(1)
    theirs.receive.stop(3)
    await assert.rejects(read, coded('CLOSED'))
    await assert.rejects(writeUntilFailure(mine), streamError('STREAM_STOPPED', 3))
  })

  check('nothing is written after finish or reset', async ({ connect }) => {
    const [out] = await connect()
    const finished = await out.openUni()
    await finished.write(text('x'))
    await finished.finish()
    await assert.rejects(finished.write(text('y')), coded('CLOSED'))
    await assert.rejects(finished.finish(), coded('CLOSED'))
    finished.reset(1)
    const reset = await out.openUni()
    reset.reset(1)
    await assert.rejects(reset.write(text('y')), coded('CLOSED'))
    reset.reset(2)
  })

  check('a writer waits when nobody reads, and goes on when somebody does', async (pair) => {
    const [mine, theirs] = await biStream(await pair.connect(), text('x'))
    const bytes = pattern(traits.unreadBytesMax * 2)
    let written = false
    const write = mine.send.write(bytes).then(() => {
      written = true
    })
    await sleep(QUIET_MS)
    assert.equal(written, false, `${bytes.length} bytes were taken while nobody read`)
    const received = await readBytes(theirs.receive, bytes.length + 1)
    await write
    assert.deepEqual(received.subarray(1), bytes)
  })

  check('1 MB each way, written before anybody reads', async (pair) => {
    const [mine, theirs] = await biStream(await pair.connect(), text('x'))
    await theirs.receive.read(1)
    const bytes = pattern(1_000_000)
    const writes = Promise.all([mine, theirs].map((stream) => stream.send.write(bytes)))
    await sleep(QUIET_MS)
    const reads = await Promise.all(
      [mine, theirs].map((stream) => readBytes(stream.receive, bytes.length)),
    )
    await writes
    for (const received of reads) assert.deepEqual(received, bytes)
  })

  check(
    '100 streams at once',
    async ({ connect, scope }) => {
      const [out, into] = await connect()
      const echo = scope.spawn('echo', async () => {
        for (let each = 0; each < 100; each++) {
          const stream = await into.acceptBi()
          scope.spawn('echo one', async () => {
            for await (const bytes of stream.receive) await stream.send.write(bytes)
            await stream.send.finish()
          })
        }
      })
      const streams = await Promise.all(Array.from({ length: 100 }, () => out.openBi()))
      await Promise.all(streams.map((stream, at) => stream.send.write(text(`stream ${at}`))))
      await Promise.all(streams.map((stream) => stream.send.finish()))
      const answers = await Promise.all(streams.map((stream) => readAll(stream.receive)))
      assert.deepEqual(
        answers,
        answers.map((_, at) => `stream ${at}`),
      )
      await echo.result
    },
    {
      streamsMax: 128,
      opensMax: 128,
      connectionWindowBytesMax: 4 << 20,
      receivePoolBytes: 8 << 20,
    },
  )

  check('more streams one after the other than are allowed at once', async ({ connect }) => {
    const [out, into] = await connect()
    for (let each = 0; each < 150; each++) {
      const send = await out.openUni()
      await send.write(text('x'))
      await send.finish()
      assert.equal(await readAll(await into.acceptUni()), 'x')
    }
  })

  check('what is read is never more than was asked for', async ({ connect }) => {
    const [mine, theirs] = await biStream(await connect(), pattern(1000))
    await mine.send.finish()
    let length = 0
    for (let bytes = await theirs.receive.read(7); bytes; bytes = await theirs.receive.read(7)) {
      assert.ok(bytes.length > 0 && bytes.length <= 7)
      length += bytes.length
    }
    assert.equal(length, 1000)
  })

  check('the bytes of a write may be reused when it settles', async ({ connect }) => {
    const [mine, theirs] = await biStream(await connect(), text('0'))
    // A Buffer on purpose: its slice is a view and not a copy.
    const buffer = Buffer.alloc(1)
    for (const digit of '123') {
      buffer[0] = digit.charCodeAt(0)
      await mine.send.write(buffer)
    }
    buffer[0] = 0
    await mine.send.finish()
    assert.equal(await readAll(theirs.receive), '0123')
    // And when somebody waits for them already.
    const read = mine.receive.read(10)
    buffer[0] = 7
    await theirs.send.write(buffer)
    buffer[0] = 0
    assert.deepEqual(await read, Uint8Array.of(7))
  })

  check('writes of any size arrive in order for reads of any size', async ({ connect }) => {
    const random = seededRandom(3)
    const [mine, theirs] = await biStream(await connect(), text('x'))
    await theirs.receive.read(1)
    const sent = pattern(200_000)
    const write = (async () => {
      for (let at = 0; at < sent.length; ) {
        const length = 1 + random.below(5_000)
        await mine.send.write(sent.subarray(at, at + length))
        at += length
      }
      await mine.send.finish()
    })()
    const parts: Uint8Array[] = []
    while (true) {
      const bytes = await theirs.receive.read(1 + random.below(9_000))
      if (!bytes) break
      parts.push(bytes)
    }
    await write
    assert.deepEqual(Buffer.concat(parts), Buffer.from(sent))
  })

  check('leaving a loop over a stream stops it', async ({ connect }) => {
    const [mine, theirs] = await biStream(await connect(), text('x'))
    for await (const bytes of theirs.receive) {
      assert.equal(bytes.length, 1)
      break
    }
    await assert.rejects(writeUntilFailure(mine), streamError('STREAM_STOPPED', 0))
  })

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

  if (traits.ownStreamLimits) return

  check(
    'one stream more than the peer allows waits until one has ended',
    async ({ connect }) => {
      const [out, into] = await connect()
      const first = await Promise.all([out.openUni(), out.openUni()])
      let opened = false
      const third = out.openUni().then((stream) => {
        opened = true
        return stream
      })
      await sleep(QUIET_MS)
      assert.equal(opened, false)
      for (const stream of first) await stream.finish()
      assert.equal(await readAll(await into.acceptUni()), '')
      await third
    },
    { streamsMax: 2 },
  )
}

async function withPair(
  transport: Transport,
  limits: Partial<TransportLimits>,
  run: (pair: Pair) => Promise<void>,
): Promise<void> {
  const planned = transport.plan({ ...limits, endpointsMax: 3 })
  await withLedger(planned.terms, async (ledger, scope, { counters }) => {
    const open = () =>
      planned.open({
        scope,
        ledger,
        keyPair: KeyPair.generate(),
        lookup: new FixedAddresses([]),
        protocols: [TEST_PROTOCOL],
        listen: '127.0.0.1:0',
      })
    const [a, b] = [await open(), await open()]
    const connect = async (): Promise<[Connection, Connection]> => {
      const dial = a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
      return Promise.all([dial, nextIncoming(b).then((incoming) => incoming.accept())])
    }
    await run({ a, b, ledger, scope, counters, planned, connect })
    await a.close()
    await b.close()
  })
}

/** The next one that is asked for; the iteration is left, which must not lose the ones after it. */
export async function nextIncoming(endpoint: Endpoint): Promise<Incoming> {
  for await (const incoming of endpoint.incoming) return incoming
  throw new Error('the endpoint closed')
}

/** A stream from the first end to the second, made known by its first bytes. */
export async function biStream(
  [from, to]: readonly [Connection, Connection],
  first: Uint8Array,
): Promise<[BiStream, BiStream]> {
  const mine = await from.openBi()
  await mine.send.write(first)
  return [mine, await to.acceptBi()]
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** Bytes that differ at every distance that a mistake in a ring could make. */
export function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >>> 8) * 7 + (at >>> 16)) & 255
  return bytes
}

export async function readAll(stream: RecvStream): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const bytes of stream) parts.push(bytes)
  return Buffer.concat(parts).toString()
}

/** Exactly so many bytes. */
export async function readBytes(stream: RecvStream, length: number): Promise<Uint8Array> {
  const whole = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const bytes = await stream.read(Math.min(length - at, 65_536))
    assert.ok(bytes, `the stream ended after ${at} of ${length} bytes`)
    whole.set(bytes, at)
    at += bytes.length
  }
  return whole
}

function bothWays([a, b]: readonly [Connection, Connection]): readonly [Connection, Connection][] {
  return [
    [a, b],
    [b, a],
  ]
}

/** The peer's stop takes its way; until then writes may succeed. */
async function writeUntilFailure(stream: BiStream): Promise<void> {
  for (let round = 0; round < 1_000; round++) {
    await stream.send.write(text('more'))
    await sleep(1)
  }
}

async function dialFails(from: Endpoint, to: Endpoint, code: string) {
  try {
    await from.connect(to.nodeId, TEST_PROTOCOL, { addresses: to.localAddresses })
  } catch (error) {
    assert.ok(isWeirError(error, code), String(error))
    return error
  }
  throw new assert.AssertionError({ message: 'the dial succeeded' })
}

/** Tries again while a limit stands in the way: the peer learns of a close a little later. */
async function settled<T>(run: () => Promise<T>): Promise<T> {
  for (let round = 0; round < 100; round++) {
    try {
      return await run()
    } catch (error) {
      if (!isWeirError(error, 'LIMIT')) throw error
      await sleep(5)
    }
  }
  return run()
}

const coded = (code: string) => (error: unknown) => {
  assert.ok(isWeirError(error, code), `${code} was expected: ${error}`)
  return true
}

const streamError = (code: string, streamCode: number) => (error: unknown) => {
  assert.ok(error instanceof StreamError, String(error))
  assert.deepEqual([error.code, error.streamCode], [code, streamCode])
  return true
}
