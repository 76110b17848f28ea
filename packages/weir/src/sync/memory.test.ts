/** One more than the cap, for each term of sync; `gossip-buffer.test.ts` has those of the gossip buffer. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { type Bench, withLedger } from '../../testing/index.ts'
import { IdSet, type Ledger, planMemory, termBytes } from '../bounds/index.ts'
import type { TopicId } from '../core/index.ts'
import { type Scope, seededRandom } from '../runtime/index.ts'
import {
  keyOf,
  type Mesh,
  makeLog,
  makeMesh,
  type NodesOptions,
  planNodes,
  rawEndpoint,
  type TestNode,
  TOPIC,
  until,
} from './fixtures.ts'
import { DEFAULT_SYNC_LIMITS, syncLimits } from './limits.ts'
import { syncTerms } from './memory.ts'
import { encodeDone, encodeHave, encodeOperations, encodePreSync } from './messages.ts'
import { topicStreamPolicy } from './policy.ts'
import { TopicSync } from './topic-sync.ts'
import { verifyHere } from './verifying.ts'

type Run = (mesh: Mesh, ledger: Ledger, scope: Scope, bench: Bench) => Promise<void>

async function withMesh(options: NodesOptions, run: Run): Promise<void> {
  const plan = planNodes(options)
  await withLedger(plan.terms, async (ledger, scope, bench) => {
    await run(makeMesh(plan, ledger, scope), ledger, scope, bench)
  })
}

const isLive = (node: TestNode) => [...node.sync.peers()].some(({ live }) => live)

test('the plan of the defaults is what the README says', () => {
  const terms = Object.values(syncTerms(DEFAULT_SYNC_LIMITS))
  const plan = planMemory(terms, { limitBytes: Number.MAX_SAFE_INTEGER })
  const mib = plan.accountBytes / 2 ** 20
  assert.ok(mib > 25 && mib < 45, `${mib} MiB`)
  for (const each of terms) assert.ok(termBytes(each) >= 0)
})

test('limits are checked: unknown names, numbers below 1, pools too small for their frames', () => {
  assert.throws(() => syncLimits({ nothing: 1 } as never), /no limit called nothing/)
  assert.throws(() => syncLimits({ peersMax: 0 }), /peersMax is 0/)
  assert.throws(() => syncLimits({ frameBytesMax: 1_000 }), /64 KiB/)
  assert.throws(() => syncLimits({ ingestBytesMax: 1_000_000 }), /ingestBytesMax/)
  assert.throws(() => syncLimits({ wireBytesMax: 1_000_000 }), /wireBytesMax/)
  assert.throws(() => syncLimits({ queueBytesMax: 2 ** 20 + 128 * 1024 }), /queueBytesMax/)
})

test('sync.topics: one topic more is refused', async () => {
  await withMesh({ nodes: 1, limits: { topicsMax: 1 } }, async (mesh, ledger, scope) => {
    const a = await mesh.node(0)
    const again = TopicSync.open({
      topic: new Uint8Array(32).fill(8) as TopicId,
      self: a.id,
      store: a.store,
      connect: () => Promise.reject(new Error('not dialled')),
      policy: topicStreamPolicy(TOPIC),
      verifier: verifyHere(mesh.verifier),
      ledger,
      terms: mesh.plan.sync,
      limits: mesh.plan.limits,
      scope,
      random: seededRandom(1),
    })
    await assert.rejects(again, { code: 'LIMIT' })
  })
})

test('sync.peers: a peer more gets no session', async () => {
  await withMesh({ nodes: 3, limits: { peersMax: 1 } }, async (mesh, _ledger, _scope, bench) => {
    const [a, b, c] = [await mesh.node(0), await mesh.node(1), await mesh.node(2)]
    b.sync.connect(a.id)
    await until(() => isLive(a))
    c.sync.connect(a.id)
    await until(() => bench.counters.value('sync_failures_total') > 0)
    assert.equal([...a.sync.peers()].length, 1)
    assert.ok(c.reports.some((report) => report.type === 'ended'))
  })
})

test('sync.sessions and sync.links: a peer that dials again and again holds at most its share', async () => {
  await withMesh({ nodes: 2, limits: { peersMax: 1 } }, async (mesh, ledger, scope) => {
    const a = await mesh.node(0)
    const side = rawEndpoint(mesh, ledger, scope, 1)
    const raws = []
    for (let count = 0; count < 8; count++) {
      const raw = await side.dial(a)
      await raw.handshake().catch(() => {})
      await raw.send(2, encodeHave([])).catch(() => {})
      await raw.send(2, encodeDone()).catch(() => {})
      raws.push(raw)
    }
    const { sessions, links } = mesh.plan.sync
    await until(() => ledger.row(sessions).entries <= 2 && ledger.row(links).entries <= 4)
    for (const raw of raws) raw.connection.close(0, '')
    await until(() => a.sync.sessions === 0)
  })
})

test('sync.targets: one peer more is not kept', async () => {
  await withMesh({ nodes: 1, limits: { targetsMax: 2 } }, async (mesh, ledger) => {
    const a = await mesh.node(0)
    for (let peer = 10; peer < 13; peer++) a.sync.connect(keyOf(peer).id)
    const row = ledger.row(mesh.plan.sync.targets)
    assert.equal(row.entries, 2)
    assert.equal(row.refused.cap, 1)
  })
})

test('sync.handshakes: one connection more is closed at once', async () => {
  await withMesh({ nodes: 2, limits: { handshakesMax: 2 } }, async (mesh, ledger, scope) => {
    const a = await mesh.node(0)
    const side = rawEndpoint(mesh, ledger, scope, 1)
    const raws = [await side.dial(a), await side.dial(a)]
    await until(() => ledger.row(mesh.plan.sync.handshakes).entries === 2)
    const third = await side.dial(a)
    assert.equal((await third.connection.closed).code, 0)
    assert.equal(ledger.row(mesh.plan.sync.handshakes).refused.cap, 1)
    for (const raw of raws) raw.connection.close(0, '')
    await until(() => ledger.row(mesh.plan.sync.handshakes).entries === 0)
  })
})

test('sync.logs: an operation of one log more is dropped and counted; hearsay makes room for logs', async () => {
  await withMesh({ nodes: 2, limits: { logsMax: 2 } }, async (mesh, ledger, scope, bench) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    const [one, two, three] = [5, 6, 7].map((key) => makeLog({ key: keyOf(key), count: 2 }))
    await raw.handshake()
    const heights = [one, two].map((log) => ({
      author: log![1]!.author,
      logId: log![1]!.logId,
      height: 1,
    }))
    await raw.send(2, encodeHave(heights))
    await raw.send(2, encodePreSync(6, 6))
    await raw.send(2, encodeOperations([...three!, ...two!, ...one!], false))
    await raw.send(2, encodeDone())
    await until(() => bench.counters.value('sync_logs_full_total') === 2)
    await until(() => a.got.length === 4)
    assert.equal(ledger.row(mesh.plan.sync.logs).entries, 2)
    raw.connection.close(0, '')
  })
})

test('sync.frame and sync.wire-bytes: an unfinished frame is charged as it comes, not as it is promised', async () => {
  await withMesh({ nodes: 2 }, async (mesh, ledger, scope) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    await until(() => ledger.row(mesh.plan.sync.frame).bytes > 0)
    const before = ledger.row(mesh.plan.sync.frame).bytes
    await raw.send(2, Uint8Array.of(0, 0x10, 0, 0, 1, 2, 3))
    await until(() => ledger.row(mesh.plan.sync.frame).bytes > before)
    assert.ok(ledger.row(mesh.plan.sync.frame).bytes <= before + 1_024)
    assert.ok(ledger.row(mesh.plan.sync.wireBytes).bytes > before)
    raw.connection.close(0, '')
    await until(() => ledger.row(mesh.plan.sync.frame).instances === 0)
  })
})

test('sync.frame: a session without memory to read is ended with SYNC_LIMIT', async () => {
  await withMesh({ nodes: 2 }, async (mesh, ledger, scope) => {
    const a = await mesh.node(0)
    const { wireBytes, send } = mesh.plan.sync
    // Everything that the pool has is taken by somebody else.
    const hog = ledger.require(send)
    const other = [hog]
    let left = wireBytes.payloadBytesMax
    while (left > 0) {
      const account = other.at(-1)!
      const bytes = Math.min(left, account.freeBytes)
      assert.equal(account.take(bytes), 'ok')
      left -= bytes
      if (left > 0) other.push(ledger.require(send))
    }
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake().catch(() => {})
    await raw.connection.closed
    assert.ok(ledger.row(mesh.plan.sync.frame).refused.pool > 0)
    assert.equal(a.sync.sessions, 0)
    for (const account of other) {
      account.give(account.bytes)
      account[Symbol.dispose]()
    }
  })
})

test('sync.send: what a peer does not take is at most a window and a frame', async () => {
  await withMesh({ nodes: 2 }, async (mesh, ledger, scope) => {
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(1), count: 300, bodyBytes: 4_000 }))
    })
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    await until(() => ledger.row(mesh.plan.sync.send).bytes > 30_000)
    const { send } = mesh.plan.sync
    assert.ok(ledger.row(send).bytes <= send.payloadBytesMax)
    assert.ok(ledger.row(send).bytes <= mesh.plan.limits.sendWindowBytes + 8_192)
    raw.connection.close(0, '')
    await until(() => ledger.row(send).bytes === 0)
  })
})

for (const [name, limits] of [
  ['sync.ingest', { ingestMax: 8, ingestPerSessionMax: 100 }],
  ['sync.ingest: per session', { ingestMax: 100, ingestPerSessionMax: 8 }],
] as const) {
  test(`${name}: at the cap a session is not read, and goes on when the store has answered`, async () => {
    await withMesh({ nodes: 2, limits }, async (mesh, ledger) => {
      const a = await mesh.node(0, {}, async (store) => {
        await store.append(TOPIC, makeLog({ key: keyOf(1), count: 100 }))
      })
      const gate = Promise.withResolvers<void>()
      let batches = 0
      const b = await mesh.node(1, {
        verifier: {
          verify: async (headers) => {
            batches++
            await gate.promise
            return headers.map(() => true)
          },
        },
      })
      b.sync.connect(a.id)
      await until(() => ledger.row(mesh.plan.sync.ingest).entries === 8)
      assert.ok(batches >= 1)
      await new Promise((resolve) => setTimeout(resolve, 60))
      assert.equal(ledger.row(mesh.plan.sync.ingest).entries, 8)
      gate.resolve()
      await until(() => b.got.length === 100)
    })
  })
}

test('sync.ingest-bytes: bytes are capped as well, and everything arrives', async () => {
  const limits = { frameBytesMax: 64 * 1024, ingestBytesMax: 128 * 1024 }
  await withMesh({ nodes: 2, limits }, async (mesh, ledger) => {
    const a = await mesh.node(0, {}, async (store) => {
      await store.append(TOPIC, makeLog({ key: keyOf(1), count: 40, bodyBytes: 60_000 }))
    })
    const gate = Promise.withResolvers<void>()
    const verify = async (headers: readonly unknown[]) => {
      await gate.promise
      return headers.map(() => true)
    }
    const b = await mesh.node(1, { verifier: { verify } })
    b.sync.connect(a.id)
    await until(() => ledger.row(mesh.plan.sync.ingest).refused.cap > 0)
    assert.equal(ledger.row(mesh.plan.sync.ingest).entries, 2)
    gate.resolve()
    await until(() => b.got.length === 40)
    assert.ok(ledger.row(mesh.plan.sync.ingestBytes).peakCostBytes <= 128 * 1024)
  })
})

test('sync.live and sync.queue-bytes: a peer that reads slowly is served from the store, and loses nothing', async () => {
  const limits = { liveMax: 4, sendWindowBytes: 2_048 }
  const transport = { windowFirstBytes: 4_096, windowBytesMax: 4_096 }
  await withMesh({ nodes: 2, limits, transport }, async (mesh, ledger, scope, bench) => {
    const a = await mesh.node(0)
    const raw = await rawEndpoint(mesh, ledger, scope, 1).dial(a)
    await raw.handshake()
    await raw.send(2, encodeHave([]))
    await raw.send(2, encodeDone())
    await until(() => isLive(a))
    const log = makeLog({ key: keyOf(1), count: 100, bodyBytes: 300 })
    for (const operation of log) await a.sync.publish(operation)
    assert.ok(bench.counters.value('sync_overflow_total') > 0)
    assert.ok(ledger.row(mesh.plan.sync.live).entries <= 4)
    await raw.frame(2)
    await raw.frame(2)
    for (let seq = 0; seq < 100; seq++)
      assert.equal((await raw.frame(2))?.[0], 1, `operation ${seq}`)
    raw.connection.close(0, '')
  })
})

test('sync.deliver: what the consumer has not taken is at most the cap, the rest is in the store', async () => {
  await withMesh({ nodes: 1, limits: { deliverMax: 4 } }, async (mesh, ledger) => {
    const gate = Promise.withResolvers<void>()
    const taken: number[] = []
    const onOperation = async ({ seq }: { seq: number }) => {
      await gate.promise
      taken.push(seq)
    }
    const a = await mesh.node(0, { onOperation, deliverOwn: true })
    for (const operation of makeLog({ key: keyOf(1), count: 20 })) await a.sync.publish(operation)
    const row = ledger.row(mesh.plan.sync.deliver)
    assert.equal(row.entries, 4)
    assert.ok(row.refused.cap > 0)
    gate.resolve()
    await until(() => taken.length === 20)
  })
})

test('sync.publishes: callers above the cap are told to wait', async () => {
  await withMesh({ nodes: 1, limits: { ingestMax: 4 } }, async (mesh) => {
    const a = await mesh.node(0)
    const log = makeLog({ key: keyOf(1), count: 12 })
    const results = await Promise.allSettled(log.map((operation) => a.sync.publish(operation)))
    const refused = results.filter(({ status }) => status === 'rejected')
    assert.ok(refused.length > 0)
    for (const each of refused) {
      assert.ok(each.status === 'rejected' && ['SYNC_BUSY', 'LOG_GAP'].includes(each.reason.code))
    }
  })
})

test('sync.seen: the oldest ids are forgotten', async () => {
  const limits = syncLimits({ seenMax: 128, topicsMax: 1 })
  const terms = syncTerms(limits)
  await withLedger([terms.seen], (ledger) => {
    using seen = new IdSet(ledger.require(terms.seen), seededRandom(1))
    const id = (at: number) => new Uint8Array(32).fill(at & 255).fill(at >> 8, 0, 1)
    for (let at = 0; at < 1_000; at++) seen.add(id(at))
    assert.ok(seen.size <= 256)
    assert.ok(!seen.has(id(0)) && seen.has(id(999)))
  })
})
