import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isWeirError, seededRandom } from '../runtime/index.ts'
import { PostcardReader, PostcardWriter, toHex, varintLength } from './index.ts'

const u64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.integer({ min: 0, max: 70 }).map((bit) => (1n << BigInt(bit)) % 2n ** 64n),
)

test('integers come back as they were, in their shortest form', () => {
  fc.assert(
    fc.property(u64, (value) => {
      const bytes = new PostcardWriter().u64(value).finish()
      const bits = value.toString(2).length
      assert.equal(bytes.length, Math.max(1, Math.ceil(bits / 7)))
      const back = new PostcardReader(bytes).u64()
      assert.equal(BigInt(back), value)
      assert.equal(typeof back, value <= 2n ** 53n - 1n ? 'number' : 'bigint')
      if (typeof back === 'number') {
        assert.deepEqual(new PostcardWriter().u64(back).finish(), bytes)
        assert.equal(varintLength(back), bytes.length)
      }
    }),
  )
  assert.equal(toHex(new PostcardWriter().u16(300).finish()), 'ac02')
})

test('a message of every shape comes back', () => {
  const shape = fc.record(
    {
      small: fc.integer({ min: 0, max: 255 }),
      word: fc.integer({ min: 0, max: 65_535 }),
      flag: fc.boolean(),
      blob: fc.uint8Array({ maxLength: 300 }),
      name: fc.string({ unit: 'binary', maxLength: 60 }),
      maybe: fc.option(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { nil: undefined }),
      list: fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 20 }),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(shape, (sent) => {
      const writer = new PostcardWriter({ sizeHint: 1 })
      writer.u8(sent.small).u16(sent.word).bool(sent.flag).lengthBytes(sent.blob).text(sent.name)
      writer.option(sent.maybe, (value) => writer.u32(value)).variant(sent.list.length)
      for (const item of sent.list) writer.u32(item)
      const reader = new PostcardReader(writer.finish())
      const got = {
        small: reader.u8(),
        word: reader.u16(),
        flag: reader.bool(),
        blob: reader.lengthBytes(300),
        name: reader.text(300),
        maybe: reader.option((inner) => inner.u32()),
        list: Array.from({ length: reader.count(20) }, () => reader.u32()),
      }
      reader.finish()
      assert.deepEqual(got, sent)
    }),
  )
})

test('random bytes end in a value or in a code of the decoder', () => {
  const random = seededRandom(3)
  for (let count = 0; count < 20_000; count++) {
    const bytes = random.bytes(random.below(24))
    const reader = new PostcardReader(bytes)
    try {
      const value = reader.option((inner) => inner.u64())
      const writer = new PostcardWriter()
      writer.option(value, (some) => writer.u64(some))
      const blob = reader.lengthBytes(16)
      assert.deepEqual(writer.lengthBytes(blob).finish(), bytes.slice(0, reader.offset))
    } catch (error) {
      assert.ok(isWeirError(error), String(error))
      assert.match(error.code, /^DECODE_/)
    }
  }
})

test('a count is refused when the rest cannot hold it', () => {
  const bytes = new PostcardWriter().variant(3).raw(new Uint8Array(101)).finish()
  assert.equal(new PostcardReader(bytes).count(10, 33), 3)
  assert.throws(() => new PostcardReader(bytes).count(10, 34), { code: 'DECODE_TRUNCATED' })
  assert.throws(() => new PostcardReader(bytes).count(2, 33), { code: 'DECODE_LIMIT' })
})

test('bytes are copied, and views are views', () => {
  const bytes = new PostcardWriter().lengthBytes(Uint8Array.of(1, 2, 3)).finish()
  assert.notEqual(new PostcardReader(bytes).lengthBytes(3).buffer, bytes.buffer)
  assert.equal(new PostcardReader(bytes).lengthBytesView(3).buffer, bytes.buffer)
})

test('a reader of a part does not see what is behind it', () => {
  const bytes = Uint8Array.of(0xff, 5, 0x80, 1)
  const reader = new PostcardReader(bytes, 1, 3)
  assert.equal(reader.u32(), 5)
  assert.throws(() => reader.u32(), { code: 'DECODE_TRUNCATED' })
  const empty = new PostcardReader(bytes, 1, 1)
  assert.throws(() => empty.u8(), { code: 'DECODE_TRUNCATED' })
  assert.throws(() => empty.u16(), { code: 'DECODE_TRUNCATED' })
  assert.throws(() => empty.fixedBytes(1), { code: 'DECODE_TRUNCATED' })
})
