import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { readAll } from './conformance.suite.ts'
import { LOG, log, operation, run, TOPIC } from './fixtures.ts'
import {
  MemoryStore,
  type MemoryStoreLimits,
  type MemoryStoreTerms,
  memoryStoreTerms,
} from './index.ts'

type Use = (store: MemoryStore, ledger: Ledger, terms: MemoryStoreTerms) => unknown

function withEviction(limits: MemoryStoreLimits, use: Use, tight = false): Promise<void> {
  const terms = memoryStoreTerms(limits)
  return withLedger(
    Object.values(terms),
    async (ledger, scope) => {
      const options = { ledger, terms, policy: 'lru-log', log: scope.log } as const
      await use(scope.own('store', new MemoryStore(options)), ledger, terms)
    },
    { tight },
  )
}

const settled = () => new Promise((resolve) => setImmediate(resolve))
const KIB = 1024

/** What is left of a log: operations, and how many of them have a body. */
async function left(store: MemoryStore, name = LOG) {
  const operations = await readAll(store, name)
  return [operations.length, operations.filter(({ body }) => body).length]
}

test('the log used least recently loses its payloads first, then its operations', () =>
  withEviction({ bytesMax: 300 * KIB }, async (store) => {
    const [a, b, c] = [log(1), log(2), log(3)]
    for (const name of [a, b]) {
      await store.append(TOPIC, run(0, 59, { log: name, bodyBytes: 2 * KIB }))
    }
    await store.read(a, 0, 0, 1)
    await store.append(TOPIC, run(0, 44, { log: c, bodyBytes: 2 * KIB }))
    const stripped = await left(store, b)
    assert.equal(stripped[0], 60, 'no operation of b has gone yet')
    assert.ok(stripped[1]! < 60, 'some payloads of b have')
    const first = (await readAll(store, b)).findIndex(({ body }) => body)
    assert.equal(60 - first, stripped[1], 'the oldest payloads went')
    assert.equal((await readAll(store, b))[0]!.payloadSize, 2 * KIB)
    assert.deepEqual(await left(store, a), [60, 60])
    // Reading b has made it the most recent one: now a pays, and c stays.
    await store.append(TOPIC, run(45, 99, { log: c, bodyBytes: 2 * KIB }))
    assert.ok((await left(store, a))[1]! < 60)
    assert.deepEqual(await left(store, c), [100, 100])
    await store.append(TOPIC, run(100, 139, { log: c, bodyBytes: 2 * KIB }))
    assert.equal((await store.log(c))?.height, 139)
  }))

test('what was evicted stays known as a frontier and is not fetched again', () =>
  withEviction({ operationsMax: 10 }, async (store, ledger, terms) => {
    await store.append(TOPIC, run(0, 5))
    await store.append(TOPIC, run(0, 9, { log: log(2) }))
    const state = await store.log(LOG)
    assert.deepEqual([state?.height, state?.from, state?.operations], [5, 6, 0])
    assert.deepEqual(await store.append(TOPIC, run(0, 5)), Array(6).fill('duplicate'))
    assert.deepEqual(await store.append(TOPIC, [operation({ seq: 5, branch: 1 })]), ['fork'])
    assert.equal((await store.logs(TOPIC)).length, 2)
    assert.deepEqual(await store.append(TOPIC, run(6, 6)), ['kept'])
    assert.deepEqual(await readAll(store), run(6, 6))
    assert.equal(ledger.row(terms.operations).exits.evicted, 7)
  }))

test('a log at its own cap loses its own oldest operations', () =>
  withEviction({ operationsPerLogMax: 4 }, async (store) => {
    await store.append(TOPIC, run(0, 3, { log: log(2) }))
    assert.deepEqual(await store.append(TOPIC, run(0, 9)), Array(10).fill('kept'))
    assert.deepEqual(await readAll(store), run(6, 9))
    assert.deepEqual(await left(store, log(2)), [4, 4])
  }))

test('a log at its own bytes loses its own payloads', () =>
  withEviction({ bytesPerLogMax: 64 * KIB }, async (store) => {
    await store.append(TOPIC, run(0, 39, { bodyBytes: 2 * KIB }))
    const [operations, bodies] = await left(store)
    assert.equal(operations, 40)
    assert.ok(bodies! > 15 && bodies! < 32, `${bodies}`)
  }))

