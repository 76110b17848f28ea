import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'

test('two nodes with a log each end with both, and go on live', async () => {
  const plan = planNodes({ nodes: 2 })
  await withLedger(plan.terms, async (ledger, scope) => {
    const mesh = makeMesh(plan, ledger, scope)
    const logA = makeLog({ key: keyOf(1), count: 300, bodyBytes: 100 })
    const logB = makeLog({ key: keyOf(2), count: 5, bodyBytes: 10 })
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, logA.slice(0, 299))
    })
    const b = await mesh.node(1, {}, async (store) => {
      await store.append(TOPIC, logB.slice(0, 4))
    })
    a.sync.connect(b.id)
    await until(() => a.got.length === 4 && b.got.length === 299)
    assert.deepEqual(
      b.got.map(({ seq }) => seq),
      Array.from({ length: 299 }, (_, seq) => seq),
    )
    await a.sync.publish(logA[299]!)
    await b.sync.publish(logB[4]!)
    await until(() => a.got.length === 5 && b.got.length === 300)
    assert.deepEqual(b.got[299]?.id, logA[299]?.id)
    const [state] = [...a.sync.peers()]
    assert.equal(state?.live, true)
    await a.sync.close()
    await b.sync.close()
  })
})
