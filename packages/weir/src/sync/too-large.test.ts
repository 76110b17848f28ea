/** An own operation that no frame can carry: trying again does not help, so it must not be called busy. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import type { StoredOperation } from '../store/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, until } from './fixtures.ts'
import { operationFrameBytes } from './messages.ts'

const FRAME_BYTES = 64 * 1024

/** An operation whose frame has this many bytes behind its length. */
function sized(bytes: number): StoredOperation {
  const key = keyOf(1)
  for (let bodyBytes = bytes - 300; ; bodyBytes++) {
    const [operation] = makeLog({ key, count: 1, bodyBytes })
    if (operationFrameBytes(operation!, false) - 4 === bytes) return operation!
  }
}

test('what fits into a frame is published and arrives; one byte more is refused for good', async () => {
  // Also above what may be between the wire and the store: that would be busy for ever.
  for (const bodyBytes of [0, 128 * 1024]) {
    const limits = { frameBytesMax: FRAME_BYTES, ingestBytesMax: 2 * FRAME_BYTES }
    const plan = planNodes({ nodes: 2, limits })
    await withLedger(plan.terms, async (ledger, scope) => {
      const mesh = makeMesh(plan, ledger, scope)
      const [a, b] = [await mesh.node(0), await mesh.node(1)]
      b.sync.connect(a.id)
      const large = sized(FRAME_BYTES + 1 + bodyBytes)
      await assert.rejects(a.sync.publish(large), { code: 'OPERATION_TOO_LARGE', retryable: false })
      assert.equal((await a.store.logs(a.sync.topic)).length, 0)
      await a.sync.publish(sized(FRAME_BYTES))
      await until(() => b.got.length === 1)
    })
  }
})
