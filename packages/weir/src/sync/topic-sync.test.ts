import assert from 'node:assert/strict'
import test from 'node:test'
import { collectable, withLedger } from '../../testing/index.ts'
import { topicLogId, VerifyPool } from '../core/index.ts'
import {
  keyOf,
  makeLog,
  makeMesh,
  type NodesOptions,
  planNodes,
  rawEndpoint,
  type TestNode,
  TOPIC,
  until,
} from './fixtures.ts'
import { decodeSync, encodeDone, encodeHave, encodeOperations, encodePreSync } from './messages.ts'
import { nodeExtensionsPolicy } from './policy.ts'
import { verifyOnPool } from './verifying.ts'

type Run = (
  mesh: ReturnType<typeof makeMesh>,
  more: Parameters<Parameters<typeof withLedger>[1]>,
) => Promise<void>

async function withMesh(options: NodesOptions, run: Run): Promise<void> {
  const plan = planNodes(options)
  await withLedger(plan.terms, async (...more) => {
    await run(makeMesh(plan, more[0], more[1]), more)
  })
}

const seqs = (node: TestNode) => node.got.map(({ seq }) => seq)
const upTo = (count: number) => Array.from({ length: count }, (_, seq) => seq)
const codes = (node: TestNode) =>
  node.reports.flatMap((report) => (report.type === 'ended' ? [report.code] : []))
const dialCodes = (node: TestNode) =>
  node.reports.flatMap((report) => (report.type === 'dial-failed' ? [report.code] : []))

test('two nodes with a log each end with both, and go on live', async () => {
  await withMesh({ nodes: 2 }, async (mesh) => {
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
    assert.deepEqual(seqs(b), upTo(299))
    await a.sync.publish(logA[299]!)
    await b.sync.publish(logB[4]!)
    await until(() => a.got.length === 5 && b.got.length === 300)
    assert.deepEqual(b.got[299]?.id, logA[299]?.id)
    const [state] = [...a.sync.peers()]
    assert.equal(state?.live, true)
    await a.sync.close()
    await b.sync.close()
    assert.deepEqual(codes(b), ['DONE'])
    assert.deepEqual(codes(a), ['CLOSED'])
  })
})

test('50 MB each way for one author over windows of 64 KiB: both always read while they send', async () => {
  const bodyBytes = 128 * 1024
  const count = 400
  const store = { bytesMax: 256 * 2 ** 20 }
  const transport = { windowFirstBytes: 64 * 1024, windowBytesMax: 64 * 1024 }
  await withMesh({ nodes: 2, store, transport }, async (mesh) => {
    const node = (index: number) =>
      mesh.node(index, {}, async (kept) => {
        const log = makeLog({ key: keyOf(index + 1), count, bodyBytes })
        for (const operation of log) await kept.append(TOPIC, [operation])
      })
    const a = await node(0)
    const b = await node(1)
    a.sync.connect(b.id)
    await until(() => a.got.length === count && b.got.length === count)
    assert.deepEqual(seqs(a), upTo(count))
    assert.deepEqual(seqs(b), upTo(count))
  })
})

test('two nodes that dial each other pull once each and end with one session', async () => {
  await withMesh({ nodes: 2 }, async (mesh, [, , { counters }]) => {
    const node = (index: number) =>
      mesh.node(index, {}, async (kept) => {
        await kept.append(TOPIC, makeLog({ key: keyOf(index + 1), count: 200 }))
      })
    const a = await node(0)
    const b = await node(1)
    a.sync.connect(b.id)
    b.sync.connect(a.id)
    await until(() => a.got.length === 200 && b.got.length === 200)
    await until(() => a.sync.sessions === 1 && b.sync.sessions === 1)
    assert.equal(counters.value('sync_received_total'), 400)
    await a.sync.publish(makeLog({ key: keyOf(1), count: 201 })[200]!)
    await until(() => b.got.length === 201)
    assert.equal(counters.value('sync_failures_total'), 0)
  })
})

