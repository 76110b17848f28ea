import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IdleCollector } from './idle-collector.ts'

const MIB = 2 ** 20

/** A process whose memory the test sets. */
function fake() {
  const state = {
    ...{ busy: true, used: 40 * MIB, live: 20 * MIB, rest: 50 * MIB },
    ...{ collections: 0, trims: 0, tidied: 0 },
  }
  const collector = new IdleCollector({
    busy: () => state.busy,
    tidy: () => void state.tidied++,
    used: () => ({ heap: state.used, rest: state.rest }),
    collect: () => {
      state.collections++
      state.used = state.live
    },
    trim: () => {
      state.trims++
      state.rest -= MIB
    },
  })
  const steps = (count: number) => {
    for (let step = 0; step < count; step++) collector.step()
    return state.collections
  }
  return { state, collector, steps }
}

test('memory is given back once after a quiet while, and again only when it has grown', () => {
  const { state, steps } = fake()
  assert.equal(steps(10), 0)
  state.busy = false
  assert.equal(steps(3), 0)
  assert.equal(steps(1), 1)
  assert.equal(steps(100), 1)
  state.used = 22 * MIB
  assert.equal(steps(100), 1)
  state.used = 23 * MIB
  state.live = 80 * MIB
  assert.equal(steps(100), 2)
  state.used = 89 * MIB
  assert.equal(steps(100), 2, 'an eighth of what lives is not worth the pause')
  state.used = 90 * MIB
  assert.equal(steps(100), 3)
  state.used = 200 * MIB
  state.busy = true
  assert.equal(steps(100), 3)
})

test('the native heap alone is trimmed without a collection, once for what it has grown', () => {
  const { state, steps } = fake()
  state.busy = false
  assert.equal(steps(10), 1)
  state.rest += 3 * MIB - 1
  steps(100)
  assert.equal(state.trims, 0)
  state.rest += 1
  assert.equal(steps(100), 1, 'no collection for it')
  assert.equal(state.trims, 1)
  state.busy = true
  state.rest += 20 * MIB
  steps(100)
  assert.equal(state.trims, 1)
  state.busy = false
  state.used += 20 * MIB
  assert.equal(steps(10), 2, 'a collection trims too')
  assert.equal(state.trims, 1)
})

test('each quiet while is used once to tidy, and what that makes busy is waited for', () => {
  const { state, collector, steps } = fake()
  state.busy = false
  steps(1)
  assert.equal(state.tidied, 0)
  steps(1)
  assert.equal(state.tidied, 1)
  state.busy = true
  collector.step()
  state.busy = false
  assert.equal(steps(3), 0, 'the tidying took two steps away from the quiet')
  assert.equal(steps(1), 1)
  assert.equal(state.tidied, 2)
  steps(100)
  assert.equal(state.tidied, 2)
})