test('a pinned log loses nothing, and when it is full it answers full', () =>
  withEviction({ operationsMax: 10, logsMax: 2 }, async (store) => {
    store.pin(LOG)
    await store.append(TOPIC, run(0, 7))
    assert.deepEqual(await store.append(TOPIC, run(0, 4, { log: log(2) })), Array(5).fill('kept'))
    assert.deepEqual(await left(store, log(2)), [2, 2])
    assert.deepEqual(await store.append(TOPIC, run(8, 9)), ['kept', 'kept'], 'the other pays')
    assert.deepEqual(await left(store, log(2)), [0, 0])
    assert.deepEqual(await store.append(TOPIC, run(10, 11)), ['full', 'full'])
    assert.deepEqual(await store.append(TOPIC, run(5, 5, { log: log(2) })), ['full'])
    assert.deepEqual(await readAll(store), run(0, 9))
    const begin = operation({ seq: 10, prune: true })
    assert.deepEqual(await store.append(TOPIC, [begin]), ['kept'])
    store.unpin(LOG)
    assert.deepEqual(await store.append(TOPIC, run(5, 14, { log: log(2) })), Array(10).fill('kept'))
    assert.deepEqual(await left(store), [0, 0])
  }))

test('a pinned log without operations is no frontier that could be forgotten', () =>
  withEviction({ frontiersMax: 1, logsMax: 2 }, async (store) => {
    await store.append(TOPIC, run(0, 0))
    await store.prune(LOG, 1)
    store.pin(LOG)
    await store.append(TOPIC, run(1, 1))
    await store.prune(LOG, 2)
    for (const index of [2, 3, 4]) {
      await store.append(TOPIC, [operation({ seq: 0, log: log(index) })])
    }
    assert.equal((await store.log(LOG))?.height, 1)
    store.unpin(LOG)
    assert.equal((await store.log(LOG))?.height, 1)
  }))

test('a frontier that is pinned takes the place of the log used least recently', () =>
  withEviction({ logsMax: 1 }, async (store) => {
    await store.append(TOPIC, run(0, 0))
    await store.append(TOPIC, [operation({ seq: 0, log: log(2) })])
    store.pin(LOG)
    assert.deepEqual(await left(store, log(2)), [0, 0])
    assert.deepEqual(await store.append(TOPIC, run(1, 1, { log: log(2) })), ['full'])
    assert.deepEqual(await store.append(TOPIC, run(1, 1)), ['kept'])
  }))

test('a new log takes the place of the one used least recently', () =>
  withEviction({ logsMax: 2 }, async (store) => {
    for (const index of [1, 2, 3]) {
      assert.deepEqual(await store.append(TOPIC, run(0, 1, { log: log(index) })), ['kept', 'kept'])
    }
    assert.deepEqual(await left(store, log(1)), [0, 0])
    assert.equal((await store.log(log(1)))?.height, 1)
    assert.equal((await store.logs(TOPIC)).length, 3)
  }))

test('what can never fit evicts nothing', () =>
  withEviction({ bytesMax: 20 * KIB }, async (store) => {
    await store.append(TOPIC, run(0, 5, { bodyBytes: KIB }))
    const huge = operation({ seq: 0, log: log(2), bodyBytes: 20 * KIB })
    assert.deepEqual(await store.append(TOPIC, [huge]), ['full'])
    assert.deepEqual(await left(store), [6, 6])
    store.pin(LOG)
    const large = operation({ seq: 0, log: log(2), bodyBytes: 15 * KIB })
    assert.deepEqual(await store.append(TOPIC, [large]), ['full'])
    assert.deepEqual(await store.append(TOPIC, [operation({ seq: 0, log: log(3) })]), ['kept'])
    assert.deepEqual(await store.append(TOPIC, [large]), ['full'])
    assert.deepEqual(await left(store, log(3)), [1, 1])
  }))

