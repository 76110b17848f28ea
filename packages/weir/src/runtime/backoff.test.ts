import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { Backoff, seededRandom } from './index.ts'

test('delays double up to the cap, each in the upper half of its ceiling', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 5_000 }), fc.nat(40), (seed, first, n) => {
      const backoff = new Backoff(seededRandom(seed), { firstMs: first, mostMs: 20_000 })
      for (let failure = 0; failure <= n; failure++) {
        const ceiling = Math.min(first * 2 ** failure, 20_000)
        const delay = backoff.next()
        assert.ok(Number.isInteger(delay))
        assert.ok(delay >= ceiling / 2 && delay <= ceiling, `${delay} of ${ceiling}`)
      }
      assert.equal(backoff.failures, n + 1)
    }),
  )
})

test('a success starts again at the first delay, and a long outage does not overflow', () => {
  const backoff = new Backoff(seededRandom(1))
  for (let failure = 0; failure < 2_000; failure++) assert.ok(backoff.next() <= 30_000)
  backoff.reset()
  assert.equal(backoff.failures, 0)
  assert.ok(backoff.next() <= 200)
})

test('two peers that fail together do not come back together', () => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => {
    const backoff = new Backoff(seededRandom(seed))
    for (let failure = 0; failure < 8; failure++) backoff.next()
    return backoff.next()
  })
  assert.ok(new Set(delays).size >= 7)
})
