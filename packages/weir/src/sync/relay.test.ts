import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'

type Mesh = ReturnType<typeof makeMesh>

async function withThree(
  run: (mesh: Mesh, duplicates: () => number) => Promise<void>,
): Promise<void> {
  const plan = planNodes({ nodes: 3 })
  await withLedger(plan.terms, (ledger, scope, { counters }) =>
    run(makeMesh(plan, ledger, scope), () => counters.value('sync_duplicates_total')),
  )
}

test('relay on-session: in a full mesh nothing is sent twice', async () => {
  await withThree(async (mesh, duplicates) => {
    const options = { relay: 'on-session' } as const
    const [a, b, c] = [
      await mesh.node(0, options),
      await mesh.node(1, options),
      await mesh.node(2, options),
    ]
    a.sync.connect(b.id)
    a.sync.connect(c.id)
    b.sync.connect(c.id)
    const live = (node: typeof a) => [...node.sync.peers()].filter((peer) => peer.live).length === 2
    await until(() => live(a) && live(b) && live(c))
    for (const operation of makeLog({ key: keyOf(1), count: 50 })) await a.sync.publish(operation)
    await until(() => b.got.length === 50 && c.got.length === 50)
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.equal(duplicates(), 0)
  })
})

test('relay on-session: what comes through a third node comes when the session begins anew', async () => {
  await withThree(async (mesh) => {
    const options = { relay: 'on-session' } as const
    const [a, b, c] = [
      await mesh.node(0, options),
      await mesh.node(1, options),
      await mesh.node(2, options),
    ]
    a.sync.connect(b.id)
    c.sync.connect(b.id)
    await until(() => [...b.sync.peers()].filter((peer) => peer.live).length === 2)
    const [first] = makeLog({ key: keyOf(1), count: 1 })
    await a.sync.publish(first!)
    await until(() => b.got.length === 1)
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.equal(c.got.length, 0)
    c.sync.refresh()
    await until(() => c.got.length === 1)
    assert.equal((await c.store.logs(TOPIC)).length, 1)
  })
})