test('how far a log goes is known with its first operation, here and from peers', async () => {
  await withMesh({ nodes: 3, limits: {} }, async (mesh) => {
    const log = makeLog({ key: keyOf(1), count: 100 })
    const [{ author, logId }] = log as [(typeof log)[0]]
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, log)
    })
    assert.equal(a.sync.heightOf({ author, logId }), 100)
    const heights: number[] = []
    const b: TestNode = await mesh.node(1, {
      onOperation: async () => void heights.push(b.sync.heightOf({ author, logId })),
    })
    assert.equal(b.sync.heightOf({ author, logId }), 0)
    b.sync.connect(a.id)
    await until(() => heights.length === 100)
    assert.deepEqual(new Set(heights), new Set([100]))
    await a.sync.publish(makeLog({ key: keyOf(1), count: 101 })[100]!)
    await until(() => heights.length === 101)
    assert.equal(heights[100], 101)
  })
})

test('a consumer that stands still stops nobody: the store holds what it has not taken', async () => {
  const limits = { deliverMax: 8, pageBytesMax: 4_096 }
  await withMesh({ nodes: 2, limits }, async (mesh, [, , { counters }]) => {
    const log = makeLog({ key: keyOf(1), count: 500, bodyBytes: 200 })
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, log)
    })
    const gate = Promise.withResolvers<void>()
    const taken: number[] = []
    const b = await mesh.node(1, {
      onOperation: async ({ seq }) => {
        taken.push(seq)
        await gate.promise
      },
    })
    b.sync.connect(a.id)
    await until(async () => (await b.store.logs(TOPIC))[0]?.height === 499)
    assert.deepEqual(taken, [0])
    assert.ok(b.sync.backlog.deliver <= 8)
    assert.ok(counters.value('sync_overflow_total') > 0)
    gate.resolve()
    await until(() => taken.length === 500)
    assert.deepEqual(taken, upTo(500))
  })
})

test('a queue that is full by bytes and not by entries: each is delivered once, and others get their turn', async () => {
  const [count, bodyBytes, KIB] = [40, 54_000, 1024]
  const limits = {
    frameBytesMax: 128 * KIB,
    ingestBytesMax: 512 * KIB,
    wireBytesMax: 512 * KIB,
    queueBytesMax: 256 * KIB,
    deliverMax: 64,
  }
  await withMesh({ nodes: 2, limits }, async (mesh) => {
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(1), count, bodyBytes }))
    })
    const state = { turns: 0, reads: 0, mostReads: 0, fullByBytes: 0, over: false }
    const turn = () => {
      state.turns++
      state.reads = 0
      if (!state.over) setImmediate(turn)
    }
    setImmediate(turn)
    const taken: number[] = []
    const onOperation = async ({ seq }: { seq: number }) => {
      taken.push(seq)
      const { deliver, settled } = b.sync.backlog
      if (!settled && deliver > 0 && deliver < limits.deliverMax / 8) state.fullByBytes++
      for (const until = state.turns + 5; state.turns < until && !state.over; ) {
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const b = await mesh.node(1, { onOperation }, async (store) => {
      const read = store.read.bind(store)
      store.read = async (...range) => {
        state.mostReads = Math.max(state.mostReads, ++state.reads)
        // What reads for ever never lets a turn end: without a pause this test would hang, not fail.
        if (state.reads > 1_000) await new Promise((resolve) => setTimeout(resolve, 20))
        return read(...range)
      }
    })
    b.sync.connect(a.id)
    await until(() => taken.length >= count || state.mostReads > 1_000)
    state.over = true
    assert.ok(state.mostReads < 100, `${state.mostReads} reads of the store in one turn`)
    assert.deepEqual(taken, upTo(count))
    assert.ok(state.turns >= 5 * (count - 1) && state.fullByBytes > 0, JSON.stringify(state))
  })
})

test('a third node gets live what the second one gets from the first, once', async () => {
  await withMesh({ nodes: 3 }, async (mesh) => {
    const log = makeLog({ key: keyOf(1), count: 60 })
    const [a, b, c] = [await mesh.node(0), await mesh.node(1), await mesh.node(2)]
    a.sync.connect(b.id)
    c.sync.connect(b.id)
    c.sync.connect(a.id)
    await until(() => [...c.sync.peers()].filter(({ live }) => live).length === 2)
    for (const operation of log) await a.sync.publish(operation)
    await until(() => c.got.length === 60 && b.got.length === 60)
    assert.deepEqual(seqs(c), upTo(60))
  })
})

