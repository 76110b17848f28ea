/** A consumer that has nothing to wait for, over a store in memory: others get their turns all the same. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'

const COUNT = 10_000

test('a backlog that is worked off without a pause leaves turns of the event loop to others', async () => {
  const plan = planNodes({ nodes: 1, store: { operationsMax: 2 * COUNT } })
  await withLedger(plan.terms, async (ledger, scope) => {
    const mesh = makeMesh(plan, ledger, scope)
    let taken = 0
    let before = 0
    let inOneTurn = 0
    const done = Promise.withResolvers<void>()
    const turn = () => {
      inOneTurn = Math.max(inOneTurn, taken - before)
      before = taken
      if (taken < COUNT) setImmediate(turn)
      else done.resolve()
    }
    const log = makeLog({ key: keyOf(9), count: COUNT })
    const onOperation = () => void taken++
    await mesh.node(0, { deliverFrom: () => 0, onOperation }, async (store) => {
      for (let at = 0; at < COUNT; at += 500) await store.append(TOPIC, log.slice(at, at + 500))
      setImmediate(turn)
    })
    await done.promise
    // It was all of them, in a tenth of a second on a fast machine; 64 take half a millisecond.
    assert.ok(inOneTurn <= 64, `${inOneTurn} operations in one turn`)
  })
})

test('so it is with operations of which a page holds a few only', async () => {
  const plan = planNodes({ nodes: 1, limits: { pageBytesMax: 16 * 1024 } })
  await withLedger(plan.terms, async (ledger, scope) => {
    const mesh = makeMesh(plan, ledger, scope)
    let inOneTurn = 0
    let taken = 0
    const log = makeLog({ key: keyOf(9), count: 200, bodyBytes: 4_000 })
    const onOperation = () => {
      if (++taken === 1) setImmediate(() => (inOneTurn = taken))
    }
    await mesh.node(0, { deliverFrom: () => 0, onOperation }, async (store) => {
      await store.append(TOPIC, log)
    })
    await until(() => inOneTurn > 0 && taken === 200)
    assert.ok(inOneTurn <= 64, `${inOneTurn} operations in one turn`)
  })
})
