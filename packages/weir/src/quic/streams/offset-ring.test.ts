import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { term } from '../../bounds/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { OffsetRing, RING_FIRST_BYTES } from './offset-ring.ts'

const rings = (payloadBytesMax: number) => term({ name: 'test.ring', why: 'test', payloadBytesMax })

test('bytes come out as they went in, wherever they lie in the ring', () => {
  for (let seed = 0; seed < 50; seed++) {
    const random = seededRandom(seed)
    const ring = new OffsetRing()
    let [base, end] = [0, 0]
    for (let step = 0; step < 300; step++) {
      const bytes = Uint8Array.from({ length: random.below(3_000) }, (_, at) => (end + at) % 251)
      const from = random.below(bytes.length + 1)
      assert.ok(ring.reserve(end + bytes.length, end))
      ring.write(end, bytes, 0, from)
      ring.write(end + from, bytes, from, bytes.length - from)
      end += bytes.length
      const read = random.below(end - base + 1)
      const out = new Uint8Array(read + 2)
      if (read > 0) ring.copyTo(base, read, out, 1)
      for (let at = 0; at < read; at++) assert.equal(out[1 + at], (base + at) % 251, `seed ${seed}`)
      assert.equal(out[0]! + out.at(-1)!, 0, 'and nothing beside them')
      base += read
      ring.advance(base, end)
    }
  }
})

test('a ring that was used in full is made as large at once, and one that was not gets smaller', async () => {
  const planned = rings(1 << 20)
  await withLedger([planned], (ledger) => {
    using account = ledger.require(planned)
    const ring = new OffsetRing(account)
    const burst = (bytes: number) => {
      const from = ring.base
      for (let end = from + 500; end <= from + bytes; end += 500) assert.ok(ring.reserve(end, from))
      const { capacity } = ring
      ring.advance(from + bytes, from + bytes)
      return capacity
    }
    assert.equal(burst(60_000), 65_536)
    assert.equal(ring.capacity, 0, 'it does not stay')
    assert.equal(account.bytes, 0)
    assert.ok(ring.reserve(ring.base + 10, ring.base))
    assert.equal(ring.capacity, 65_536, 'the next one is as large')
    ring.advance(ring.base + 10, ring.base + 10)
    assert.equal(burst(10), 0, 'the one after is as large as the last one was used')
    assert.ok(ring.reserve(ring.base + 10, ring.base))
    assert.equal(ring.capacity, RING_FIRST_BYTES)
    ring.free()
  })
})

test('N+1: what cannot be charged as a guess is charged as it is needed, and else refused', async () => {
  const planned = rings(40_000)
  await withLedger([planned], (ledger) => {
    using account = ledger.require(planned)
    const ring = new OffsetRing(account)
    assert.ok(ring.reserve(30_000, 0))
    ring.advance(30_000, 30_000)
    account.take(20_000)
    assert.ok(ring.reserve(30_010, 30_000))
    assert.equal(ring.capacity, RING_FIRST_BYTES)
    assert.equal(ring.reserve(70_000, 30_010), false)
    assert.equal(account.bytes, 20_000)
    account.give(20_000)
    ring.free()
  })
})
