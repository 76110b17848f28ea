import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { seededRandom, systemRandom } from './index.ts'

const M = 0xffffffffn

/** The published algorithm once more, in whole numbers: splitmix32 feeds xoshiro128**. */
function* naive(seed: number): Generator<number> {
  let mix = BigInt(seed >>> 0)
  const split = () => {
    mix = (mix + 0x9e3779b9n) & M
    let word = mix ^ (mix >> 16n)
    word = (word * 0x21f0aaadn) & M
    word ^= word >> 15n
    word = (word * 0x735a2d97n) & M
    return word ^ (word >> 15n)
  }
  const s = [split(), split(), split(), split() | 1n] as [bigint, bigint, bigint, bigint]
  const left = (word: bigint, bits: bigint) => ((word << bits) | (word >> (32n - bits))) & M
  while (true) {
    yield Number((left((s[1] * 5n) & M, 7n) * 9n) & M)
    const shifted = (s[1] << 9n) & M
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = left(s[3], 11n)
  }
}

test('a seed gives the sequence of the published algorithm', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = seededRandom(seed)
      const expected = naive(seed)
      for (let step = 0; step < 20; step++) {
        assert.equal(random.below(2 ** 32), expected.next().value)
      }
    }),
    { numRuns: 50 },
  )
})

test('below stays in its range and reaches all of a small one', () => {
  for (const random of [seededRandom(7), systemRandom]) {
    const seen = new Set<number>()
    for (let step = 0; step < 400; step++) seen.add(random.below(5))
    assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4])
    assert.equal(random.below(1), 0)
    assert.equal(random.below(0), 0)
  }
  assert.throws(() => seededRandom(1).below(2 ** 33), /out of range/)
})

test('bytes have the asked length, are fresh, and follow the seed', () => {
  assert.deepEqual(seededRandom(3).bytes(40), seededRandom(3).bytes(40))
  assert.notDeepEqual(seededRandom(3).bytes(40), seededRandom(4).bytes(40))
  const first = systemRandom.bytes(32)
  assert.equal(first.length, 32)
  assert.notDeepEqual(first, systemRandom.bytes(32))
})
