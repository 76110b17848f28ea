/**
 * What every log store must do, run against each of them. The rules of order and of pages stand in `log-store.ts`; a
 * naive model says the same once more.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { Ledger } from '../bounds/index.ts'
import { isWeirError } from '../runtime/index.ts'
import { conformsToModel } from './conformance-model.suite.ts'
import { LOG, log, operation, operationId, run, TOPIC, topic } from './fixtures.ts'
import type { Appended, LogStore, StoredOperation } from './log-store.ts'
import { payloadBytes } from './order.ts'

/** Caps that every store has. */
export interface StoreCaps {
  readonly operationsMax?: number
  readonly operationsPerLogMax?: number
  readonly logsMax?: number
  readonly bytesMax?: number
  readonly bytesPerLogMax?: number
  readonly metaMax?: number
  readonly metaBytesMax?: number
}

export interface Subject {
  readonly name: string
  /** Runs of the model test; fewer where opening a store is slow. */
  readonly modelRuns: number
  /** Runs with a fresh store that refuses at its caps, closes it and checks that the ledger is empty. */
  with(caps: StoreCaps, use: (store: LogStore, ledger: Ledger) => Promise<void>): Promise<void>
}

/** Declares the tests. */
export function logStoreConformance(subject: Subject): void {
  const check = (title: string, use: (store: LogStore) => Promise<void>, caps: StoreCaps = {}) =>
    test(`${subject.name} ${title}`, () => subject.with(caps, use))
  orderTests(check)
  pruneTests(check)
  pageTests(check)
  topicTests(check)
  capTests(check)
  lifeTests(check)
  test(`${subject.name} does what a naive model does`, () => conformsToModel(subject))
}

type Check = (title: string, use: (store: LogStore) => Promise<void>, caps?: StoreCaps) => void

function orderTests(check: Check): void {
  check('gives back what it was given, in order', async (store) => {
    const batch = [
      operation({ seq: 0, bodyBytes: undefined }),
      operation({ seq: 1, bodyBytes: 300 }),
      { ...operation({ seq: 2, bodyBytes: undefined }), payloadSize: 5_000_000_000 },
      operation({ seq: 3, headerBytes: 400 }),
    ]
    assert.deepEqual(await store.append(TOPIC, batch), all('kept', 4))
    assert.deepEqual(await readAll(store), batch)
    const state = await store.log(LOG)
    assert.deepEqual(state, {
      ...LOG,
      height: 3,
      head: operationId(LOG, 3),
      from: 0,
      operations: 4,
      bytes: sumOf(batch),
    })
  })
  check('keeps bytes of its own', async (store) => {
    const first = operation({ seq: 0 })
    await store.append(TOPIC, [first])
    first.header.fill(0)
    first.body?.fill(0)
    first.id.fill(0)
    assert.deepEqual(await readAll(store), [operation({ seq: 0 })])
    const page = await store.read(LOG, 0, 0, 1_000)
    page.operations[0]!.header.fill(0)
    assert.deepEqual(await readAll(store), [operation({ seq: 0 })])
  })
  check('answers duplicate for what it has', async (store) => {
    await store.append(TOPIC, run(0, 2))
    assert.deepEqual(await store.append(TOPIC, run(0, 3)), [...all('duplicate', 3), 'kept'])
    assert.deepEqual(await readAll(store), run(0, 3))
  })
  check('answers gap while operations are missing and keeps none', async (store) => {
    assert.deepEqual(await store.append(TOPIC, [operation({ seq: 1 })]), ['gap'])
    assert.equal(await store.log(LOG), undefined)
    await store.append(TOPIC, [operation({ seq: 0 })])
    assert.deepEqual(await store.append(TOPIC, run(2, 3)), all('gap', 2))
    assert.deepEqual(await readAll(store), run(0, 0))
  })
  check('keeps no fork, at the head, below it, or on another backlink', async (store) => {
    await store.append(TOPIC, run(0, 2))
    const forks = [
      operation({ seq: 2, branch: 1 }),
      operation({ seq: 0, branch: 1 }),
      operation({ seq: 3, branch: 0, backlinkBranch: 1 }),
    ]
    assert.deepEqual(await store.append(TOPIC, forks), all('fork', 3))
    assert.deepEqual(await store.append(TOPIC, [operation({ seq: 3 })]), ['kept'])
    assert.deepEqual(await readAll(store), run(0, 3))
  })
  check('keeps logs apart by author and by log id', async (store) => {
    const names = [log(1, 0), log(1, 1), log(2, 0)]
    const batch = [0, 1].flatMap((seq) => names.map((name) => operation({ seq, log: name })))
    assert.deepEqual(await store.append(TOPIC, batch), all('kept', 6))
    for (const name of names) assert.deepEqual(await readAll(store, name), run(0, 1, { log: name }))
  })
  check('takes an empty batch', async (store) => {
    assert.deepEqual(await store.append(TOPIC, []), [])
    assert.deepEqual(await store.logs(TOPIC), [])
  })
  check('keeps large operations and high sequence numbers', async (store) => {
    const high = operation({ seq: 2 ** 40, prune: true, bodyBytes: 1024 * 1024 })
    const next = { ...operation({ seq: 2 ** 40 + 1 }), backlink: high.id }
    assert.deepEqual(await store.append(TOPIC, [high, next]), all('kept', 2))
    assert.deepEqual(await readAll(store), [high, next])
  })
}

