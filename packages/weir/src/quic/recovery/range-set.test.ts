import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { term } from '../../bounds/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { FIRST_RANGES, RangeSet } from './range-set.ts'

const SPAN = 120

function check(ranges: RangeSet, model: ReadonlySet<number>): void {
  const found = new Set<number>()
  let before = -1
  for (let index = 0; index < ranges.count; index++) {
    assert.ok(ranges.start(index) > before, 'ranges touch or overlap')
    assert.ok(ranges.end(index) > ranges.start(index))
    for (let value = ranges.start(index); value < ranges.end(index); value++) found.add(value)
    before = ranges.end(index)
  }
  assert.deepEqual(
    [...found],
    [...model].sort((a, b) => a - b),
  )
  for (let value = 0; value < SPAN; value++) assert.equal(ranges.has(value), model.has(value))
}

test('a range set holds what a plain set holds', () => {
  for (let seed = 0; seed < 60; seed++) {
    const random = seededRandom(seed)
    const ranges = new RangeSet(64)
    const model = new Set<number>()
    for (let step = 0; step < 60; step++) {
      const start = random.below(SPAN)
      const end = Math.min(start + random.below(12), SPAN)
      const adds = random.below(3) > 0
      assert.ok(adds ? ranges.add(start, end) : ranges.remove(start, end))
      for (let value = start; value < end; value++) {
        if (adds) model.add(value)
        else model.delete(value)
      }
      check(ranges, model)
    }
    ranges.removeBelow(50)
    for (const value of [...model]) if (value < 50) model.delete(value)
    check(ranges, model)
  }
})

test('one range more than the cap is refused and changes nothing', () => {
  const ranges = new RangeSet(3)
  for (const start of [0, 10, 20]) assert.ok(ranges.add(start, start + 2))
  assert.equal(ranges.add(30, 31), false)
  assert.equal(ranges.count, 3)
  assert.ok(ranges.add(2, 3), 'what touches needs no place')
  assert.equal(ranges.remove(10, 11), true)
  assert.ok(ranges.add(20, 26))
  assert.equal(ranges.remove(22, 23), false, 'a split needs a place')
  assert.ok(ranges.has(22))
})

test('a covering range set joins the nearest instead of growing', () => {
  const ranges = new RangeSet(3)
  for (const start of [0, 10, 14]) ranges.add(start, start + 1)
  ranges.addCovering(40, 41)
  assert.equal(ranges.count, 3)
  assert.ok(ranges.has(12) && ranges.has(40) && !ranges.has(5))
})

test('N+1: ranges beyond the first are charged before they are there, and given back as they go', async () => {
  const planned = term({ name: 'test.ranges', why: 'test', payloadBytesMax: 16 * 12 })
  await withLedger([planned], (ledger) => {
    using account = ledger.require(planned)
    const ranges = new RangeSet(64, account)
    for (let range = 0; range < FIRST_RANGES; range++)
      assert.ok(ranges.add(2 * range, 2 * range + 1))
    assert.equal(account.bytes, 0)
    assert.ok(ranges.add(20, 21))
    assert.equal(account.bytes, 16 * FIRST_RANGES)
    for (let range = 11; range < 22; range++) assert.ok(ranges.add(2 * range, 2 * range + 1))
    assert.equal(ranges.count, 16)
    assert.equal(ranges.add(100, 101), false, 'no charge, no range')
    assert.equal(ranges.remove(20, 43) && ranges.count, 4)
    assert.equal(account.bytes, 16 * FIRST_RANGES, 'half goes when a quarter is used')
    ranges.removeFirst()
    ranges.removeFirst()
    assert.equal(account.bytes, 0)
    assert.ok(ranges.has(4) && ranges.has(6))
    for (let range = 50; range < 60; range++) ranges.add(2 * range, 2 * range + 1)
    assert.ok(account.bytes > 0)
    ranges.clear()
    assert.equal(account.bytes, 0)
    assert.ok(ranges.add(1, 2))
  })
})

test('a set whose ranges come and go under a small account holds what it says it holds', async () => {
  const planned = term({
    name: 'test.ranges',
    why: 'test',
    payloadBytesMax: 16 * 20,
    instancesMax: 64,
  })
  await withLedger([planned], (ledger) => {
    for (let seed = 0; seed < 40; seed++) {
      using account = ledger.require(planned)
      const random = seededRandom(seed)
      const ranges = new RangeSet(64, account)
      const model = new Set<number>()
      for (let step = 0; step < 150; step++) {
        const start = random.below(SPAN)
        const end = Math.min(start + 1 + random.below(3), SPAN)
        const adds = random.below(5) > 1
        if (!(adds ? ranges.add(start, end) : ranges.remove(start, end))) continue
        for (let value = start; value < end; value++) {
          if (adds) model.add(value)
          else model.delete(value)
        }
        check(ranges, model)
      }
      ranges.clear()
    }
  })
})