test('what can never fit into its log, or replace it, evicts nothing either', () =>
  withEviction({ bytesMax: 40 * KIB, bytesPerLogMax: 30 * KIB }, async (store) => {
    const pinned = log(9)
    store.pin(pinned)
    await store.append(TOPIC, [operation({ seq: 0, log: pinned, bodyBytes: 20 * KIB })])
    await store.append(TOPIC, run(0, 3, { bodyBytes: KIB }))
    await store.append(TOPIC, run(0, 3, { log: log(2), bodyBytes: KIB }))
    const huge = operation({ seq: 4, bodyBytes: 31 * KIB })
    const replacing = operation({ seq: 4, prune: true, bodyBytes: 25 * KIB })
    assert.deepEqual(await store.append(TOPIC, [huge]), ['full'])
    assert.deepEqual(await store.append(TOPIC, [replacing]), ['full'])
    assert.deepEqual(
      [await left(store), await left(store, log(2))],
      [
        [4, 4],
        [4, 4],
      ],
    )
  }))

test('what can never fit into its own log takes nothing from it', () =>
  withEviction({ bytesMax: 200 * KIB, bytesPerLogMax: 20 * KIB }, async (store) => {
    await store.append(TOPIC, run(0, 3, { bodyBytes: KIB }))
    assert.deepEqual(await store.append(TOPIC, [operation({ seq: 4, bodyBytes: 30 * KIB })]), [
      'full',
    ])
    assert.deepEqual(await left(store), [4, 4])
  }))

test('a log that is its own only victim may lose all that it has', () =>
  withEviction({ bytesMax: 40 * KIB }, async (store) => {
    store.pin(log(9))
    await store.append(TOPIC, [operation({ seq: 0, log: log(9), bodyBytes: 15 * KIB })])
    const [first, second] = run(0, 1, { headerBytes: 18 * KIB })
    assert.deepEqual(await store.append(TOPIC, [first!]), ['kept'])
    assert.deepEqual(await store.append(TOPIC, [second!]), ['kept'])
    assert.deepEqual(await readAll(store), [second])
  }))

test('a prune flag in a full store evicts from others only what it needs more', () =>
  withEviction({ bytesMax: 40 * KIB }, async (store, ledger, terms) => {
    await store.append(TOPIC, run(0, 2, { bodyBytes: 16 }))
    await store.append(TOPIC, run(0, 31, { log: log(2), bodyBytes: KIB }))
    const begin = operation({ seq: 3, prune: true, bodyBytes: 8 * KIB })
    assert.deepEqual(await store.append(TOPIC, [begin]), ['kept'])
    assert.deepEqual(await readAll(store), [begin])
    assert.equal((await store.log(log(2)))?.operations, 32)
    assert.ok(ledger.row(terms.bytes).bytes <= 40 * KIB)
  }))

test('level 2 sheds to three quarters, level 3 to half, and under pressure nothing is evicted for what is refused', () =>
  withEviction({ bytesMax: 400 * KIB }, async (store, ledger, terms) => {
    const held = () => ledger.row(terms.bytes).bytes
    store.pin(log(9))
    await store.append(TOPIC, run(0, 9, { log: log(9), bodyBytes: KIB }))
    for (const index of [1, 2, 3, 4]) {
      await store.append(TOPIC, run(0, 50, { log: log(index), bodyBytes: 2 * KIB }))
    }
    assert.ok(held() > 350 * KIB)
    const press = async (used: number) => {
      ledger.pressure.process([{ source: 'test', used, limit: 100 }])
      await settled()
    }
    await press(72)
    assert.ok(held() > 350 * KIB, 'level 1 sheds nothing')
    await press(88)
    assert.ok(held() <= 300 * KIB, `${held()}`)
    await press(97)
    assert.ok(held() <= 200 * KIB && held() > 100 * KIB, `${held()}`)
    assert.deepEqual(await left(store, log(9)), [10, 10])
    const before = held()
    assert.deepEqual(await store.append(TOPIC, run(51, 51, { log: log(4), bodyBytes: 2 * KIB })), [
      'full',
    ])
    assert.equal(held(), before)
    assert.ok(ledger.row(terms.operations).exits.shed > 0)
    await press(0)
  }))

