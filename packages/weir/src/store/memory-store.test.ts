import assert from 'node:assert/strict'
import test from 'node:test'
import { type Bench, collectable, withLedger } from '../../testing/index.ts'
import { Account, type Ledger } from '../bounds/index.ts'
import { isWeirError, ManualClock } from '../runtime/index.ts'
import { logStoreConformance, readAll } from './conformance.suite.ts'
import { LOG, log, operation, run, TOPIC, topic } from './fixtures.ts'
import {
  type Appended,
  MemoryStore,
  type MemoryStoreLimits,
  type MemoryStoreOptions,
  type MemoryStoreTerms,
  memoryStoreTerms,
  type StoreWarning,
} from './index.ts'

logStoreConformance({
  name: 'MemoryStore',
  modelRuns: 300,
  with: (caps, use) => withStore(caps, {}, ({ store, ledger }) => use(store, ledger)),
})

interface Opened {
  readonly store: MemoryStore
  readonly ledger: Ledger
  readonly terms: MemoryStoreTerms
  readonly bench: Bench
}

function withStore(
  limits: MemoryStoreLimits,
  options: Partial<MemoryStoreOptions>,
  use: (opened: Opened) => unknown,
): Promise<void> {
  const terms = memoryStoreTerms(limits)
  return withLedger(Object.values(terms), async (ledger, scope, bench) => {
    const { log, counters } = scope
    const store = new MemoryStore({ ledger, terms, log, counters, ...options })
    scope.own('store', store)
    await use({ store, ledger, terms, bench })
    for (const row of ledger.rows()) assert.ok(row.costBytes <= row.plannedBytes, row.term.name)
  })
}

const kept = (count: number): Appended[] => Array(count).fill('kept')
const settled = () => new Promise((resolve) => setImmediate(resolve))

test('store.bytes: one segment more than the pool is refused', () =>
  withStore({ bytesMax: 4_000 }, {}, async ({ store, ledger, terms }) => {
    const names = [1, 2, 3].map((index) => log(index))
    const batch = names.map((name) => operation({ seq: 0, log: name, bodyBytes: 1_000 }))
    assert.deepEqual(await store.append(TOPIC, batch), ['kept', 'kept', 'full'])
    assert.equal(ledger.row(terms.log).refused.pool, 1)
    assert.ok(ledger.row(terms.bytes).bytes <= 4_000)
  }))

test('store.log: one operation, and one byte, more than a log may have is refused', () =>
  withStore(
    { operationsPerLogMax: 2, bytesPerLogMax: 3_000, bytesMax: 9_000 },
    {},
    async ({ store, ledger, terms }) => {
      await store.append(TOPIC, run(0, 2))
      assert.equal(ledger.row(terms.log).refused.cap, 1)
      const large = { log: log(2), bodyBytes: 1_000 }
      assert.deepEqual(await store.append(TOPIC, run(0, 1, { ...large, bodyBytes: 1_400 })), [
        'kept',
        'full',
      ])
      assert.equal(ledger.row(terms.log).refused.cap, 2)
    },
  ))

test('store.operations: one more than all logs may have is refused', () =>
  withStore({ operationsMax: 3 }, {}, async ({ store, ledger, terms }) => {
    await store.append(TOPIC, [...run(0, 1), operation({ seq: 0, log: log(2) })])
    const more = [operation({ seq: 1, log: log(2) }), operation({ seq: 0, log: log(3) })]
    assert.deepEqual(await store.append(TOPIC, more), ['full', 'full'])
    assert.equal(ledger.row(terms.operations).refused.cap, 2)
    assert.equal(await store.log(log(3)), undefined)
  }))

test('store.logs: one more is refused, a log without operations gives its place', () =>
  withStore({ logsMax: 1 }, {}, async ({ store, ledger, terms }) => {
    await store.append(TOPIC, run(0, 0))
    const second = operation({ seq: 0, log: log(2) })
    assert.deepEqual(await store.append(TOPIC, [second]), ['full'])
    await store.prune(LOG, 1)
    assert.deepEqual(await store.append(TOPIC, [second]), ['kept'])
    assert.deepEqual(
      await store.append(TOPIC, run(1, 1)),
      ['full'],
      'a frontier comes back if it can',
    )
    assert.equal((await store.log(LOG))?.height, 0)
    assert.equal(ledger.row(terms.logs).entries, 1)
  }))

