import assert from 'node:assert/strict'
import test from 'node:test'
import { Counters } from './index.ts'

test('a counter is made once per name and only rises', () => {
  const counters = new Counters()
  const first = counters.counter('area_thing_total', 'Things.')
  assert.equal(counters.counter('area_thing_total', 'again'), first)
  first.add()
  first.add(4)
  assert.equal(counters.value('area_thing_total'), 5)
  assert.equal(counters.value('area_other_total'), 0)
  counters.counter('area_other_total', 'Others.').add()
  assert.deepEqual([...counters].map(({ name, help, value }) => [name, help, value]).sort(), [
    ['area_other_total', 'Others.', 1],
    ['area_thing_total', 'Things.', 5],
  ])
})
