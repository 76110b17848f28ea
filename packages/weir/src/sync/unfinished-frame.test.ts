/** A frame that was begun and does not end: it has its time, and makes room for others before that. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { ManualClock, type Scope } from '../runtime/index.ts'
import {
  keyOf,
  type Mesh,
  makeLog,
  makeMesh,
  planNodes,
  type RawPeer,
  rawEndpoint,
  type TestNode,
  TOPIC,
  until,
} from './fixtures.ts'
import { encodeDone, encodeHave, encodeOperations } from './messages.ts'
import { SharedPools } from './shared-pools.ts'

const KIB = 1024
const LONG_BYTES = 200 * KIB
const LIMITS = {
  frameBytesMax: 256 * KIB,
  ingestBytesMax: 512 * KIB,
  queueBytesMax: 512 * KIB,
  wireBytesMax: 1024 * KIB,
}
const NODES = 8

type Run = (mesh: Mesh, ledger: Ledger, scope: Scope, clock: ManualClock) => Promise<void>

async function withMesh(run: Run): Promise<void> {
  const clock = new ManualClock()
  const plan = planNodes({ nodes: NODES, limits: LIMITS })
  await withLedger(
    plan.terms,
    (ledger, scope) => run(makeMesh(plan, ledger, scope), ledger, scope, clock),
    { clock },
  )
}

/** A peer in live mode that speaks raw frames. */
async function liveRaw(side: { dial(node: TestNode): Promise<RawPeer> }, node: TestNode) {
  const before = node.reports.filter(({ type }) => type === 'live').length
  const raw = await side.dial(node)
  await raw.handshake()
  await raw.send(2, encodeHave([]))
  await raw.send(2, encodeDone())
  await until(() => node.reports.filter(({ type }) => type === 'live').length > before)
  return raw
}

const endsOf = (node: TestNode) =>
  node.reports.flatMap((report) => (report.type === 'ended' ? [report.code] : []))

const [LONG] = makeLog({ key: keyOf(50), count: 1, bodyBytes: LONG_BYTES })
const FRAME = encodeOperations([LONG!], true)

test('a frame that is begun in live mode and comes by drops has silenceMs, and its memory is free then', async () => {
  await withMesh(async (mesh, ledger, scope, clock) => {
    const a = await mesh.node(0)
    const raw = await liveRaw(rawEndpoint(mesh, ledger, scope, 1), a)
    await raw.send(2, FRAME.subarray(0, 100 * KIB))
    await until(() => ledger.row(mesh.plan.sync.frame).bytes > 100 * KIB)
    for (let second = 0; second < 29; second++) {
      await raw.send(2, FRAME.subarray(100 * KIB + second, 100 * KIB + second + 1))
      await clock.advanceAsync(1_000)
    }
    assert.deepEqual(endsOf(a), [])
    await clock.advanceAsync(2_000)
    assert.deepEqual(endsOf(a), ['SYNC_SILENT'])
    assert.equal(ledger.row(mesh.plan.sync.frame).bytes, 0)
    raw.connection.close(0, '')
  })
})

test('a slow link is not cut: a frame may take most of silenceMs, one after the other', async () => {
  await withMesh(async (mesh, ledger, scope, clock) => {
    const a = await mesh.node(0)
    const raw = await liveRaw(rawEndpoint(mesh, ledger, scope, 1), a)
    const bytes = encodeOperations(
      makeLog({ key: keyOf(50), count: 4, bodyBytes: LONG_BYTES }),
      true,
    )
    // Each frame takes 25 s.
    for (let at = 0; at < bytes.length; at += 8 * KIB) {
      await raw.send(2, bytes.subarray(at, at + 8 * KIB))
      await clock.advanceAsync(1_000)
    }
    await until(() => a.got.length === 4)
    await clock.advanceAsync(120_000)
    assert.deepEqual(endsOf(a), [], 'between frames a peer may be silent')
    raw.connection.close(0, '')
  })
})

test('sync.wire-bytes: peers that fill it with unfinished frames make room for one more, of any topic', async () => {
  await withMesh(async (mesh, ledger, scope, clock) => {
    const pools = new SharedPools()
    // Another node stands for another topic: it draws on the same pools.
    const a = await mesh.node(0, { pools })
    const b = await mesh.node(1, { pools })
    const c = await mesh.node(2, { pools }, async (store) => {
      await store.append(TOPIC, [LONG!])
    })
    const raws: RawPeer[] = []
    for (let index = 3; index < 7; index++) {
      const raw = await liveRaw(rawEndpoint(mesh, ledger, scope, index), a)
      await raw.send(2, FRAME.subarray(0, FRAME.length - 1))
      raws.push(raw)
    }
    const { wireBytes } = mesh.plan.sync
    const full = () => ledger.row(wireBytes).bytes
    await until(() => full() > LIMITS.wireBytesMax - LONG_BYTES / 2)
    c.sync.connect(b.id)
    for (let second = 0; second < 9; second++) await clock.advanceAsync(1_000)
    assert.equal(b.got.length, 0)
    assert.deepEqual(endsOf(a), [], 'each frame has a third of silenceMs, whoever waits')
    for (let second = 9; second < 29 && b.got.length === 0; second++) {
      await clock.advanceAsync(1_000)
    }
    assert.equal(b.got.length, 1)
    const ends = endsOf(a)
    assert.deepEqual([...new Set(ends)], ['SYNC_LIMIT'])
    assert.ok(ends.length < raws.length, 'no more than it takes: the frame goes and comes here')
    for (const raw of raws) raw.connection.close(0, '')
  })
})
