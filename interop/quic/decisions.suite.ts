/** What is decided on before a handshake: Retry, refusal, and to ignore it, by us and by iroh. */
import assert from 'node:assert/strict'
import { isWeirError } from 'weir-mesh/runtime'
import { checkOf, connect, connectedTo, type Kind, type SharedPeer } from './sides.ts'
import { talk, withWeir } from './weir-end.ts'

/** CONNECTION_REFUSED (RFC 9000 section 20.1). */
const REFUSED = 2

export function decisionTests(kind: Kind, shared: SharedPeer): void {
  const check = checkOf(kind)

  check('a Retry in between, after which the address is proved', (role) =>
    withWeir({}, async (weir) => {
      const peer = shared()
      if (role === 'dials') {
        await peer.policy('retry')
        const { connection } = await connect(role, weir, peer)
        await peer.take('incoming', (line) => line.validated === false)
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
      if (!kind.precise) return assert.match(JSON.stringify(end), /refused/)
      const { by, transport } = end as { readonly by: string; readonly transport: number }
      assert.deepEqual({ by, transport }, { by: 'peer', transport: REFUSED })
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
}