function pruneTests(check: Check): void {
  check('prunes by a flag above the head, in the same step', async (store) => {
    await store.append(TOPIC, run(0, 4))
    const begin = operation({ seq: 5, prune: true })
    assert.deepEqual(await store.append(TOPIC, [begin, ...run(6, 7)]), all('kept', 3))
    assert.deepEqual(await readAll(store), [begin, ...run(6, 7)])
    assert.equal((await store.log(LOG))?.operations, 3)
  })
  check('takes a prune flag without predecessor, in a new log and over a gap', async (store) => {
    const first = operation({ seq: 7, prune: true })
    assert.deepEqual(await store.append(TOPIC, [first, operation({ seq: 8 })]), all('kept', 2))
    const jump = operation({ seq: 20, prune: true, backlinkBranch: 3 })
    assert.deepEqual(await store.append(TOPIC, [jump]), ['kept'])
    assert.deepEqual(await readAll(store), [jump])
  })
  check('rolls nothing back for a prune flag at or below the head', async (store) => {
    await store.append(TOPIC, run(0, 5))
    const below = operation({ seq: 3, prune: true, branch: 1 })
    const at = operation({ seq: 5, prune: true, branch: 1 })
    const same = operation({ seq: 4, prune: true })
    assert.deepEqual(await store.append(TOPIC, [below, at, same]), ['fork', 'fork', 'duplicate'])
    assert.deepEqual(await readAll(store), run(0, 5))
  })
  check('remembers height and head of what was pruned', async (store) => {
    await store.append(TOPIC, run(0, 5))
    assert.equal(await store.prune(LOG, 4), 4)
    assert.equal(await store.prune(LOG, 4), 0)
    assert.equal((await store.log(LOG))?.from, 4)
    assert.equal(await store.prune(LOG, 100), 2)
    const state = await store.log(LOG)
    assert.deepEqual(state, {
      ...LOG,
      height: 5,
      head: operationId(LOG, 5),
      from: 6,
      operations: 0,
      bytes: 0,
    })
    assert.deepEqual(await store.logs(TOPIC), [state])
    const again = [operation({ seq: 3 }), operation({ seq: 5 }), operation({ seq: 5, branch: 1 })]
    assert.deepEqual(await store.append(TOPIC, again), ['duplicate', 'duplicate', 'fork'])
    assert.deepEqual(await store.append(TOPIC, [operation({ seq: 6 })]), ['kept'])
    assert.deepEqual(await readAll(store), run(6, 6))
  })
  check('prunes nothing of a log that it does not have', async (store) => {
    assert.equal(await store.prune(LOG, 10), 0)
  })
  check('forgets a deleted log with its height and its topics', async (store) => {
    await store.append(TOPIC, run(0, 2))
    await store.append(topic(2), [operation({ seq: 3 })])
    assert.equal(await store.deleteLog(LOG), true)
    assert.equal(await store.deleteLog(LOG), false)
    assert.equal(await store.log(LOG), undefined)
    assert.deepEqual(await store.logs(TOPIC), [])
    assert.deepEqual(await store.logs(topic(2)), [])
    assert.deepEqual(await store.append(TOPIC, run(0, 1)), all('kept', 2))
    await store.prune(LOG, 2)
    assert.equal(await store.deleteLog(LOG), true, 'a log without operations is deleted as well')
    assert.equal(await store.log(LOG), undefined)
  })
}

