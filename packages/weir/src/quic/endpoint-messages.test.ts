/** Unreliable messages over real sockets, and datagrams that grow where the interface carries them. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { isWeirError } from '../runtime/index.ts'
import type { Connection } from '../transport/index.ts'
import { coded, eventually, exchange, withEndpoints } from './endpoint.fixture.ts'
import { tlsSecurity } from './security.ts'
import { datagramBytesTo } from './shell/interface-mtu.ts'
import type { QuicConnection } from './shell/quic-connection.ts'
import { quicTransportWith } from './transport.ts'

const MESSAGES = 4
const own = { messagesMax: MESSAGES }
const of = (connection: Connection) => {
  assert.ok(connection.datagrams)
  return connection.datagrams
}
const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte)
const statsOf = (connection: Connection) => (connection as QuicConnection).machine.stats

test('messages go both ways, up to the length that is told, and what is longer is refused', async () => {
  await withEndpoints({ own, security: tlsSecurity() }, async ({ connect }) => {
    const [a, b] = await connect()
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const { bytesMax } = of(from)
      assert.ok(bytesMax >= 1_100, `${bytesMax}`)
      for (const length of [0, 1, bytesMax]) {
        assert.equal(of(from).send(filled(length, length)), true)
        assert.deepEqual(await of(to).receive(), filled(length, length))
      }
      assert.equal(of(from).send(filled(of(from).bytesMax + 9_000, 1)), false)
    }
  })
})

test('who gives up may wait again at once, and is told of the next message', async () => {
  await withEndpoints({ own }, async ({ connect }) => {
    const [a, b] = await connect()
    const giveUp = new AbortController()
    const first = assert.rejects(of(b).receive({ signal: giveUp.signal }), coded('CLOSED'))
    giveUp.abort()
    const second = of(b).receive()
    await first
    of(a).send(Uint8Array.of(7))
    assert.deepEqual(await second, Uint8Array.of(7))
  })
})

test('without room for messages there are none, and streams work as ever', async () => {
  await withEndpoints({}, async ({ connect }) => {
    const [a, b] = await connect()
    assert.equal(a.datagrams, undefined)
    assert.equal(b.datagrams, undefined)
    await exchange(a, b)
  })
})

test('N+1 quic.messages: of those that nobody reads the oldest go', async () => {
  await withEndpoints({ own }, async ({ connect, row }) => {
    const [a, b] = await connect()
    for (let each = 0; each < 3 * MESSAGES; each++) {
      of(a).send(Uint8Array.of(each))
      // One by one, so that none is dropped before it is sent.
      await eventually('it has left', () => statsOf(a).datagramsSent === each + 1)
    }
    await exchange(a, b)
    assert.ok(row('quic.messages').entries <= MESSAGES)
    assert.equal(statsOf(b).datagramsDropped, 2 * MESSAGES)
    for (let each = 2 * MESSAGES; each < 3 * MESSAGES; each++) {
      assert.deepEqual(await of(b).receive(), Uint8Array.of(each))
    }
    // The same on the way out, within one turn.
    for (let each = 0; each < 3 * MESSAGES; each++) of(b).send(Uint8Array.of(each))
    assert.deepEqual(await of(a).receive(), Uint8Array.of(2 * MESSAGES))
  })
})

test('who waits for a message is told when it gives up, and when the connection ends', async () => {
  await withEndpoints({ own }, async ({ connect }) => {
    const [a, b] = await connect()
    const controller = new AbortController()
    const given = of(a).receive({ signal: controller.signal })
    controller.abort()
    await assert.rejects(given, coded('CLOSED'))
    const waiting = of(a).receive()
    const { datagrams } = a
    b.close(5, 'enough')
    await assert.rejects(waiting, (error) => isWeirError(error, 'CONNECTION_CLOSED'))
    await assert.rejects(datagrams!.receive(), (error) => isWeirError(error, 'CONNECTION_CLOSED'))
    assert.equal(datagrams!.send(Uint8Array.of(1)), false)
  })
})

test('on loopback datagrams grow to what the endpoint builds, both ways', async (t) => {
  const most = 4_000
  if (datagramBytesTo('127.0.0.1') < most) return t.skip('the system does not tell the MTU')
  const limits = { datagramBytesMax: most }
  await withEndpoints({ own: limits, security: tlsSecurity() }, async ({ connect }) => {
    const [a, b] = await connect()
    await exchange(a, b)
    await exchange(b, a)
    await eventually('a has grown', () => statsOf(a).mtu === most)
    await eventually('b has grown', () => statsOf(b).mtu === most)
    await exchange(a, b)
    assert.equal(statsOf(a).blackHoles + statsOf(b).blackHoles, 0)
  })
})

test('a datagram that QUIC or UDP cannot have is no limit', () => {
  for (const datagramBytesMax of [1_199, 65_508]) {
    assert.throws(() => quicTransportWith({ datagramBytesMax }).plan(), /datagramBytesMax is/)
  }
  quicTransportWith({ datagramBytesMax: 1_200 }).plan()
})
