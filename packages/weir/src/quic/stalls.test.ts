/** Nobody waits for ever: what frees something, or ends it, tells all who wait for it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { type Connection, transportLimits } from '../transport/index.ts'
import { acceptAll, coded, eventually, withEndpoints } from './endpoint.fixture.ts'
import { FrameType } from './frames/frame-types.ts'
import { writeClose, writeNumbers, writeStreamHead } from './frames/write-frames.ts'
import { Attacker, frame } from './hostile.fixture.ts'
import { type QuicLimits, quicLimits } from './memory.ts'
import { made } from './rules.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

/** A stream of the client, of one kind. */
const STREAM = 2

const data = (offset: number, length: number, fin: boolean) =>
  frame((bytes) => writeStreamHead(bytes, 0, STREAM, offset, length, fin) + length)
const goodbye = () => frame((bytes) => writeClose(bytes, 0, true, 9, new Uint8Array(0)))

async function attacked(
  run: (attacker: Attacker, connection: Connection) => Promise<void>,
): Promise<void> {
  const security = toySecurity()
  await withEndpoints({ security }, async ({ b }) => {
    const accepted = acceptAll(b)
    const options = { security, address: b.localAddresses[0]!, node: b.nodeId }
    await using attacker = await Attacker.open(options)
    await eventually('the attacker is in', () => accepted.length === 1 && attacker.up)
    await run(attacker, accepted[0]!)
  })
}

test('a read that waits for a gap before the end of its stream ends with the connection', async () => {
  await attacked(async (attacker, connection) => {
    await attacker.forge(data(0, 10, false))
    const stream = await connection.acceptUni()
    assert.equal((await stream.read(100))?.length, 10)
    const read = assert.rejects(stream.read(100), coded('CONNECTION_CLOSED'))
    await attacker.forge(data(20, 10, true))
    await attacker.forge(goodbye())
    await connection.closed
    await read
  })
})

test('what was lost with the connection is no end of a stream', async () => {
  await attacked(async (attacker, connection) => {
    await attacker.forge(data(0, 10, true))
    const stream = await connection.acceptUni()
    await attacker.forge(goodbye())
    await connection.closed
    await assert.rejects(stream.read(100), coded('CONNECTION_CLOSED'))
  })
})

for (const [what, last, ends] of [
  [
    'a reset',
    () => frame((bytes) => writeNumbers(bytes, 0, FrameType.resetStream, STREAM, 5, 10)),
    'STREAM_RESET',
  ],
  ['an end', () => data(10, 0, true), undefined],
] as const) {
  test(`${what} that comes with the end of the connection is told to the read that waits`, async () => {
    await attacked(async (attacker, connection) => {
      await attacker.forge(data(0, 10, false))
      const stream = await connection.acceptUni()
      assert.equal((await stream.read(100))?.length, 10)
      const read = stream.read(100)
      const told = ends ? assert.rejects(read, coded(ends)) : read
      await attacker.forge(new Uint8Array([...last(), ...goodbye()]))
      await connection.closed
      assert.equal(await told, undefined)
    })
  })
}

test('a window that is smaller than a datagram of the path stops nothing', () => {
  for (const congestion of ['cubic', 'new-reno'] as const) {
    for (const connectionSendBytesMax of [1_024, 8_192]) {
      const limits = { connectionSendBytesMax, congestion }
      const world = made({ limits, streams: 6, mtuMax: 16_384 })
      world.run(() => world.a.done && world.b.done)
      world.close()
    }
  }
})

test('records with which no handshake would ever end are refused', () => {
  const planned = (own: Partial<QuicLimits>) => () => quicLimits(transportLimits(), own)
  assert.throws(planned({ recordsBytesMax: 1_727 }), /a handshake takes 1728/)
  assert.throws(planned({ recordPoolBytes: 1_727 }), /a handshake takes 1728/)
  const world = made({ limits: { recordsBytesMax: 1_728 }, streams: 2 })
  world.run(() => world.a.done && world.b.done)
  world.close()
})
