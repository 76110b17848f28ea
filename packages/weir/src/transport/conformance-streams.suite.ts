/** What every backend must do with streams. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../runtime/index.ts'
import {
  biStream,
  bothWays,
  type Check,
  coded,
  pattern,
  QUIET_MS,
  readAll,
  readBytes,
  streamError,
  TEST_PROTOCOL,
  type Traits,
  text,
  writeUntilFailure,
} from './conformance-pair.suite.ts'

export function streamConformance(check: Check, traits: Traits): void {
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

  check('what nobody has read when the connection ends is no end of its stream', async (pair) => {
    const [out, into] = await pair.connect()
    const send = await out.openUni()
    await send.write(text('lost'))
    await send.finish()
    const stream = await into.acceptUni()
    await sleep(QUIET_MS)
    into.close()
    await assert.rejects(stream.read(10), coded('CONNECTION_CLOSED'))
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
