/** How connections and streams end: codes and reasons cross the wire as they were given. */
import assert from 'node:assert/strict'
import { StreamError } from 'weir-mesh/transport'
import { checkOf, connect, type Kind, type SharedPeer, sharedPeer } from './sides.ts'
import { withWeir } from './weir-end.ts'

/** Does not fit into 32 bits. */
const LARGE_CODE = 0x1_0000_0005

export function endTests(kind: Kind, shared: SharedPeer): void {
  const check = checkOf(kind)

  check('codes and reasons of closes arrive, ours there and theirs here', (role) =>
    withWeir({}, async (weir) => {
      const peer = shared()
      const ours = await connect(role, weir, peer)
      ours.connection.close(LARGE_CODE, 'so long')
      const { end } = await peer.take('closed', ({ conn }) => conn === ours.conn)
      assert.deepEqual(end, { by: 'peer', code: LARGE_CODE, reason: 'so long' })
      const theirs = await connect(role, weir, peer)
      peer.say(`close ${theirs.conn} 77 and thanks`)
      const expected = { by: 'remote', code: 77, reason: 'and thanks' }
      assert.deepEqual(await theirs.connection.closed, expected)
    }),
  )

  if (kind.precise) {
    const hasty = sharedPeer(kind, { 'idle-ms': '1000' })
    check('the shorter idle timeout holds, and both notice', (role) =>
      withWeir({ limits: { keepAliveMs: 0 } }, async (weir) => {
        const peer = hasty()
        const { connection, conn } = await connect(role, weir, peer)
        const [close, { end }] = await Promise.all([
          connection.closed,
          peer.take('closed', (line) => line.conn === conn),
        ])
        assert.equal(close.by, 'lost')
        assert.deepEqual(end, { by: 'lost', reason: 'timed out' })
      }),
    )
  }

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
}

const streamError = (code: string, streamCode: number) => (error: unknown) => {
  assert.ok(error instanceof StreamError, String(error))
  assert.deepEqual([error.code, error.streamCode], [code, streamCode])
  return true
}
