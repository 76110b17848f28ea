/** A naive log store, and random calls that a real one must answer alike. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import type { Subject } from './conformance.suite.ts'
import { log, operation, topic } from './fixtures.ts'
import type { Appended, LogName, LogStore, StoredOperation } from './log-store.ts'
import { payloadBytes } from './order.ts'

interface ModelLog {
  name: LogName
  height: number
  head: Uint8Array
  operations: StoredOperation[]
  topics: Set<number>
}

const LOGS = 3
const TOPICS = 2
const CAPS = Object.freeze({ operationsPerLogMax: 9, operationsMax: 16 })
const same = (a: Uint8Array | undefined, b: Uint8Array): boolean =>
  a !== undefined && Buffer.compare(a, b) === 0

class Model {
  readonly logs: (ModelLog | undefined)[] = Array(LOGS).fill(undefined)

  append(topicIndex: number, batch: readonly [number, StoredOperation][]): Appended[] {
    const full = new Set<number>()
    return batch.map(([index, each]) => {
      let answer = this.#judge(index, each)
      if (answer === 'kept' && !this.#fits(index, each)) answer = 'full'
      if (answer === 'full') full.add(index)
      if (answer === 'kept') this.#keep(topicIndex, index, each)
      return answer === 'gap' && full.has(index) ? 'full' : answer
    })
  }

  prune(index: number, before: number): number {
    const found = this.logs[index]
    if (!found) return 0
    const left = found.operations.filter(({ seq }) => seq >= before)
    const count = found.operations.length - left.length
    found.operations = left
    return count
  }

  state(index: number) {
    const found = this.logs[index]
    if (!found) return undefined
    return {
      ...found.name,
      height: found.height,
      head: found.head,
      from: found.operations[0]?.seq ?? found.height + 1,
      operations: found.operations.length,
      bytes: found.operations.reduce((sum, each) => sum + payloadBytes(each), 0),
    }
  }

  #judge(index: number, each: StoredOperation): Appended {
    const found = this.logs[index]
    if (!found) return each.seq === 0 || each.prune ? 'kept' : 'gap'
    if (each.seq > found.height && each.prune) return 'kept'
    if (each.seq > found.height + 1) return 'gap'
    if (each.seq === found.height + 1) return same(each.backlink, found.head) ? 'kept' : 'fork'
    const there =
      each.seq === found.height
        ? found.head
        : found.operations.find(({ seq }) => seq === each.seq)?.id
    return there && !same(there, each.id) ? 'fork' : 'duplicate'
  }

  #fits(index: number, each: StoredOperation): boolean {
    const own = this.logs[index]?.operations.length ?? 0
    const others = this.logs.reduce((sum, found) => sum + (found?.operations.length ?? 0), 0) - own
    const kept = each.prune ? 0 : own
    return kept < CAPS.operationsPerLogMax && others + kept < CAPS.operationsMax
  }

  #keep(topicIndex: number, index: number, each: StoredOperation): void {
    const found = (this.logs[index] ??= {
      name: log(index),
      height: -1,
      head: each.id,
      operations: [],
      topics: new Set(),
    })
    if (each.prune) found.operations = []
    found.operations.push(each)
    found.height = each.seq
    found.head = each.id
    found.topics.add(topicIndex)
  }
}

type Call =
  | { kind: 'append'; topic: number; steps: Step[] }
  | { kind: 'prune' | 'delete' | 'read' | 'measure'; log: number; at: number; length: number }
interface Step {
  log: number
  /** Sequence number beside the next one. */
  off: number
  branch: number
  prune: boolean
  body: number | undefined
}

const often = <T>(value: T, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(value) }, { weight: 1, arbitrary })

const step: fc.Arbitrary<Step> = fc.record({
  log: fc.nat(LOGS - 1),
  off: often(0, fc.integer({ min: -4, max: 3 })),
  branch: often(0, fc.constant(1)),
  prune: often(false, fc.constant(true)),
  body: fc.oneof(fc.constant(undefined), fc.integer({ min: 1, max: 3_000 })),
})

const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      topic: fc.nat(TOPICS - 1),
      steps: fc.array(step, { maxLength: 12 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('prune', 'delete', 'read', 'read', 'measure', 'measure'),
      log: fc.nat(LOGS - 1),
      at: fc.integer({ min: -6, max: 4 }),
      length: fc.nat(8),
    }),
  },
)

export async function conformsToModel(subject: Subject): Promise<void> {
  const property = fc.asyncProperty(
    fc.array(call, { minLength: 5, maxLength: 30 }),
    fc.integer({ min: 0, max: 9_000 }),
    (calls, pageBytes) =>
      subject.with(CAPS, async (store, ledger) => {
        const model = new Model()
        for (const each of calls) {
          await play(store, model, each, pageBytes)
          assert.ok(ledger.costBytes <= ledger.plan.accountBytes)
        }
        await compare(store, model)
      }),
  )
  await fc.assert(property, { numRuns: subject.modelRuns, endOnFailure: true })
}

async function play(store: LogStore, model: Model, each: Call, pageBytes: number): Promise<void> {
  if (each.kind === 'append') {
    const next = model.logs.map((found) => (found?.height ?? -1) + 1)
    const batch = each.steps.map((one): [number, StoredOperation] => {
      const seq = Math.max(next[one.log]! + one.off, 0)
      if (one.off === 0 && one.branch === 0) next[one.log]!++
      const { branch, prune, body } = one
      const options = { seq, log: log(one.log), branch, prune, bodyBytes: body, backlinkBranch: 0 }
      return [one.log, operation(options)]
    })
    const answers = await store.append(
      topic(each.topic),
      batch.map(([, one]) => one),
    )
    assert.deepEqual(answers, model.append(each.topic, batch))
    return
  }
  const name = log(each.log)
  const found = model.logs[each.log]
  const from = Math.max((found?.height ?? 0) + each.at, 0)
  const until = from + each.length
  const inside = found?.operations.filter(({ seq }) => seq >= from && seq <= until) ?? []
  switch (each.kind) {
    case 'prune':
      assert.equal(await store.prune(name, from), model.prune(each.log, from))
      return
    case 'delete':
      assert.equal(await store.deleteLog(name), found !== undefined)
      model.logs[each.log] = undefined
      return
    case 'measure':
      assert.deepEqual(await store.measure(name, from, until), {
        operations: inside.length,
        bytes: inside.reduce((sum, one) => sum + payloadBytes(one), 0),
      })
      return
    case 'read': {
      let bytes = 0
      let count = 0
      while (count < inside.length) {
        bytes += payloadBytes(inside[count]!)
        if (count > 0 && bytes > pageBytes) break
        count++
      }
      const page = await store.read(name, from, until, pageBytes)
      assert.equal(page.last, count === inside.length)
      assert.deepEqual(page.operations.map(copied), inside.slice(0, count))
    }
  }
}

async function compare(store: LogStore, model: Model): Promise<void> {
  for (let index = 0; index < LOGS; index++) {
    assert.deepEqual(await store.log(log(index)), model.state(index))
    const page = await store.read(log(index), 0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    assert.deepEqual(page.operations.map(copied), model.logs[index]?.operations ?? [])
  }
  for (let index = 0; index < TOPICS; index++) {
    const expected = model.logs.flatMap((found, at) =>
      found?.topics.has(index) ? [model.state(at)] : [],
    )
    assert.deepEqual(await store.logs(topic(index)), expected)
  }
}

const copied = (each: StoredOperation): StoredOperation => ({ ...each })
