/** A log that has come to its last sequence number, 2^32 - 1: one more is no number that a packed array holds. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { withLedger } from '../../testing/index.ts'
import { type Hash, SEQ_MAX } from '../core/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'

const FIRST = SEQ_MAX - 1
/** What anybody may write: a prune flag needs no predecessor. */
const log = makeLog({
  key: keyOf(9),
  from: FIRST,
  count: 2,
  backlink: new Uint8Array(32).fill(1) as Hash,
  prune: (seq) => seq === FIRST,
})

test('the last operation of a log is sent once, in the initial sync and live, and then all is quiet', async () => {
  const plan = planNodes({ nodes: 3 })
  await withLedger(plan.terms, async (ledger, scope, { counters }) => {
    const mesh = makeMesh(plan, ledger, scope)
    const a = await mesh.node(0, {}, async (store) => {
      assert.deepEqual(await store.append(TOPIC, log), ['kept', 'kept'])
    })
    const [b, c] = [await mesh.node(1), await mesh.node(2)]
    c.sync.connect(b.id)
    await until(() => [...c.sync.peers()][0]?.live === true)
    b.sync.connect(a.id)
    await until(() => b.got.length === 2 && c.got.length === 2)
    for (let turn = 0; turn < 200; turn++) await setImmediate()
    assert.deepEqual(
      [b, c].map(({ got }) => got.map(({ seq }) => seq)),
      [
        [FIRST, SEQ_MAX],
        [FIRST, SEQ_MAX],
      ],
    )
    // Two to each, and back once from each that got the last one: nobody can tell that the sender has it.
    assert.equal(counters.value('sync_sent_total'), 6)
    assert.deepEqual(
      [...a.sync.peers(), ...c.sync.peers()].map(({ live }) => live),
      [true, true],
    )
  })
})