function pageTests(check: Check): void {
  check('reads pages by bytes, at least one operation each', async (store) => {
    const batch = run(0, 9, { bodyBytes: 76 })
    await store.append(TOPIC, batch)
    const exact = await store.read(LOG, 2, 100, 300)
    assert.deepEqual([exact.operations.length, exact.last], [3, false])
    assert.deepEqual(exact.operations.map(plain), batch.slice(2, 5))
    assert.equal((await store.read(LOG, 2, 100, 299)).operations.length, 2)
    assert.equal((await store.read(LOG, 2, 100, 1)).operations.length, 1)
    const tail = await store.read(LOG, 7, 100, 300)
    assert.deepEqual([tail.operations.length, tail.last], [3, true])
    const range = await store.read(LOG, 1, 3, 300)
    assert.deepEqual([range.operations.map((each) => each.seq), range.last], [[1, 2, 3], true])
  })
  check('reads nothing outside of what is here', async (store) => {
    assert.deepEqual(await store.read(LOG, 0, 10, 100), { operations: [], last: true })
    await store.append(TOPIC, run(0, 5))
    await store.prune(LOG, 2)
    for (const [from, until] of [
      [0, 1],
      [6, 9],
      [4, 3],
    ] as const) {
      assert.deepEqual(await store.read(LOG, from, until, 100), { operations: [], last: true })
    }
    assert.deepEqual(await readAll(store), run(2, 5))
  })
  check('measures a range as the sum of its operations', async (store) => {
    const batch = Array.from({ length: 12 }, (_, seq) => operation({ seq, bodyBytes: seq * 40 }))
    await store.append(TOPIC, batch)
    await store.prune(LOG, 2)
    for (const [from, until] of [
      [0, 100],
      [2, 11],
      [4, 7],
      [0, 3],
      [11, 11],
      [5, 4],
      [12, 20],
    ] as const) {
      const inside = batch.filter(({ seq }) => seq >= 2 && seq >= from && seq <= until)
      assert.deepEqual(await store.measure(LOG, from, until), {
        operations: inside.length,
        bytes: sumOf(inside),
      })
    }
    assert.deepEqual(await store.measure(log(9), 0, 10), { operations: 0, bytes: 0 })
  })
}

function topicTests(check: Check): void {
  check('lists the logs of a topic sorted by author, then log id', async (store) => {
    const names = [log(2, 1), log(1, 200), log(2, 0), log(1, 3)]
    for (const name of names) await store.append(TOPIC, [operation({ seq: 0, log: name })])
    await store.append(topic(2), [operation({ seq: 1, log: log(2, 0) })])
    const listed = (await store.logs(TOPIC)).map(({ author, logId }) => ({ author, logId }))
    assert.deepEqual(listed, [log(1, 3), log(1, 200), log(2, 0), log(2, 1)])
    assert.equal((await store.logs(topic(2))).length, 1)
    assert.deepEqual(await store.logs(topic(3)), [])
  })
  check('associates a log only by what was kept', async (store) => {
    await store.append(TOPIC, run(0, 1))
    await store.append(topic(2), [...run(0, 1), operation({ seq: 9 })])
    assert.deepEqual(await store.logs(topic(2)), [])
  })
}

