import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { ByteRing } from './byte-ring.ts'

test('a ring gives the bytes back in order, whatever the sizes', () => {
  const steps = fc.array(
    fc.record({ push: fc.uint8Array({ maxLength: 3_000 }), shift: fc.nat({ max: 4_000 }) }),
    { maxLength: 60 },
  )
  fc.assert(
    fc.property(steps, (all) => {
      const ring = new ByteRing(8_000)
      let model = Buffer.alloc(0)
      for (const { push, shift } of all) {
        if (model.length + push.length <= 8_000) {
          ring.push(push)
          model = Buffer.concat([model, push])
        }
        const taken = ring.shift(shift)
        assert.deepEqual(Buffer.from(taken), model.subarray(0, shift))
        assert.equal(taken.byteLength, taken.buffer.byteLength, 'it has memory of its own')
        model = model.subarray(shift)
        assert.equal(ring.length, model.length)
      }
    }),
    { numRuns: 300 },
  )
})

test('a ring refuses one byte more than its cap', () => {
  const ring = new ByteRing(4)
  ring.push(new Uint8Array(4))
  assert.throws(() => ring.push(new Uint8Array(1)), /do not fit/)
  ring.shift(1)
  ring.push(new Uint8Array(1))
})