test('store.frontiers: one more forgets the oldest, with its topics', () =>
  withStore({ frontiersMax: 2 }, {}, async ({ store, ledger, terms }) => {
    for (const index of [1, 2, 3]) {
      await store.append(TOPIC, [operation({ seq: 0, log: log(index) })])
      await store.prune(log(index), 1)
    }
    assert.equal(await store.log(log(1)), undefined)
    assert.equal((await store.logs(TOPIC)).length, 2)
    assert.equal(ledger.row(terms.frontiers).exits.evicted, 1)
    assert.equal(ledger.row(terms.topicLogs).entries, 2)
  }))

test('store.topics: one more is refused, and one ends with its last log', () =>
  withStore({ topicsMax: 1 }, {}, async ({ store, ledger, terms }) => {
    await store.append(TOPIC, run(0, 0))
    const other = operation({ seq: 0, log: log(2) })
    assert.deepEqual(await store.append(topic(2), [other]), ['full'])
    assert.deepEqual(await store.append(topic(2), run(1, 1)), ['full'])
    assert.equal((await store.log(LOG))?.height, 0)
    assert.equal(ledger.row(terms.topics).refused.cap, 2)
    await store.deleteLog(LOG)
    assert.deepEqual(await store.append(topic(2), [other]), ['kept'])
  }))

test('store.topic-logs: one pair more is refused', () =>
  withStore({ topicLogsMax: 1 }, {}, async ({ store, ledger, terms }) => {
    await store.append(TOPIC, run(0, 0))
    assert.deepEqual(await store.append(TOPIC, [operation({ seq: 0, log: log(2) })]), ['full'])
    assert.equal(ledger.row(terms.topicLogs).refused.cap, 1)
  }))

test('store.pins: one more throws LIMIT', () =>
  withStore({ pinsMax: 1 }, {}, async ({ store }) => {
    store.pin(LOG)
    store.pin(LOG)
    assert.throws(
      () => store.pin(log(2)),
      (error) => isWeirError(error, 'LIMIT'),
    )
    store.unpin(LOG)
    store.pin(log(2))
  }))

test('a frontier that finds no place among the logs cannot be pinned', () =>
  withStore({ logsMax: 1, pinsMax: 1 }, {}, async ({ store }) => {
    await store.append(TOPIC, run(0, 0))
    await store.prune(LOG, 1)
    await store.append(TOPIC, [operation({ seq: 0, log: log(2) })])
    assert.throws(
      () => store.pin(LOG),
      (error) => isWeirError(error, 'LIMIT'),
    )
    store.pin(log(2))
    assert.equal((await store.log(LOG))?.height, 0)
  }))

test('store.meta: one value more throws LIMIT', () =>
  withStore({ metaMax: 1 }, {}, async ({ store, ledger, terms }) => {
    await store.setMeta('a', new Uint8Array(1))
    const limit = (error: unknown) => isWeirError(error, 'LIMIT')
    await assert.rejects(store.setMeta('b', new Uint8Array(1)), limit)
    assert.equal(ledger.row(terms.meta).refused.cap, 1)
  }))

test('frees every byte of what is pruned, deleted and replaced', () =>
  withStore({}, {}, async ({ store, ledger, terms }) => {
    for (let round = 0; round < 3; round++) {
      await store.append(TOPIC, run(round * 300, round * 300 + 299, { bodyBytes: 700 }))
      for (let before = 0; before < 300; before += 7) await store.prune(LOG, round * 300 + before)
      const { bytes } = ledger.row(terms.bytes)
      const here = await store.log(LOG)
      // Half of the first segment may be dead, and the last one partly empty.
      assert.ok(bytes <= 2 * here!.bytes + 2 * 65_536, `${bytes} charged for ${here!.bytes}`)
      await store.prune(LOG, round * 300 + 300)
      assert.equal(ledger.row(terms.bytes).bytes, 0)
      assert.equal(ledger.row(terms.operations).entries, 0)
    }
    await store.deleteLog(LOG)
    for (const term of [terms.logs, terms.frontiers, terms.topics, terms.topicLogs]) {
      assert.equal(ledger.row(term).entries, 0, term.name)
    }
    assert.equal(ledger.row(terms.log).instances, 0)
  }))

