/** Handshakes in both roles with each cipher, and streams of both kinds on what they make. */
import assert from 'node:assert/strict'
import type { QuicPeer } from './peer.ts'
import {
  checkOf,
  connect,
  connectedTo,
  type Kind,
  type Pair,
  type SharedPeer,
  sharedPeer,
} from './sides.ts'
import { UdpProxy } from './udp-proxy.ts'
import { assertSame, echo, PROTOCOL, receive, send, talk, type Weir, withWeir } from './weir-end.ts'

const SUITES = Object.freeze([
  [0x1301, 'AES-128-GCM'],
  [0x1303, 'ChaCha20-Poly1305'],
] as const)

/** The ServerHello comes behind something else: a request for another hello. */
const AFTER_RETRY_REQUEST = /^> initial .*crypto [1-9]\d*\+/m

export function handshakeTests(kind: Kind, shared: SharedPeer): void {
  const check = checkOf(kind)
  for (const [suite, name] of SUITES) {
    check(`${name}, streams of both kinds, both ways`, (role) =>
      withWeir({ suite }, async (weir) => {
        const peer = shared()
        const pair = await connect(role, weir, peer)
        const { connection, conn } = pair
        assert.deepEqual(weir.tap.suites, [suite, suite])
        assert.deepEqual(connection.nodeId, peer.nodeId)
        assert.deepEqual(connection.protocol, PROTOCOL)
        assert.equal(connection.outbound, role === 'dials')
        await streamsBothWays(kind, peer, pair)
        connection.close()
        await peer.take('closed', (line) => line.conn === conn)
      }),
    )
  }

  if (kind.precise) {
    const other = sharedPeer(kind, { 'hello-retry': '' })
    check(
      'a key share that does not fit is asked for again (HelloRetryRequest)',
      (role) =>
        withWeir({}, async (weir) => {
          const { connection } = await connect(role, weir, other())
          assert.match(weir.tap.story(), AFTER_RETRY_REQUEST)
          const { sent, hash } = await talk(connection, 20_000)
          assert.equal(hash, sent)
        }),
      ['is dialled'],
    )
  }

  check(
    'one connection, however many addresses iroh sends its Initials from and to',
    () =>
      withWeir({}, async (weir) => {
        const peer = shared()
        await using one = await UdpProxy.open(weir.address)
        await using two = await UdpProxy.open(weir.address)
        const connected = connectedTo(weir, peer)
        peer.dial(weir.nodeId, `${one.address},${two.address},${weir.address}`)
        const connection = await (await weir.incoming()).accept()
        const others = countOthers(weir)
        const { conn } = await connected
        peer.say(`talk ${conn} 200000`)
        await echo(connection)
        const { sent, hash } = await peer.take('talked')
        assert.equal(hash, sent)
        assert.ok(one.toServer.came > 0 && two.toServer.came > 0)
        await weir.endpoint.close()
        assert.equal(await others, 0)
      }),
    ['is dialled'],
  )
}

/** How many more ask for a connection before the endpoint closes. */
async function countOthers({ endpoint }: Weir): Promise<number> {
  let others = 0
  for await (const other of endpoint.incoming) {
    others++
    other.refuse()
  }
  return others
}

async function streamsBothWays(
  kind: Kind,
  peer: QuicPeer,
  { connection, conn }: Pair,
): Promise<void> {
  const bytes = kind.precise ? 300_000 : 100_000
  const sent = await send(connection, bytes)
  assertSame(await peer.take('received', (line) => line.conn === conn), bytes, sent)
  peer.say(`send ${conn} ${bytes}`)
  const received = await receive(connection)
  const { hash } = await peer.take('sent', (line) => line.conn === conn)
  assertSame(received, bytes, hash!)
  const back = await talk(connection, bytes)
  assertSame(back, bytes, back.sent)
  await peer.take('echoed', (line) => line.conn === conn)
  peer.say(`talk ${conn} ${bytes}`)
  await echo(connection)
  const talked = await peer.take('talked', (line) => line.conn === conn)
  assertSame(talked, bytes, talked['sent'] as string)
}
