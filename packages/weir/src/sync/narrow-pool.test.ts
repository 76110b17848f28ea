/** Frames that find little memory: others hold the most of the pool, for as long as they like. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'
import { READ_COST_BYTES } from './memory.ts'

const KIB = 1024
const COUNT = 10
/** Less than a page of operations needs, and more than one of them. */
const FREE_BYTES = 24 * KIB

test('where a page or a batch finds no memory a single operation is sent', async () => {
  const wireBytesMax = 192 * KIB
  const plan = planNodes({ nodes: 2, limits: { frameBytesMax: 64 * KIB, wireBytesMax } })
  await withLedger(plan.terms, async (ledger, scope) => {
    const mesh = makeMesh(plan, ledger, scope)
    const log = makeLog({ key: keyOf(1), count: 2 * COUNT, bodyBytes: 8 * KIB })
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, log.slice(0, COUNT))
    })
    const b = await mesh.node(1)
    const others = ledger.require(plan.sync.send)
    others.require(wireBytesMax - 2 * READ_COST_BYTES - FREE_BYTES)
    b.sync.connect(a.id)
    const arrived = async (count: number) => {
      for (let tries = 0; tries < 1_000 && b.got.length < count; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      assert.equal(b.got.length, count)
    }
    await arrived(COUNT)
    await until(() => [...a.sync.peers()][0]?.live === true)
    await Promise.all(log.slice(COUNT).map((operation) => a.sync.publish(operation)))
    await arrived(2 * COUNT)
    others.give(others.bytes)
    others[Symbol.dispose]()
  })
})