test('signatures verified on the thread pool give the same', async () => {
  await withMesh({ nodes: 2 }, async (mesh, [ledger, scope]) => {
    const pool = new VerifyPool(ledger.require(mesh.plan.core.verifyJobs), mesh.verifier)
    scope.own('pool', pool)
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(1), count: 700 }))
    })
    const b = await mesh.node(1, { verifier: verifyOnPool(pool) })
    b.sync.connect(a.id)
    await until(() => b.got.length === 700)
    assert.deepEqual(seqs(b), upTo(700))
  })
})

test('one wrong signature ends the session, and nothing of it is kept', async () => {
  await withMesh({ nodes: 2 }, async (mesh, [ledger, scope, { counters }]) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    const [operation] = makeLog({ key: keyOf(2), count: 1 })
    const header = operation!.header.slice()
    header[60]! ^= 1
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    await raw.send(2, encodePreSync(1, 1))
    await raw.send(2, encodeOperations([{ header, body: operation!.body }], false))
    const closed = await raw.connection.closed
    assert.equal(closed.reason, 'BAD_SIGNATURE')
    await until(() => codes(a).length === 1)
    assert.deepEqual(codes(a), ['BAD_SIGNATURE'])
    assert.equal(counters.value('sync_bad_total'), 1)
    assert.deepEqual(await a.store.logs(TOPIC), [])
  })
})

test('a header that cannot be read ends the session', async () => {
  await withMesh({ nodes: 2 }, async (mesh, [ledger, scope]) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    await raw.send(2, encodePreSync(1, 1))
    await raw.send(2, encodeOperations([{ header: Uint8Array.of(0x80), body: undefined }], false))
    assert.equal((await raw.connection.closed).reason, 'BAD_HEADER')
  })
})

test('what the policy refuses is dropped and the session goes on', async () => {
  await withMesh({ nodes: 2 }, async (mesh, [, , { counters }]) => {
    const other = topicLogId(TOPIC).slice().fill(5) as ReturnType<typeof topicLogId>
    const good = makeLog({ key: keyOf(1), count: 3 })
    const bad = makeLog({ key: keyOf(3), count: 2, logId: other })
    const a = await mesh.node(0, { policy: nodeExtensionsPolicy() }, async (store) => {
      await store.append(TOPIC, [...good, ...bad])
    })
    const b = await mesh.node(1)
    b.sync.connect(a.id)
    await until(() => b.got.length === 3)
    await until(() => counters.value('sync_refused_total') === 2)
    assert.deepEqual(codes(b), [])
    const refused = b.reports.find(({ type }) => type === 'refused')
    assert.ok(refused?.type === 'refused' && /log id/.test(refused.reason))
  })
})

test('a body that is not the one of the header is dropped', async () => {
  await withMesh({ nodes: 2 }, async (mesh, [ledger, scope, { counters }]) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    const [operation] = makeLog({ key: keyOf(2), count: 1 })
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    await raw.send(2, encodePreSync(1, 1))
    const body = operation!.body!.slice().fill(255)
    await raw.send(2, encodeOperations([{ header: operation!.header, body }], false))
    await raw.send(2, encodeDone())
    await until(() => counters.value('sync_refused_total') === 1)
    await until(() => [...a.sync.peers()][0]?.live === true)
  })
})

test('a topic that nobody has: the handshake goes through and the dialling side learns why it ended', async () => {
  await withMesh({ nodes: 2 }, async (mesh) => {
    const a = await mesh.node(0)
    const other = TOPIC.slice().fill(1) as typeof TOPIC
    const b = await mesh.node(1, { topic: other })
    b.sync.connect(a.id)
    await until(() => codes(b).includes('TOPIC_UNKNOWN') || dialCodes(b).includes('TOPIC_UNKNOWN'))
  })
})

test('a log with two ends is named, and so is a second process with our key', async () => {
  await withMesh({ nodes: 2 }, async (mesh, [, , { counters }]) => {
    const one = makeLog({ key: keyOf(1), count: 3 })
    const two = makeLog({ key: keyOf(1), count: 4, branch: 1 })
    const a = await mesh.node(0)
    const b = await mesh.node(1, {}, async (store) => {
      await store.append(TOPIC, two)
    })
    for (const operation of one) await a.sync.publish(operation)
    a.sync.connect(b.id)
    await until(() => a.reports.some(({ type }) => type === 'key-shared'))
    const fork = a.reports.find(({ type }) => type === 'fork')
    assert.ok(fork?.type === 'fork' && fork.seq === 3)
    assert.ok(counters.value('sync_forks_total') >= 1)
    assert.ok(counters.value('sync_key_shared_total') >= 1)
  })
})

