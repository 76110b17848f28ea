/** Over a network that loses, doubles and reorders, and gives the client another address under way. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { connect, type Kind, type Pair, ROLES, type Role, type SharedPeer } from './sides.ts'
import { exchange } from './streams.suite.ts'
import { UdpProxy, type Weather } from './udp-proxy.ts'
import { echo, receive, statsOf, talk, type Weir, withWeir } from './weir-end.ts'

const MIB = 1024 * 1024

/** A peer and an endpoint of ours with a bad network in between. */
async function through(
  role: Role,
  shared: SharedPeer,
  weather: Weather,
  run: (pair: Pair, proxy: UdpProxy, weir: Weir) => Promise<void>,
): Promise<void> {
  await withWeir({}, async (weir) => {
    weir.tap.quiet()
    const server = role === 'dials' ? shared().address : weir.address
    await using proxy = await UdpProxy.open(server, weather)
    await run(await connect(role, weir, shared(), proxy.address), proxy, weir)
  })
}

export function lossTests(
  kind: Kind,
  shared: SharedPeer,
  bytes: { readonly light: number; readonly heavy: number },
): void {
  const options = { skip: kind.skip, timeout: 120_000 }
  for (const role of ROLES) {
    for (const percent of [1, 5] as const) {
      const mebibytes = percent === 1 ? bytes.light : bytes.heavy
      const what = `${percent} % loss, 1 % twice, 2 % out of order: ${mebibytes} MiB each way`
      test(`${kind.name}: Weir ${role}: ${what}`, options, (t) => {
        const weather = { seed: percent, loss: percent / 100, twice: 0.01, late: 0.02, holdMs: 5 }
        return through(role, shared, weather, async (pair, { toServer, toClient }) => {
          const start = performance.now()
          await exchange(shared(), pair, mebibytes * MIB, true)
          const seconds = (performance.now() - start) / 1_000
          t.diagnostic(`${((2 * mebibytes) / seconds).toFixed(1)} MiB/s`)
          for (const { lost, twice, late, overflow } of [toServer, toClient]) {
            assert.ok(lost > 0 && twice > 0 && late > 0)
            assert.equal(overflow, 0)
          }
        })
      })
    }
  }
}

export function moveTests(kind: Kind, shared: SharedPeer): void {
  const options = { skip: kind.skip, timeout: 60_000 }
  for (const role of ROLES) {
    const client = role === 'dials' ? 'we get' : 'the peer gets'
    test(`${kind.name}: ${client} another address under way, and back again`, options, () =>
      through(role, shared, {}, async (pair, proxy) => {
        const { connection, conn } = pair
        const peer = shared()
        for (let move = 1; move <= 3; move++) {
          const [forth, back] = [talk(connection, MIB), receive(connection)]
          peer.say(`send ${conn} ${MIB}`)
          await proxy.move()
          const { sent, hash } = await forth
          assert.equal(hash, sent)
          assert.equal((await back).hash, (await peer.take('sent')).hash)
          // The client speaks first from its new address: an idle server cannot know.
          assert.ok(proxy.sinceMove > 0)
          if (role === 'is dialled') {
            assert.equal(connection.remote, proxy.clientAddress)
            assert.ok(statsOf(connection).moves >= move)
          }
        }
        peer.say(`talk ${conn} 100000`)
        await echo(connection)
        assert.equal((await peer.take('talked')).bytes, 100_000)
      }),
    )
  }
}
