import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { withLedger } from '../../testing/index.ts'
import { seededRandom } from '../runtime/index.ts'
import { ID_BYTES, IdSet, term } from './index.ts'

const CAPACITY = 8
const ids = term({
  name: 'test.ids',
  why: 'a test',
  arena: 'buffers',
  table: 'slab',
  entriesMax: CAPACITY,
  shellBytes: ID_BYTES,
})

/** An id that differs from others only in its last bytes, as an attacker would choose them. */
function id(seed: number): Uint8Array {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(28, seed)
  return bytes
}

test('behaves as two plain sets under any calls, with the ledger right at each step', async () => {
  const step = fc.oneof({ weight: 8, arbitrary: fc.nat(24) }, fc.constant('rotate' as const))
  const run = async (seed: number, steps: readonly (number | 'rotate')[]) =>
    withLedger([ids], (ledger, scope) => {
      const set = scope.own('set', new IdSet(ledger.require(ids), seededRandom(seed)))
      let young = new Set<number>()
      let old = new Set<number>()
      let forgotten = 0
      const rotate = () => {
        forgotten += old.size
        old = young
        young = new Set()
      }
      for (const each of steps) {
        if (each === 'rotate') {
          set.rotate()
          rotate()
        } else {
          const seen = young.has(each) || old.has(each)
          assert.equal(set.add(id(each)), seen ? 'seen' : 'new')
          if (!seen && young.size === CAPACITY) rotate()
          if (!seen) young.add(each)
        }
        for (let at = 0; at <= 24; at++) assert.equal(set.has(id(at)), young.has(at) || old.has(at))
        assert.equal(set.size, young.size + old.size)
        assert.equal(ledger.row(ids).exits.expired, forgotten)
        assert.equal(ledger.row(ids).entries, CAPACITY, 'charged in full')
        assert.ok(ledger.peakCostBytes <= ledger.plan.accountBytes)
      }
    })
  await fc.assert(fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 80 }), run), {
    numRuns: 100,
  })
})

test('N+1 ids forget the oldest generation and no more', async () => {
  await withLedger([ids], (ledger, scope) => {
    const set = scope.own('set', new IdSet(ledger.require(ids), seededRandom(1)))
    for (let each = 0; each < 2 * CAPACITY; each++) assert.equal(set.add(id(each)), 'new')
    for (let each = 0; each < 2 * CAPACITY; each++) assert.ok(set.has(id(each)))
    assert.equal(set.size, 2 * CAPACITY)
    assert.equal(set.add(id(100)), 'new')
    assert.ok(!set.has(id(0)) && set.has(id(CAPACITY)))
    assert.equal(set.size, CAPACITY + 1)
    assert.equal(ledger.row(ids).exits.expired, CAPACITY)
  })
})

test('a set of many pages finds every id again', async () => {
  const large = term({ ...ids, entriesMax: 1024 })
  await withLedger([large], (ledger, scope) => {
    const random = seededRandom(5)
    const set = scope.own('set', new IdSet(ledger.require(large), random))
    const all = Array.from({ length: 2048 }, () => random.bytes(32))
    for (const each of all) assert.equal(set.add(each), 'new')
    for (const each of all) assert.equal(set.add(each), 'seen')
  })
})

test('it keeps copies, so that an id does not pin the datagram it came in', async () => {
  await withLedger([ids], (ledger, scope) => {
    const set = scope.own('set', new IdSet(ledger.require(ids), seededRandom(1)))
    const datagram = new Uint8Array(1200).fill(7)
    set.add(datagram.subarray(100, 132))
    datagram.fill(0)
    assert.ok(set.has(new Uint8Array(32).fill(7)))
  })
})

test('a closed set answers no, refuses to add, and gives its pages up', async () => {
  await withLedger([ids], (ledger) => {
    const set = new IdSet(ledger.require(ids), seededRandom(1))
    set.add(id(1))
    set[Symbol.dispose]()
    set[Symbol.dispose]()
    assert.equal(set.has(id(1)), false)
    assert.equal(set.size, 0)
    assert.throws(() => set.add(id(1)), /add after close/)
    assert.throws(() => set.rotate(), /rotate after close/)
    assert.equal(ledger.row(ids).exits.closed, 1)
  })
})

test('what the plan cannot cover, and what is no id, are mistakes', async () => {
  const wrong = [
    [{ entriesMax: 9 }, /no power of two/],
    [{ entriesMax: 0 }, /no power of two/],
    [{ shellBytes: ID_BYTES - 1 }, /plans too little/],
    [{ table: 'map' }, /declares no slab/],
  ] as const
  for (const [options, message] of wrong) {
    const bad = term({ ...ids, ...options })
    await withLedger([bad], (ledger) => {
      using account = ledger.require(bad)
      assert.throws(() => new IdSet(account, seededRandom(1)), message)
    })
  }
  await withLedger([ids], (ledger, scope) => {
    const set = scope.own('set', new IdSet(ledger.require(ids), seededRandom(1)))
    assert.throws(() => set.add(new Uint8Array(31)), /32 bytes/)
    assert.throws(() => set.has(new Uint8Array(33)), /32 bytes/)
  })
})
