/** What peers do that a well-behaved one does not, and what time does; over the memory transport, with frames by hand. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { type Bench, withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { ManualClock, type Scope } from '../runtime/index.ts'
import {
  keyOf,
  type Mesh,
  makeLog,
  makeMesh,
  type NodesOptions,
  planNodes,
  type RawPeer,
  rawEndpoint,
  type TestNode,
  TOPIC,
  until,
} from './fixtures.ts'
import {
  decodeSync,
  encodeClose,
  encodeDone,
  encodeHave,
  encodeOperations,
  encodePreSync,
  type SyncMessage,
} from './messages.ts'

interface Place {
  readonly mesh: Mesh
  readonly ledger: Ledger
  readonly scope: Scope
  readonly bench: Bench
  readonly clock: ManualClock
}

async function place(options: NodesOptions, run: (place: Place) => Promise<void>): Promise<void> {
  const plan = planNodes(options)
  const clock = new ManualClock()
  await withLedger(
    plan.terms,
    async (ledger, scope, bench) => {
      await run({ mesh: makeMesh(plan, ledger, scope), ledger, scope, bench, clock })
    },
    { clock },
  )
}

const codes = (node: TestNode) =>
  node.reports.flatMap((report) => (report.type === 'ended' ? [report.code] : []))
const dialCodes = (node: TestNode) =>
  node.reports.flatMap((report) => (report.type === 'dial-failed' ? [report.code] : []))
const isLive = (node: TestNode) => [...node.sync.peers()].some(({ live }) => live)

async function next(raw: RawPeer): Promise<SyncMessage> {
  const frame = await raw.frame(2)
  assert.ok(frame, 'the node has closed')
  return decodeSync(frame, { heightsMax: 100 })
}

/** A raw peer with nothing to give, in live mode with a node. */
async function liveRaw({ mesh, ledger, scope }: Place, node: TestNode): Promise<RawPeer> {
  const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(node)
  await raw.handshake()
  await raw.send(2, encodeHave([]))
  await raw.send(2, encodeDone())
  assert.equal((await next(raw)).type, 'have')
  while ((await next(raw)).type !== 'done');
  await until(() => isLive(node))
  return raw
}

test('a connection that never says its topic is closed at the deadline of the handshake', async () => {
  await place({ nodes: 2 }, async ({ mesh, ledger, scope, bench, clock }) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await until(() => clock.timers > 0)
    await clock.advanceAsync(mesh.plan.limits.handshakeMs, 1_000)
    assert.equal((await raw.connection.closed).reason, 'HANDSHAKE_TIMEOUT')
    await until(() => bench.counters.value('sync_handshakes_failed_total') === 1)
  })
})

test('a dial that does not connect is given up, and tried again later', async () => {
  await place({ nodes: 1 }, async ({ mesh, clock }) => {
    let dials = 0
    const connect = (_: unknown, { signal }: { signal: AbortSignal }) => {
      dials++
      return new Promise<never>((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      )
    }
    const a = await mesh.node(0, { connect })
    a.sync.connect(keyOf(9).id)
    await until(() => dials === 1)
    await clock.advanceAsync(mesh.plan.limits.connectMs, 1_000)
    await until(() => dialCodes(a).length === 1)
    assert.deepEqual(dialCodes(a), ['CONNECT_TIMEOUT'])
    await clock.advanceAsync(1_000, 100)
    assert.equal(dials, 2)
  })
})

test('a peer that is silent in the initial sync loses its session', async () => {
  await place({ nodes: 2 }, async (at) => {
    const { mesh, ledger, scope, clock } = at
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    assert.equal((await next(raw)).type, 'have')
    await clock.advanceAsync(mesh.plan.limits.silenceMs + 1, 5_000)
    assert.equal((await raw.connection.closed).reason, 'SYNC_SILENT')
    assert.deepEqual(codes(a), ['SYNC_SILENT'])
  })
})

test('a peer that takes nothing of what we send loses its session', async () => {
  await place({ nodes: 2 }, async ({ mesh, ledger, scope, clock }) => {
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(1), count: 200, bodyBytes: 4_096 }))
    })
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    await raw.send(2, encodeDone())
    await until(() => ledger.row(mesh.plan.sync.send).bytes > 32 * 1024)
    const { sendWindowBytes, frameBytesMax } = mesh.plan.limits
    assert.ok(ledger.row(mesh.plan.sync.send).bytes <= sendWindowBytes + frameBytesMax)
    await clock.advanceAsync(mesh.plan.limits.stallMs + 1, 10_000)
    assert.equal((await raw.connection.closed).reason, 'SEND_STALLED')
  })
})

