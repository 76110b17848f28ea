/** A peer that takes nothing holds bytes of the pool that consumers need as well. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import {
  keyOf,
  makeLog,
  makeMesh,
  planNodes,
  type RawPeer,
  rawEndpoint,
  type TestNode,
  TOPIC,
  until,
} from './fixtures.ts'
import { encodeDone, encodeHave } from './messages.ts'
import { SharedPools } from './shared-pools.ts'

const KIB = 1024
const LIMITS = {
  frameBytesMax: 64 * KIB,
  ingestBytesMax: 512 * KIB,
  queueBytesMax: 96 * KIB,
  sendWindowBytes: 4 * KIB,
}
/** What waits for the peer leaves no room for one operation of the other log. */
const WAITING = { count: 24, bodyBytes: 8 * KIB }
const COMING = { count: 6, bodyBytes: 48 * KIB }

test('what waits for a peer that takes nothing makes room for what waits for the consumer', async () => {
  const plan = planNodes({ nodes: 3, limits: LIMITS })
  await withLedger(plan.terms, async (ledger, scope) => {
    const mesh = makeMesh(plan, ledger, scope)
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(1), ...COMING }))
    })
    const b = await mesh.node(1, { relay: 'on-session' })
    const raw = await rawEndpoint(mesh, ledger, scope, 2).dial(b)
    await stall(raw, b, 2, () => ledger.row(plan.sync.live).bytes)
    b.sync.connect(a.id)
    await until(async () =>
      (await b.store.logs(TOPIC)).some(({ height }) => height === COMING.count - 1),
    )
    // A peer that takes nothing has a minute before its session ends; nobody has to wait for that.
    for (let tries = 0; tries < 1_000 && b.got.length < COMING.count; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    assert.equal(b.got.length, COMING.count)
    assert.equal([...b.sync.peers()].length, 2)
    raw.connection.close(0, '')
  })
})

test('what waits for a peer of one topic makes room for the consumer of another', async () => {
  const plan = planNodes({ nodes: 4, limits: LIMITS })
  await withLedger(plan.terms, async (ledger, scope) => {
    const mesh = makeMesh(plan, ledger, scope)
    const pools = new SharedPools()
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(1), ...COMING }))
    })
    // Two topics of one node: they share the pools.
    const b = await mesh.node(1, { pools, relay: 'on-session' })
    const c = await mesh.node(2, { pools })
    const raw = await rawEndpoint(mesh, ledger, scope, 3).dial(c)
    await stall(raw, c, 3, () => ledger.row(plan.sync.live).bytes)
    b.sync.connect(a.id)
    for (let tries = 0; tries < 1_000 && b.got.length < COMING.count; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    assert.equal(b.got.length, COMING.count)
    assert.equal([...c.sync.peers()].length, 1)
    raw.connection.close(0, '')
  })
})

/** Brings a peer that takes nothing to live mode, and fills the queue for it until no operation of the other log fits. */
async function stall(
  raw: RawPeer,
  node: TestNode,
  author: number,
  waitingBytes: () => number,
): Promise<void> {
  await raw.handshake()
  await raw.send(2, encodeHave([]))
  await raw.send(2, encodeDone())
  await until(() => [...node.sync.peers()].some(({ live }) => live))
  // More than the windows of the connection take, and then the queue fills.
  for (const operation of makeLog({ key: keyOf(author), ...WAITING })) {
    await node.sync.publish(operation)
    if (waitingBytes() > LIMITS.queueBytesMax - COMING.bodyBytes) return
  }
  assert.fail(`${waitingBytes()} bytes wait`)
}