test('a segment of which more is dead than alive is copied into a smaller one', () =>
  withStore({}, {}, async ({ store, ledger, terms }) => {
    await store.append(TOPIC, run(0, 299, { bodyBytes: 700 }))
    await store.prune(LOG, 298)
    const { bytes } = ledger.row(terms.bytes)
    assert.ok(bytes < 10_000, `${bytes} charged for two operations`)
    assert.deepEqual(await readAll(store), run(298, 299, { bodyBytes: 700 }))
  }))

test('costs little beyond its bytes', () =>
  withStore({}, {}, async ({ store, ledger, terms }) => {
    await store.append(TOPIC, run(0, 5_499, { headerBytes: 253, bodyBytes: 2_048 }))
    const each = ledger.row(terms.bytes).bytes / 5_500 - 2_301
    assert.ok(each < 115, `${each} bytes beside an operation of 2 301`)
  }))

test('operations expire ttlMs after they were kept, at a sweep, except in pinned logs', async () => {
  const clock = new ManualClock()
  await withStore({}, { clock, ttlMs: 1_000 }, async ({ store, ledger, terms }) => {
    store.pin(log(2))
    await store.append(TOPIC, [...run(0, 1), ...run(0, 1, { log: log(2) })])
    clock.advance(600)
    await store.append(TOPIC, run(2, 2))
    clock.advance(399)
    assert.equal(await store.sweep(), 0)
    clock.advance(1)
    assert.equal(await store.sweep(), 2)
    assert.deepEqual(await readAll(store), run(2, 2))
    assert.equal((await readAll(store, log(2))).length, 2)
    clock.advance(600)
    assert.equal(await store.sweep(), 1)
    assert.equal(ledger.row(terms.operations).exits.expired, 3)
    assert.equal((await store.log(LOG))?.height, 2)
    assert.deepEqual(await store.append(TOPIC, run(1, 3)), ['duplicate', 'duplicate', 'kept'])
  })
})

test('warns at 70 and 90 % of a cap, once each, and takes it back 10 points lower', async () => {
  const warnings: StoreWarning[] = []
  const options = { onWarning: (warning: StoreWarning) => void warnings.push(warning) }
  await withStore({ operationsMax: 100 }, options, async ({ store, bench }) => {
    const levels = () => warnings.splice(0).map(({ cap, level, used }) => [cap, level, used])
    await store.append(TOPIC, run(0, 68))
    assert.deepEqual(levels(), [])
    await store.append(TOPIC, run(69, 69))
    assert.deepEqual(levels(), [['operations', 70, 70]])
    await store.prune(LOG, 10)
    assert.deepEqual(levels(), [], '60 of 100 is still inside the hysteresis')
    await store.append(TOPIC, run(70, 99))
    assert.deepEqual(levels(), [['operations', 90, 90]])
    await store.prune(LOG, 20)
    assert.deepEqual(levels(), [], '80 is inside the hysteresis of 90')
    await store.prune(LOG, 21)
    assert.deepEqual(levels(), [['operations', 70, 79]])
    await store.prune(LOG, 41)
    assert.deepEqual(levels(), [['operations', 0, 59]])
    assert.equal(bench.counters.value('store_warnings_total'), 2)
    assert.equal(bench.lines.filter(({ message }) => message === 'the store fills up').length, 2)
  })
})

test('warns of bytes, of logs and of a pinned log, and survives a callback that throws', async () => {
  const warnings: string[] = []
  const onWarning = ({ cap, level }: StoreWarning) => {
    warnings.push(`${cap} ${level}`)
    throw new Error('not mine')
  }
  await withStore(
    { logsMax: 4, bytesMax: 20_000, operationsPerLogMax: 10 },
    { onWarning },
    async ({ store, bench }) => {
      store.pin(LOG)
      await store.append(TOPIC, run(0, 7))
      await store.append(TOPIC, run(0, 7, { log: log(2) }))
      assert.deepEqual(warnings.splice(0), ['log 70'], 'nothing is said of the logs of others')
      await store.append(TOPIC, [operation({ seq: 0, log: log(3), bodyBytes: 12_500 })])
      assert.deepEqual(warnings.splice(0), ['bytes 70', 'logs 70'])
      assert.ok(bench.lines.some(({ error }) => String(error).includes('not mine')))
    },
  )
})

