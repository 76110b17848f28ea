import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Ledger, planMemory, term } from '../bounds/index.ts'
import { isWeirError } from '../runtime/index.ts'
import { concatBytes, encodeFrame, FrameReader, FrameWriter } from './index.ts'

/** Stands for an account: refuses above its cap, and counts. */
class Purse {
  held = 0
  peak = 0
  readonly #cap: number

  constructor(cap = Infinity) {
    this.#cap = cap
  }

  take(bytes: number): string {
    if (this.held + bytes > this.#cap) return 'cap'
    this.held += bytes
    this.peak = Math.max(this.peak, this.held)
    return 'ok'
  }

  give(bytes: number): void {
    assert.ok(bytes <= this.held, 'gave back more than was taken')
    this.held -= bytes
  }
}

function drain(reader: FrameReader): Uint8Array[] {
  const frames: Uint8Array[] = []
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
    frames.push(frame.slice())
  }
  return frames
}

test('frames come out whole, however the stream is cut', () => {
  const payload = fc.uint8Array({ maxLength: 3000 })
  fc.assert(
    fc.property(
      fc.array(payload, { maxLength: 5 }),
      fc.infiniteStream(fc.nat(1500)),
      (sent, cuts) => {
        const stream = concatBytes(...sent.map((bytes) => encodeFrame(bytes)))
        const purse = new Purse()
        const reader = new FrameReader({ frameBytesMax: 3000, charge: purse })
        const got: Uint8Array[] = []
        for (let at = 0; at < stream.length; ) {
          const end = Math.min(stream.length, at + (cuts.next().value ?? 0) + 1)
          reader.push(stream.slice(at, end))
          got.push(...drain(reader))
          assert.equal(reader.heldBytes, purse.held)
          at = end
        }
        assert.deepEqual(got, sent)
        assert.equal(purse.held, 0)
        assert.ok(reader.atBoundary)
      },
    ),
  )
})

test('an unfinished frame holds what has come, not what it promises', () => {
  const purse = new Purse()
  const reader = new FrameReader({ frameBytesMax: 1 << 20, charge: purse })
  reader.push(encodeFrame(new Uint8Array(1 << 20)).subarray(0, 14))
  assert.equal(reader.next(), undefined)
  assert.equal(reader.heldBytes, 1024)
  assert.equal(purse.held, 1024)
  assert.equal(reader.atBoundary, false)
  reader.push(new Uint8Array(5000))
  assert.equal(reader.next(), undefined)
  assert.equal(purse.held, 5010)
  reader[Symbol.dispose]()
  assert.equal(purse.held, 0)
})

test('a frame above the cap is refused by its length, and so is everything after it', () => {
  const reader = new FrameReader({ frameBytesMax: 100 })
  reader.push(encodeFrame(new Uint8Array(100)))
  assert.equal(reader.next()?.length, 100)
  assert.equal(reader.next(), undefined)
  reader.push(encodeFrame(new Uint8Array(101)).subarray(0, 4))
  for (let times = 0; times < 3; times++) {
    assert.throws(() => reader.next(), { code: 'DECODE_LIMIT' })
  }
  assert.equal(reader.heldBytes, 0)
})

test('a refused charge ends the stream with a retryable code and nothing held', () => {
  const purse = new Purse(2000)
  const reader = new FrameReader({ frameBytesMax: 10_000, charge: purse })
  reader.push(encodeFrame(new Uint8Array(5000)).subarray(0, 1500))
  assert.equal(reader.next(), undefined)
  reader.push(new Uint8Array(1000))
  assert.throws(
    () => reader.next(),
    (error) => isWeirError(error, 'FRAME_NO_MEMORY') && error.retryable,
  )
  assert.ok(purse.peak <= 2000)
  reader[Symbol.dispose]()
  assert.equal(purse.held, 0)
})

test('an account pays for unfinished frames as it is', () => {
  const frames = term({
    name: 'test.frames',
    why: 'unfinished frames',
    arena: 'buffers',
    payloadBytesMax: 1500,
  })
  const ledger = new Ledger(planMemory([frames], { limitBytes: 1 << 20 }), { assertLeaks: true })
  const account = ledger.require(frames)
  const reader = new FrameReader({ frameBytesMax: 10_000, charge: account })
  reader.push(encodeFrame(new Uint8Array(5000)).subarray(0, 1000))
  assert.equal(reader.next(), undefined)
  assert.equal(account.bytes, reader.heldBytes)
  reader.push(new Uint8Array(1000))
  assert.throws(() => reader.next(), { code: 'FRAME_NO_MEMORY' })
  reader[Symbol.dispose]()
  account[Symbol.dispose]()
  ledger.assertEmpty()
})

test('a frame that fits into one chunk is not copied', () => {
  const purse = new Purse(0)
  const reader = new FrameReader({ frameBytesMax: 10, charge: purse })
  const chunk = encodeFrame(Uint8Array.of(1, 2, 3))
  reader.push(chunk)
  assert.equal(reader.next()?.buffer, chunk.buffer)
})

test('the writer keeps to the cap of the reader', () => {
  const writer = new FrameWriter({ frameBytesMax: 3 })
  assert.deepEqual(writer.frame(Uint8Array.of(1, 2, 3)), Uint8Array.of(0, 0, 0, 3, 1, 2, 3))
  assert.throws(() => writer.frame(new Uint8Array(4)), { code: 'ENCODE_LIMIT' })
})