test('at level 3 a log at its cap loses nothing for an operation that is refused', () =>
  withEviction({ operationsPerLogMax: 10, logsMax: 1 }, async (store, ledger) => {
    await store.append(TOPIC, run(0, 9))
    ledger.pressure.process([{ source: 'test', used: 97, limit: 100 }])
    await settled()
    const answers = await store.append(TOPIC, [
      operation({ seq: 10 }),
      operation({ seq: 0, log: log(2) }),
    ])
    assert.deepEqual(answers, ['full', 'full'])
    assert.deepEqual(await readAll(store), run(0, 9))
    ledger.pressure.process([])
  }))

test('a store that is the whole plan keeps it, under the pressure that it makes itself', () =>
  withEviction(
    { bytesMax: 256 * KIB, operationsMax: 2_000, logsMax: 8, frontiersMax: 8, topicsMax: 2 },
    async (store, ledger) => {
      let full = 0
      for (let seq = 0; seq < 400; seq++) {
        for (const index of [1, 2, 3]) {
          const each = operation({ seq, log: log(index), bodyBytes: KIB, prune: seq % 97 === 0 })
          const [answer] = await store.append(TOPIC, [each])
          if (answer === 'full') full++
          assert.ok(ledger.costBytes <= ledger.plan.accountBytes)
        }
      }
      assert.ok(ledger.pressure.level < 3)
      assert.ok(full < 1_200)
    },
    true,
  ))

test('whatever is appended and read: a suffix is left, heights are right, caps hold', async () => {
  const LOGS = 4
  const limits = {
    bytesMax: 24 * KIB,
    operationsMax: 40,
    operationsPerLogMax: 20,
    bytesPerLogMax: 12 * KIB,
    logsMax: 3,
  }
  const step = fc.record({
    log: fc.nat(LOGS - 1),
    count: fc.integer({ min: 1, max: 8 }),
    body: fc.option(fc.integer({ min: 1, max: 2_500 }), { nil: undefined }),
    kind: fc.constantFrom('append', 'append', 'append', 'append', 'read', 'prune-flag', 'prune'),
  })
  const property = fc.asyncProperty(fc.array(step, { maxLength: 40 }), (steps) =>
    withEviction(limits, async (store, ledger, terms) => {
      // The pinned log is model and store alike; of the others the store may forget what is old.
      const model: (ReturnType<typeof run> | undefined)[] = Array(LOGS).fill(undefined)
      const heights: number[] = Array(LOGS).fill(-1)
      store.pin(log(0))
      for (const { log: index, count, body, kind } of steps) {
        const name = log(index)
        if (kind === 'read') await store.read(name, 0, 3, 1_000)
        else if (kind === 'prune') {
          const before = Math.max(heights[index]! - count, 0)
          await store.prune(name, before)
          model[index] = model[index]?.filter(({ seq }) => seq >= before)
        } else {
          const first = heights[index]! + 1
          const batch = run(first, first + count - 1, { log: name, bodyBytes: body })
          if (kind === 'prune-flag') batch[0] = { ...batch[0]!, prune: true }
          const answers = await store.append(TOPIC, batch)
          const keeps = answers.filter((answer) => answer === 'kept').length
          assert.deepEqual(answers, [
            ...Array(keeps).fill('kept'),
            ...Array(count - keeps).fill('full'),
          ])
          heights[index]! += keeps
          const old = kind === 'prune-flag' && keeps > 0 ? [] : (model[index] ?? [])
          if (keeps > 0) model[index] = [...old, ...batch.slice(0, keeps)]
        }
        assert.ok(ledger.row(terms.bytes).bytes <= limits.bytesMax)
        assert.ok(ledger.costBytes <= ledger.plan.accountBytes)
      }
      for (let index = 0; index < LOGS; index++) {
        const state = await store.log(log(index))
        assert.equal(state?.height ?? -1, heights[index])
        const here = await readAll(store, log(index))
        const expected = model[index] ?? []
        const suffix = expected.slice(expected.length - here.length)
        if (index === 0) assert.equal(here.length, expected.length)
        const bodiless = here.findLastIndex(({ body }, at) => !body && suffix[at]!.body)
        for (const [at, each] of here.entries()) {
          const lost = index !== 0 && at <= bodiless && !each.body
          assert.deepEqual(each, lost ? { ...suffix[at]!, body: undefined } : suffix[at])
        }
      }
    }),
  )
  await fc.assert(property, { numRuns: 200, endOnFailure: true })
})
