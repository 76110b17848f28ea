import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ledger, planMemory, term } from 'weir-mesh/bounds'
import { seededRandom } from 'weir-mesh/runtime'
import { apiTerms, DEFAULT_API_LIMITS } from './memory.ts'
import { type Change, Store } from './store.ts'

const BALLAST_BYTES = 10_000_000

/** A store in a plan that is mostly ballast, so that a test can bring it under pressure. */
function withStore(run: (store: Store, changes: Change[], press: (share: number) => void) => void) {
  const limits = { objectsMax: 64, objectBytesMax: 10_000, historyMax: 8, historyBytesMax: 10_000 }
  const terms = apiTerms({ ...DEFAULT_API_LIMITS, ...limits })
  const ballast = term({
    name: 'test.ballast',
    why: 'a test',
    payloadBytesMax: BALLAST_BYTES,
    shedAt: 'never',
  })
  const plan = planMemory([terms.objects, terms.history, ballast], { limitBytes: 2 ** 30 })
  const ledger = new Ledger(plan, { assertLeaks: true })
  const weight = ledger.require(ballast)
  const changes: Change[] = []
  const store = new Store({
    objects: ledger.require(terms.objects),
    history: ledger.require(terms.history),
    random: seededRandom(1),
    firstRevision: 100,
    onChange: (change) => changes.push(change),
  })
  const press = (share: number) => {
    weight.give(weight.bytes)
    weight.require(Math.floor(share * BALLAST_BYTES))
  }
  run(store, changes, press)
  weight.give(weight.bytes)
  weight[Symbol.dispose]()
  store[Symbol.dispose]()
  ledger.assertEmpty()
}

const text = (revision: number) => `text ${revision}`

test('revisions have no gaps, and a change is found by its revision', () => {
  withStore((store, changes) => {
    store.put('a', 'u', text)
    store.put('a', 'u', text)
    store.delete('a', text)
    store.delete('a', text)
    assert.deepEqual(
      changes.map(({ revision, type, text: own }) => `${revision} ${type} ${own}`),
      ['101 ADDED text 101', '102 MODIFIED text 102', '103 DELETED text 103'],
    )
    assert.equal(store.changeAfter(100), changes[0])
    assert.equal(store.changeAfter(102), changes[2])
    assert.equal(store.changeAfter(103), undefined)
    for (let count = 0; count < 10; count++) store.put('b', 'u', text)
    assert.equal(store.compacted, 105)
    assert.equal(store.changeAfter(105)?.revision, 106)
    store.compact()
    assert.equal(store.compacted, store.revision)
    store.put('b', 'u', text)
    assert.equal(store.changeAfter(store.revision - 1), changes.at(-1))
  })
})

test('under severe pressure the history does not grow, and keeps the newest', () => {
  withStore((store, changes, press) => {
    for (let count = 0; count < 4; count++) store.put('a', 'u', text)
    press(0.9)
    for (let count = 0; count < 6; count++) store.put('a', 'u', text)
    assert.equal(store.changeAfter(store.revision - 1), changes.at(-1))
    assert.ok(store.revision - store.compacted <= 4)
  })
})

test('under critical pressure nothing is added and nothing grows, but deletes go on', () => {
  withStore((store, _changes, press) => {
    store.put('a', 'u', text)
    store.put('b', 'u', text)
    press(0.99)
    const revision = store.revision
    assert.throws(() => store.put('c', 'u', text), { code: 'LIMIT' })
    assert.throws(() => store.put('a', 'u', () => 'x'.repeat(1_000)), { code: 'LIMIT' })
    assert.equal(store.revision, revision)
    store.delete('b', text)
    assert.equal(store.size, 1)
    press(0)
    store.put('c', 'u', text)
  })
})