test('a peer that does not answer our Close is cut off at its deadline', async () => {
  await place({ nodes: 2 }, async (at) => {
    const a = await at.mesh.node(0)
    const raw = await liveRaw(at, a)
    const closing = a.sync.close()
    assert.equal((await next(raw)).type, 'close')
    await at.clock.advanceAsync(at.mesh.plan.limits.closeMs + 1, 1_000)
    await closing
    assert.equal((await raw.connection.closed).reason, 'CLOSE_TIMEOUT')
  })
})

test('a peer that has vanished holds up the close only for as long as one that lives may be silent', async () => {
  await place({ nodes: 2 }, async (at) => {
    const { closeMs, farewellMs } = at.mesh.plan.limits
    const a = await at.mesh.node(0)
    const raw = await liveRaw(at, a)
    let closed = false
    const closing = a.sync.close().then(() => {
      closed = true
    })
    assert.equal((await next(raw)).type, 'close')
    // It lives: each frame gives it the same time again.
    for (const body of makeLog({ key: keyOf(1), count: 3 })) {
      await at.clock.advanceAsync(farewellMs - 50, 50)
      await raw.send(2, encodeOperations([body], true))
      await at.clock.advanceAsync(1, 1)
      assert.ok(!closed)
    }
    assert.ok(3 * farewellMs < closeMs)
    await at.clock.advanceAsync(farewellMs, 50)
    await closing
    assert.equal((await raw.connection.closed).reason, 'CLOSE_TIMEOUT')
  })
})

test('when both sides say Close at once, both end well', async () => {
  await place({ nodes: 2 }, async (at) => {
    const a = await at.mesh.node(0)
    const raw = await liveRaw(at, a)
    const closing = a.sync.close()
    await raw.send(2, encodeClose())
    await closing
    assert.deepEqual(codes(a), ['CLOSED'])
    assert.equal(at.bench.counters.value('sync_failures_total'), 0)
  })
})

test('INCOMPATIBLE_PEER: a live frame of 0.7.0', async () => {
  await place({ nodes: 2 }, async (at) => {
    const a = await at.mesh.node(0)
    const raw = await liveRaw(at, a)
    const old = Uint8Array.of(0, 0, 0, 40, 1, 7, 1, 0x20, ...new Array(36).fill(3))
    await raw.send(2, old)
    assert.equal((await raw.connection.closed).reason, 'INCOMPATIBLE_PEER')
    assert.deepEqual(codes(a), ['INCOMPATIBLE_PEER'])
    assert.equal(at.bench.counters.value('sync_incompatible_total'), 1)
  })
})

test('INCOMPATIBLE_PEER: the first bytes of 0.6, a map in CBOR', async () => {
  await place({ nodes: 2 }, async ({ mesh, ledger, scope }) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.open(1)
    await raw.send(1, Uint8Array.of(0xa2, 0x64, 0x74, 0x79, 0x70, 0x65))
    const { code, reason } = await raw.connection.closed
    assert.deepEqual({ code, reason }, { code: 1, reason: 'INCOMPATIBLE_PEER' })
  })
})

test('a second Done in live mode is tolerated, and none is ever sent', async () => {
  await place({ nodes: 2 }, async (at) => {
    const a = await at.mesh.node(0)
    const raw = await liveRaw(at, a)
    await raw.send(2, encodeDone())
    const log = makeLog({ key: keyOf(2), count: 1 })
    await raw.send(2, encodeOperations(log, true))
    await until(() => a.got.length === 1)
    await a.sync.publish(makeLog({ key: keyOf(1), count: 1 })[0]!)
    assert.equal((await next(raw)).type, 'live')
    await raw.send(2, encodeClose())
    assert.equal((await raw.connection.closed).reason, 'sync protocol accept completed')
  })
})

for (const [what, frame] of [
  ['a second Have', encodeHave([])],
  ['a second PreSync', encodePreSync(1, 1)],
  ['a sync operation in live mode', encodeOperations(makeLog({ key: keyOf(2), count: 1 }), false)],
  ['an unknown message', Uint8Array.of(0, 0, 0, 1, 9)],
  ['an empty frame', Uint8Array.of(0, 0, 0, 0)],
] as const) {
  test(`SYNC_PROTOCOL: ${what}`, async () => {
    await place({ nodes: 2 }, async (at) => {
      const a = await at.mesh.node(0)
      const raw = await liveRaw(at, a)
      await raw.send(2, frame)
      assert.equal((await raw.connection.closed).reason, 'SYNC_PROTOCOL')
    })
  })
}

test('SYNC_PROTOCOL: live operations before the initial sync is over', async () => {
  await place({ nodes: 2 }, async ({ mesh, ledger, scope }) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    await raw.send(2, encodeOperations(makeLog({ key: keyOf(2), count: 1 }), true))
    assert.equal((await raw.connection.closed).reason, 'SYNC_PROTOCOL')
  })
})

