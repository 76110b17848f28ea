/** Handshakes in both roles, what is decided on before them, and how connections end. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { isWeirError } from 'weir-mesh/runtime'
import { StreamError } from 'weir-mesh/transport'
import type { QuicPeer } from './peer.ts'
import {
  connect,
  connectedTo,
  type Kind,
  type Pair,
  ROLES,
  type Role,
  type SharedPeer,
} from './sides.ts'
import { UdpProxy } from './udp-proxy.ts'
import { assertSame, echo, PROTOCOL, receive, send, talk, withWeir } from './weir-end.ts'

const SUITES = Object.freeze([
  [0x1301, 'AES-128-GCM'],
  [0x1303, 'ChaCha20-Poly1305'],
] as const)
const REFUSED = 2

export function handshakeTests(kind: Kind, shared: SharedPeer): void {
  const { skip } = kind
  const check = (
    what: string,
    run: (role: Role) => Promise<void>,
    roles: readonly Role[] = ROLES,
  ) => {
    for (const role of roles) {
      test(`${kind.name}: Weir ${role}: ${what}`, { skip, timeout: 60_000 }, () => run(role))
    }
  }

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

  check('a Retry in between, after which the address is proved', (role) =>
    withWeir({}, async (weir) => {
      const peer = shared()
      if (role === 'dials') {
        await peer.policy('retry')
        const { connection } = await connect(role, weir, peer)
        assert.equal(
          (await peer.take('incoming', (line) => line.validated === false)).conn,
          undefined,
        )
        await peer.take('incoming', (line) => line.validated === true)
        await peer.policy('accept')
        assert.equal((await talk(connection, 5_000)).bytes, 5_000)
        return
      }
      const connected = connectedTo(weir, peer)
      peer.dial(weir.nodeId, weir.address)
      const first = await weir.incoming()
      assert.equal(first.validated, false)
      assert.ok(first.retry())
      const second = await weir.incoming()
      assert.equal(second.validated, true)
      const connection = await second.accept()
      await connected
      assert.equal((await talk(connection, 5_000)).bytes, 5_000)
    }),
  )

  check('a refusal ends the dial at once', (role) =>
    withWeir({}, async (weir) => {
      const peer = shared()
      if (role === 'dials') {
        await peer.policy('refuse')
        await assert.rejects(weir.dial(peer.nodeId, peer.address), (error) => {
          assert.ok(isWeirError(error, 'CONNECT_FAILED'), String(error))
          assert.match(error.message, /refused/)
          return true
        })
        assert.deepEqual(weir.tap.codes('peer'), [REFUSED])
        await peer.policy('accept')
        return
      }
      peer.dial(weir.nodeId, weir.address)
      ;(await weir.incoming()).refuse()
      const { end } = await peer.take('connect_failed')
      if (kind.precise) assert.deepEqual(pick(end), { by: 'peer', transport: REFUSED })
      else assert.match(JSON.stringify(end), /refused/)
    }),
  )

  check('what was ignored left nothing: the next Initial of the same dial gets in', (role) =>
    withWeir({}, async (weir) => {
      const peer = shared()
      if (role === 'dials') {
        await peer.policy('ignore')
        const dial = weir.dial(peer.nodeId, peer.address)
        await peer.take('incoming')
        await peer.policy('accept')
        assert.equal((await talk(await dial, 5_000)).bytes, 5_000)
        return
      }
      const connected = connectedTo(weir, peer)
      peer.dial(weir.nodeId, weir.address)
      ;(await weir.incoming()).ignore()
      const connection = await (await weir.incoming()).accept()
      await connected
      assert.equal((await talk(connection, 5_000)).bytes, 5_000)
    }),
  )

  check('codes and reasons of closes arrive, ours there and theirs here', (role) =>
    withWeir({}, async (weir) => {
      const peer = shared()
      const ours = await connect(role, weir, peer)
      ours.connection.close(0x1_0000_0005, 'so long')
      const { end } = await peer.take('closed', ({ conn }) => conn === ours.conn)
      assert.deepEqual(end, { by: 'peer', code: 0x1_0000_0005, reason: 'so long' })
      const theirs = await connect(role, weir, peer)
      peer.say(`close ${theirs.conn} 77 and thanks`)
      const expected = { by: 'remote', code: 77, reason: 'and thanks' }
      assert.deepEqual(await theirs.connection.closed, expected)
    }),
  )

  check('codes of resets and stops arrive, ours there and theirs here', (role) =>
    withWeir({}, async (weir) => {
      const peer = shared()
      const { connection, conn } = await connect(role, weir, peer)
      peer.say(`reset ${conn} 3000 41`)
      const reading = connection.acceptUni().then(async (stream) => {
        while (await stream.read(65_536));
      })
      await assert.rejects(reading, streamError('STREAM_RESET', 41))

      const stopped = await connection.openUni()
      await stopped.write(Uint8Array.of(...Buffer.from('stop'), 42))
      assert.equal(await stopped.stopped, 42)

      const given = await connection.openUni()
      await given.write(new Uint8Array(1_000).fill(1))
      given.reset(43)
      const { end } = await peer.take('received', (line) => line.end !== 'fin')
      assert.match(String(end), /\b43\b/)

      peer.say(`send ${conn} 8000000`)
      ;(await connection.acceptUni()).stop(44)
      const { error } = await peer.take('send_failed')
      assert.match(String(error), /\b44\b/)
    }),
  )

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
        let others = 0
        const watch = async () => {
          for await (const other of weir.endpoint.incoming) {
            others++
            other.refuse()
          }
        }
        const watching = watch()
        const { conn } = await connected
        peer.say(`talk ${conn} 200000`)
        await echo(connection)
        const { sent, hash } = await peer.take('talked')
        assert.equal(hash, sent)
        assert.ok(one.toServer.came > 0 && two.toServer.came > 0)
        await weir.endpoint.close()
        await watching
        assert.equal(others, 0)
      }),
    ['is dialled'],
  )
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

const streamError = (code: string, streamCode: number) => (error: unknown) => {
  assert.ok(error instanceof StreamError, String(error))
  assert.deepEqual([error.code, error.streamCode], [code, streamCode])
  return true
}

/** An end without its reason, which is for people. */
function pick(end: unknown): unknown {
  const { reason: _, ...rest } = end as Readonly<Record<string, unknown>>
  return rest
}
