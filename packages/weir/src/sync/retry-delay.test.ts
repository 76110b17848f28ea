/** A session that comes to live mode and ends at once has not worked: the delay before the next one grows. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { ManualClock } from '../runtime/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'

test('what a full store refuses is asked for with a growing delay', async () => {
  const plan = planNodes({ nodes: 2, store: { operationsMax: 10 } })
  const clock = new ManualClock()
  await withLedger(
    plan.terms,
    async (ledger, scope, { counters }) => {
      const mesh = makeMesh(plan, ledger, scope)
      const a = await mesh.node(0, {}, async (store) => {
        await store.append(TOPIC, makeLog({ key: keyOf(1), count: 10 }))
      })
      const b = await mesh.node(1, {}, async (store) => {
        await store.append(TOPIC, makeLog({ key: keyOf(3), count: 5 }))
      })
      b.sync.connect(a.id)
      await until(() => counters.value('sync_failures_total') > 0)
      for (let second = 0; second < 60; second++) await clock.advanceAsync(1_000, 50)
      const full = b.reports.filter((each) => each.type === 'ended' && each.code === 'STORE_FULL')
      assert.ok(full.length > 3 && full.length < 20, `${full.length} sessions in a minute`)
    },
    { clock },
  )
})
