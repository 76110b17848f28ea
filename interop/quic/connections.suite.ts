/** Connections as a whole: many at once, over IPv6, with messages, larger datagrams, and an end that was restarted. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeyPair } from 'weir-mesh/core'
import type { Connection } from 'weir-mesh/transport'
import { checkOf, connect, connectedTo, type Kind, type SharedPeer, sharedPeer } from './sides.ts'
import { exchange } from './streams.suite.ts'
import { UdpProxy } from './udp-proxy.ts'
import { statsOf, talk, withWeir } from './weir-end.ts'

const AT_ONCE = 16
/** What iroh takes at most (max_udp_payload_size), and what an Ethernet takes for certain. */
const PAYLOAD_BYTES_MAX = 1_472
const PAYLOAD_BYTES_MIN = 1_400

export function connectionTests(kind: Kind, shared: SharedPeer): void {
  const over6 = sharedPeer(kind, { bind: '[::1]:0' })
  const check = checkOf(kind)

  check(`${AT_ONCE} connections at once, each with streams`, (role) =>
    withWeir({}, async (weir) => {
      const peer = shared()
      const opened: Promise<Connection>[] = []
      for (let each = 0; each < AT_ONCE; each++) {
        if (role === 'dials') opened.push(weir.dial(peer.nodeId, peer.address))
        else {
          peer.dial(weir.nodeId, weir.address)
          opened.push((await weir.incoming()).accept())
        }
      }
      const connections = await Promise.all(opened)
      for (const _ of connections) await connectedTo(weir, peer)
      const talked = await Promise.all(connections.map((each) => talk(each, 20_000)))
      for (const { sent, hash } of talked) assert.equal(hash, sent)
    }),
  )

  check('over IPv6', (role) =>
    withWeir({ listen: '[::1]:0' }, async (weir) => {
      const { connection } = await connect(role, weir, over6())
      const { sent, hash } = await talk(connection, 50_000)
      assert.equal(hash, sent)
      assert.match(connection.remote, /^\[::1\]:/)
    }),
  )

  check('datagrams grow to what iroh takes', (role) =>
    withWeir({}, async (weir) => {
      const pair = await connect(role, weir, shared())
      await exchange(shared(), pair, 500_000, true)
      const { mtu, blackHoles } = statsOf(pair.connection)
      assert.ok(mtu >= PAYLOAD_BYTES_MIN && mtu <= PAYLOAD_BYTES_MAX, `${mtu} bytes`)
      assert.equal(blackHoles, 0)
    }),
  )

  check('messages (RFC 9221) there and back', (role) =>
    withWeir({ limits: { messagesMax: 16 } }, async (weir) => {
      const { connection } = await connect(role, weir, shared())
      const { datagrams } = connection
      assert.ok(datagrams)
      // No longer than fits before iroh has found that the path takes more: it echoes them.
      for (const length of [1, 100, 1_000, 1_150]) {
        const bytes = new Uint8Array(length).fill(length)
        assert.ok(datagrams.send(bytes))
        assert.deepEqual(await datagrams.receive(), bytes)
      }
    }),
  )

  const name = `${kind.name}: Weir was restarted: its stateless reset ends what iroh still holds`
  test(name, { skip: kind.skip, timeout: 60_000 }, async () => {
    const keyPair = KeyPair.generate()
    await using proxy = await UdpProxy.open('127.0.0.1:1')
    const peer = shared()
    let conn = -1
    await withWeir({ keyPair }, async (weir) => {
      proxy.serve(weir.address)
      const pair = await connect('is dialled', weir, peer, proxy.address)
      conn = pair.conn
      assert.equal((await talk(pair.connection, 5_000)).bytes, 5_000)
      // It dies without a word.
      proxy.serve(undefined)
    })
    // What it said at its end is lost before the network is there again.
    await sleep(200)
    await withWeir({ keyPair }, async (weir) => {
      proxy.serve(weir.address)
      peer.say(`talk ${conn} 1000`)
      const { end } = await peer.take('closed', (line) => line.conn === conn)
      assert.match(JSON.stringify(end), /reset by peer/)
    })
  })
}