test('nothing is half kept when any one charge is refused', async () => {
  const batch = [
    ...run(0, 3, { bodyBytes: 800 }),
    ...run(0, 3, { log: log(2), bodyBytes: 800 }),
    operation({ seq: 4, prune: true, bodyBytes: 9_000 }),
    ...run(5, 6, { bodyBytes: 800 }),
  ]
  await sweepFaults(async (store, fault) => {
    fault.armed = true
    const answers = await store.append(TOPIC, batch)
    fault.armed = false
    for (const [index, each] of batch.entries()) {
      const page = await store.read(each, each.seq, each.seq, 1)
      const expected =
        answers[index] === 'kept' &&
        !(each.seq < 4 && answers[8] === 'kept' && each.author[4] === 1)
      assert.equal(page.operations.length === 1, expected, `operation ${index}`)
    }
    assert.equal(answers.includes('full'), fault.hit)
    assert.ok((await store.append(TOPIC, batch)).every((answer) => answer !== 'full'))
    assert.deepEqual(
      (await readAll(store)).map(({ seq }) => seq),
      [4, 5, 6],
    )
    assert.deepEqual(await readAll(store, log(2)), run(0, 3, { log: log(2), bodyBytes: 800 }))
    assert.equal((await store.logs(TOPIC)).length, 2)
  })
})

interface Fault {
  armed: boolean
  hit: boolean
}

/** Runs a scenario once for each `take` and each allocation in it, with that one failing. */
async function sweepFaults(
  use: (store: MemoryStore, fault: Fault) => Promise<void>,
): Promise<void> {
  let points = 0
  for (let at = 0; at <= points; at++) {
    const terms = memoryStoreTerms()
    await withLedger(Object.values(terms), async (ledger, scope) => {
      let step = 0
      const fault: Fault = { armed: false, hit: false }
      const fails = () => {
        if (!fault.armed || step++ !== at) return false
        fault.hit = true
        return true
      }
      const open = ledger.open.bind(ledger)
      ledger.open = (term, options) => {
        const account = open(term, options)
        if (account) {
          account.take = (bytes, entries) =>
            fails() ? 'pool' : Account.prototype.take.call(account, bytes, entries)
        }
        return account
      }
      const allocate = (bytes: number) => {
        if (fails()) throw new RangeError('Array buffer allocation failed')
        return Buffer.allocUnsafeSlow(bytes)
      }
      const store = scope.own('store', new MemoryStore({ ledger, terms, allocate }))
      await use(store, fault)
      if (fault.hit) points = at + 1
      assert.ok(at < 500, 'the sweep does not end')
    })
  }
  assert.ok(points > 20, `${points} points were swept`)
}

test('level 3 keeps nothing more, except what prunes, and refuse sheds nothing', () =>
  withStore({}, {}, async ({ store, ledger }) => {
    await store.append(TOPIC, run(0, 9))
    ledger.pressure.process([{ source: 'test', used: 97, limit: 100 }])
    await settled()
    assert.deepEqual(await store.append(TOPIC, run(10, 11)), ['full', 'full'])
    assert.deepEqual(await readAll(store), run(0, 9))
    const begin = operation({ seq: 10, prune: true })
    assert.deepEqual(await store.append(TOPIC, [begin]), ['kept'])
    await store.setMeta('a', new Uint8Array(8))
    ledger.pressure.process([])
    assert.deepEqual(await store.append(TOPIC, run(11, 11)), ['kept'])
  }))

test('level 2 takes no new log and goes on with known ones', () =>
  withStore({}, {}, async ({ store, ledger }) => {
    await store.append(TOPIC, run(0, 1))
    ledger.pressure.process([{ source: 'test', used: 88, limit: 100 }])
    assert.deepEqual(await store.append(TOPIC, [operation({ seq: 0, log: log(2) })]), ['full'])
    assert.deepEqual(await store.append(TOPIC, run(2, 2)), kept(1))
    ledger.pressure.process([])
  }))

test('a closed store is collected, and its listener has left the ledger', async () => {
  const terms = memoryStoreTerms()
  await withLedger(Object.values(terms), async (ledger) => {
    assert.ok(
      await collectable(async () => {
        const store = new MemoryStore({ ledger, terms, policy: 'lru-log' })
        await store.append(TOPIC, run(0, 9))
        await store.close()
        return store
      }),
    )
  })
})
