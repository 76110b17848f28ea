import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IdleCollector } from './idle-collector.ts'

test('garbage is collected once after a quiet while, and again only when memory has grown', () => {
  const MIB = 2 ** 20
  let busy = true
  let used = 40 * MIB
  let collections = 0
  const collector = new IdleCollector({
    busy: () => busy,
    used: () => used,
    collect: () => {
      collections++
      used = 30 * MIB
    },
  })
  const steps = (count: number) => {
    for (let step = 0; step < count; step++) collector.step()
    return collections
  }
  assert.equal(steps(10), 0)
  busy = false
  assert.equal(steps(2), 0)
  assert.equal(steps(1), 1)
  assert.equal(steps(100), 1)
  used = 35 * MIB
  assert.equal(steps(100), 1)
  used = 37 * MIB
  assert.equal(steps(100), 2)
  used = 60 * MIB
  busy = true
  assert.equal(steps(100), 2)
})