test('FRAME_REFUSED: a frame above the cap is refused by its length', async () => {
  await place({ nodes: 2 }, async (at) => {
    const a = await at.mesh.node(0)
    const raw = await liveRaw(at, a)
    const head = new Uint8Array(4)
    new DataView(head.buffer).setUint32(0, at.mesh.plan.limits.frameBytesMax + 1)
    await raw.send(2, head)
    assert.equal((await raw.connection.closed).reason, 'FRAME_REFUSED')
  })
})

test('a stream that ends without a Close is a failure', async () => {
  await place({ nodes: 2 }, async (at) => {
    const a = await at.mesh.node(0)
    const raw = await liveRaw(at, a)
    await raw.finish(2)
    await until(() => codes(a).length === 1)
    assert.deepEqual(codes(a), ['SYNC_LOST'])
  })
})

test('a live operation ahead of its predecessor waits for it', async () => {
  await place({ nodes: 2 }, async (at) => {
    const a = await at.mesh.node(0)
    const raw = await liveRaw(at, a)
    const log = makeLog({ key: keyOf(2), count: 4 })
    await raw.send(2, encodeOperations([log[2]!, log[3]!, log[0]!], true))
    await until(() => a.sync.backlog.held === 2)
    await raw.send(2, encodeOperations([log[1]!], true))
    await until(() => a.got.length === 4)
    assert.deepEqual(
      a.got.map(({ seq }) => seq),
      [0, 1, 2, 3],
    )
    assert.equal(a.sync.backlog.held, 0)
  })
})

test('what waited too long for its predecessor is dropped, and fetched by a new session', async () => {
  await place({ nodes: 2 }, async (at) => {
    const { mesh, bench, clock } = at
    const a = await mesh.node(0)
    const raw = await liveRaw(at, a)
    const log = makeLog({ key: keyOf(2), count: 3 })
    await raw.send(2, encodeOperations([log[2]!], true))
    await until(() => a.sync.backlog.held === 1)
    await clock.advanceAsync(mesh.plan.limits.holdMs + 1, 5_000)
    assert.equal(bench.counters.value('sync_held_dropped_total'), 1)
    await clock.advanceAsync(mesh.plan.limits.resyncMs, 500)
    assert.equal(bench.counters.value('sync_resyncs_total'), 1)
    assert.equal((await next(raw)).type, 'close')
    await raw.send(2, encodeClose())
    await raw.connection.closed
  })
})

test('a peer that always opens a second session, as Rust does, is pulled from once and drained', async () => {
  await place({ nodes: 2 }, async ({ mesh, ledger, scope, bench }) => {
    const mine = makeLog({ key: keyOf(1), count: 20 })
    const theirs = makeLog({ key: keyOf(2), count: 30 })
    const [head] = theirs.slice(-1)
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, mine)
    })
    const side = rawEndpoint(mesh, ledger, scope, 1)
    const heights = [{ author: head!.author, logId: head!.logId, height: 29 }]
    // Our own session comes first: the peer answers truly.
    a.sync.connect(side.key.id)
    const one = await side.accept()
    await one.accept(1)
    await one.frame(1)
    await one.send(1, Uint8Array.of(0, 0, 0, 1, 1))
    await one.frame(1)
    await one.accept(2)
    const have = await next(one)
    assert.ok(have.type === 'have' && have.heights.length === 1)
    await one.send(2, encodeHave(heights))
    await one.send(2, encodePreSync(30, 30))
    assert.equal((await next(one)).type, 'pre-sync')
    // Now its own one, with the same heights: it wants everything a second time.
    const two = await side.dial(a)
    await two.handshake()
    await two.send(2, encodeHave(heights))
    const merged = await next(two)
    assert.ok(merged.type === 'have')
    assert.deepEqual(
      merged.heights.map(({ height }) => height).sort((x, y) => x - y),
      [19, 29],
    )
    // Promised on the first session, so there is nothing for the second.
    assert.equal((await next(two)).type, 'done')
    await two.send(2, encodeDone())
    // Its live queue is drained although the first session is in its initial sync.
    await two.send(2, encodeOperations(theirs.slice(0, 30), true))
    await one.send(2, encodeOperations(theirs, false))
    await one.send(2, encodeDone())
    for (let count = 0; count < 20; count++) assert.equal((await next(one)).type, 'operation')
    assert.equal((await next(one)).type, 'done')
    await until(() => a.got.length === 30)
    // Both are live: the one that the smaller id dialled stays.
    const surplus = Buffer.compare(a.id, side.key.id) < 0 ? two : one
    assert.equal((await next(surplus)).type, 'close')
    await surplus.send(2, encodeClose())
    await surplus.connection.closed
    await a.sync.publish(makeLog({ key: keyOf(1), count: 21 })[20]!)
    assert.equal((await next(surplus === one ? two : one)).type, 'live')
    assert.equal(bench.counters.value('sync_failures_total'), 0)
    assert.equal(a.got.length, 30)
  })
})
