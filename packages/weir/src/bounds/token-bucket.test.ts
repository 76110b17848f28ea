import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../runtime/index.ts'
import { TokenBucket } from './index.ts'

test('a burst passes, N+1 waits, and tokens come back at the rate', () => {
  const clock = new ManualClock()
  const bucket = new TokenBucket(clock, { perSecond: 10, burst: 3 })
  assert.deepEqual(
    [1, 2, 3, 4].map(() => bucket.take()),
    [true, true, true, false],
  )
  assert.equal(bucket.waitMs(), 100)
  clock.advance(99)
  assert.equal(bucket.take(), false)
  clock.advance(1)
  assert.equal(bucket.take(), true)
  clock.advance(3_600_000)
  assert.equal(bucket.waitMs(3), 0)
  assert.equal(bucket.take(4), false, 'no more than the burst is saved up')
  assert.equal(bucket.take(3), true)
})

test('in no window more passes than the burst and the rate allow', () => {
  const step = fc.record({ waitMs: fc.nat(300), tokens: fc.integer({ min: 1, max: 4 }) })
  fc.assert(
    fc.property(
      fc.array(step),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 10 }),
      (steps, perSecond, burst) => {
        const clock = new ManualClock()
        const bucket = new TokenBucket(clock, { perSecond, burst })
        let taken = 0
        for (const { waitMs, tokens } of steps) {
          clock.advance(waitMs)
          const wait = bucket.waitMs(tokens)
          const passes = bucket.take(tokens)
          assert.equal(passes, wait === 0)
          if (passes) taken += tokens
          assert.ok(taken <= burst + (clock.now() / 1e6) * perSecond + 1e-6)
        }
      },
    ),
  )
})

test('a bucket without rate or burst is a mistake', () => {
  const clock = new ManualClock()
  assert.throws(() => new TokenBucket(clock, { perSecond: 0, burst: 1 }), /a rate and a burst/)
  assert.throws(() => new TokenBucket(clock, { perSecond: 1, burst: 0 }), /a rate and a burst/)
})