test('a store that is full ends the session with a code, and what fits later is fetched then', async () => {
  await withMesh({ nodes: 2, store: { operationsMax: 10 } }, async (mesh) => {
    const log = makeLog({ key: keyOf(1), count: 10 })
    const others = makeLog({ key: keyOf(3), count: 5 })
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, log)
    })
    const b = await mesh.node(1, {}, async (store) => {
      await store.append(TOPIC, others)
    })
    b.sync.connect(a.id)
    await until(() => codes(b).includes('STORE_FULL'))
    await b.sync.deleteLog({ author: keyOf(3).id, logId: topicLogId(TOPIC) })
    await until(() => b.got.length === 10)
    assert.deepEqual(seqs(b), upTo(10))
  })
})

test('publish refuses what is not next, and says what to do', async () => {
  await withMesh({ nodes: 1 }, async (mesh) => {
    const a = await mesh.node(0)
    const log = makeLog({ key: keyOf(1), count: 3 })
    const branch = makeLog({ key: keyOf(1), count: 3, branch: 1 })
    await assert.rejects(a.sync.publish(log[1]!), { code: 'LOG_GAP' })
    await a.sync.publish(log[0]!)
    await assert.rejects(a.sync.publish(branch[0]!), { code: 'LOG_FORKED' })
    await a.sync.close()
    await assert.rejects(a.sync.publish(log[1]!), { code: 'CLOSED' })
  })
})

test('operations of our own key are delivered only when asked for', async () => {
  await withMesh({ nodes: 2 }, async (mesh) => {
    const a = await mesh.node(0)
    const b = await mesh.node(1, { deliverOwn: true })
    await a.sync.publish(makeLog({ key: keyOf(1), count: 1 })[0]!)
    await b.sync.publish(makeLog({ key: keyOf(2), count: 1 })[0]!)
    await until(() => b.got.length === 1)
    assert.deepEqual(seqs(a), [])
  })
})

test('deliverFrom gives what a consumer has not yet had of a log in the store', async () => {
  await withMesh({ nodes: 1 }, async (mesh) => {
    const a = await mesh.node(0, { deliverFrom: () => 3 }, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(2), count: 6 }))
    })
    await until(() => a.got.length === 3)
    assert.deepEqual(seqs(a), [3, 4, 5])
  })
})

test('a consumer that fails is counted, and gets the next operation', async () => {
  await withMesh({ nodes: 1 }, async (mesh, [, , { counters }]) => {
    const taken: number[] = []
    const onOperation = async ({ seq }: { seq: number }) => {
      taken.push(seq)
      if (seq === 1) throw new Error('as the test wants')
    }
    await mesh.node(0, { deliverFrom: () => 0, onOperation }, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(2), count: 3 }))
    })
    await until(() => taken.length === 3)
    assert.equal(counters.value('sync_consumer_failures_total'), 1)
  })
})

test('a closed topic is collected', async () => {
  await withMesh({ nodes: 2 }, async (mesh) => {
    const b = await mesh.node(1)
    const gone = await collectable(async () => {
      const { sync, store, endpoint, scope } = await mesh.node(0)
      sync.connect(b.id)
      await until(() => [...sync.peers()][0]?.live === true)
      await scope.close()
      void store
      void endpoint
      return sync
    })
    assert.ok(gone)
  })
})

test('disconnect ends the session and it is not dialled again', async () => {
  await withMesh({ nodes: 2 }, async (mesh) => {
    const [a, b] = [await mesh.node(0), await mesh.node(1)]
    a.sync.connect(b.id)
    await until(() => [...a.sync.peers()][0]?.live === true)
    a.sync.disconnect(b.id)
    await until(() => a.sync.sessions === 0 && b.sync.sessions === 0)
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.equal(a.sync.sessions, 0)
  })
})

test('a Have tells only what is known; a raw peer sees ours answered to its own', async () => {
  await withMesh({ nodes: 2 }, async (mesh, [ledger, scope]) => {
    const log = makeLog({ key: keyOf(1), count: 4 })
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, log)
    })
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    const have = decodeSync((await raw.frame(2))!, { heightsMax: 10 })
    assert.ok(have.type === 'have' && have.heights[0]?.height === 3)
    raw.connection.close(0, '')
  })
})