function capTests(check: Check): void {
  check(
    'answers full at the cap of a log, for the rest of the batch too, and other logs go on',
    async (store) => {
      const other = operation({ seq: 0, log: log(2) })
      const answers = await store.append(TOPIC, [...run(0, 5), other, operation({ seq: 0 })])
      assert.deepEqual(answers, [...all('kept', 4), ...all('full', 2), 'kept', 'duplicate'])
      assert.deepEqual(await readAll(store), run(0, 3))
      await store.prune(LOG, 1)
      assert.deepEqual(await store.append(TOPIC, run(4, 4)), ['kept'])
    },
    { operationsPerLogMax: 4 },
  )
  check(
    'takes a prune flag into a full log, which makes the room it needs',
    async (store) => {
      assert.deepEqual(await store.append(TOPIC, run(0, 4)), [...all('kept', 4), 'full'])
      const begin = operation({ seq: 4, prune: true })
      assert.deepEqual(await store.append(TOPIC, [begin, ...run(5, 7)]), all('kept', 4))
      assert.deepEqual(await readAll(store), [begin, ...run(5, 7)])
    },
    { operationsPerLogMax: 4, operationsMax: 4 },
  )
  check(
    'answers full at the cap of all operations',
    async (store) => {
      const second = log(2)
      await store.append(TOPIC, run(0, 2))
      const answers = await store.append(TOPIC, run(0, 2, { log: second }))
      assert.deepEqual(answers, ['kept', 'kept', 'full'])
      await store.deleteLog(LOG)
      assert.deepEqual(await store.append(TOPIC, run(2, 4, { log: second })), all('kept', 3))
    },
    { operationsMax: 5 },
  )
  check(
    'answers full at the cap of logs',
    async (store) => {
      const heads = [1, 2, 3].map((index) => operation({ seq: 0, log: log(index) }))
      assert.deepEqual(await store.append(TOPIC, heads), ['kept', 'kept', 'full'])
      assert.equal(await store.log(log(3)), undefined)
      await store.deleteLog(log(1))
      assert.deepEqual(await store.append(TOPIC, [heads[2]!]), ['kept'])
    },
    { logsMax: 2 },
  )
  const bytesFull = async (store: LogStore) => {
    const answers = await store.append(TOPIC, run(0, 40, { bodyBytes: 500 }))
    const kept = answers.indexOf('full')
    assert.ok(kept > 3 && kept < 20, `${kept} of 500 bytes fit into 10 000`)
    assert.deepEqual(answers.slice(kept), all('full', 41 - kept))
    assert.equal((await store.log(LOG))?.height, kept - 1)
    await store.prune(LOG, kept)
    assert.deepEqual(await store.append(TOPIC, run(kept, kept, { bodyBytes: 500 })), ['kept'])
    const huge = operation({ seq: kept + 1, bodyBytes: 10_001 })
    assert.deepEqual(await store.append(TOPIC, [huge]), ['full'])
  }
  check('answers full at the bytes of a log', bytesFull, { bytesPerLogMax: 10_000 })
  check('answers full at the bytes of all logs', bytesFull, { bytesMax: 10_000 })
  check(
    'keeps small values up to their caps',
    async (store) => {
      assert.equal(await store.meta('a'), undefined)
      const value = new Uint8Array([1, 2, 3])
      await store.setMeta('a', value)
      value.fill(0)
      await store.setMeta('b', new Uint8Array(40))
      assert.deepEqual(await store.meta('a'), new Uint8Array([1, 2, 3]))
      const limit = (error: unknown) => isWeirError(error, 'LIMIT')
      await assert.rejects(store.setMeta('c', new Uint8Array(1)), limit)
      await assert.rejects(store.setMeta('a', new Uint8Array(100)), limit)
      assert.deepEqual(await store.meta('a'), new Uint8Array([1, 2, 3]))
      await store.setMeta('b', undefined)
      assert.equal(await store.meta('b'), undefined)
      await store.setMeta('a', new Uint8Array(60))
      assert.equal((await store.meta('a'))?.length, 60)
    },
    { metaMax: 2, metaBytesMax: 64 },
  )
}

function lifeTests(check: Check): void {
  check('orders calls that are made at once', async (store) => {
    const appends = run(0, 19).map((each) => store.append(TOPIC, [each]))
    const read = readAll(store)
    const prune = store.prune(LOG, 10)
    const rest = store.append(TOPIC, run(20, 24))
    assert.deepEqual((await Promise.all(appends)).flat(), all('kept', 20))
    assert.deepEqual(await read, run(0, 19))
    assert.equal(await prune, 10)
    assert.deepEqual(await rest, all('kept', 5))
    assert.deepEqual(await readAll(store), run(10, 24))
  })
  check('fails every call after close, and closes twice', async (store) => {
    await store.append(TOPIC, run(0, 2))
    await store.close()
    await store.close()
    const closed = (error: unknown) => isWeirError(error, 'CLOSED')
    await assert.rejects(async () => store.append(TOPIC, run(3, 3)), closed)
    await assert.rejects(async () => store.log(LOG), closed)
    await assert.rejects(async () => store.meta('a'), closed)
    store.unpin(LOG)
  })
  check('sweeps without a reason to remove anything', async (store) => {
    await store.append(TOPIC, run(0, 2))
    assert.equal(await store.sweep(), 0)
    assert.deepEqual(await readAll(store), run(0, 2))
  })
}

const all = (answer: Appended, count: number): Appended[] => Array(count).fill(answer)

export const sumOf = (operations: readonly StoredOperation[]): number =>
  operations.reduce((sum, each) => sum + payloadBytes(each), 0)

/** Buffers of a page may be parts of one: compared by content. */
export function plain(each: StoredOperation): StoredOperation {
  return { ...each, header: new Uint8Array(each.header) }
}

export async function readAll(store: LogStore, name = LOG): Promise<StoredOperation[]> {
  const page = await store.read(name, 0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  assert.equal(page.last, true)
  return page.operations.map(plain)
}
