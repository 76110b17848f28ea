/** Many sessions: what all of them read into must leave room for a frame, or large operations would never go. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { makeMesh, planNodes, until } from './fixtures.ts'
import { READ_COST_BYTES } from './memory.ts'

const KIB = 1024
const FRAME_BYTES = 256 * KIB
const SESSIONS_MAX = 8
/** On one ledger: each session has two ends. */
const PEERS = 5

test('sync.wire-bytes: a session more than leaves room for a frame is refused', async () => {
  const plan = planNodes({
    nodes: PEERS + 1,
    limits: {
      sendWindowBytes: FRAME_BYTES,
      frameBytesMax: FRAME_BYTES,
      ingestBytesMax: 2 * FRAME_BYTES,
      queueBytesMax: 2 * FRAME_BYTES,
      wireBytesMax: FRAME_BYTES + SESSIONS_MAX * READ_COST_BYTES + KIB,
    },
  })
  await withLedger(plan.terms, async (ledger, scope) => {
    const mesh = makeMesh(plan, ledger, scope)
    const hub = await mesh.node(0)
    const { frame } = plan.sync
    for (let index = 1; index < PEERS; index++) {
      const peer = await mesh.node(index)
      peer.sync.connect(hub.id)
      await until(() => [...peer.sync.peers()][0]?.live === true)
    }
    assert.equal(ledger.row(frame).instances, SESSIONS_MAX)
    const late = await mesh.node(PEERS)
    late.sync.connect(hub.id)
    await until(() => ledger.row(frame).refused.cap > 0)
    assert.equal([...late.sync.peers()].length, 0)
    const other = ledger.require(plan.sync.send)
    assert.equal(other.take(FRAME_BYTES), 'ok')
    other.give(FRAME_BYTES)
    other[Symbol.dispose]()
  })
})
