import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '../../codec/index.ts'
import { Cursor, varintSize, writeVarint } from './varint.ts'

/** RFC 9000 appendix A.1; the first is beyond what a number holds exactly. */
const VECTORS: readonly (readonly [string, number])[] = Object.freeze([
  ['9d7f3e7d', 494_878_333],
  ['7bbd', 15_293],
  ['25', 37],
])

test('varints of RFC 9000 A.1', () => {
  for (const [hex, value] of VECTORS) {
    const bytes = fromHex(hex)
    assert.equal(new Cursor().reset(bytes).varint(), value)
    const written = new Uint8Array(8)
    const end = writeVarint(written, 0, value)
    assert.deepEqual(written.subarray(0, end), bytes)
  }
  assert.equal(new Cursor().reset(fromHex('4025')).varint(), 37)
  const large = new Cursor().reset(fromHex('c2197c5eff14e88c')).varint()
  assert.equal(large, Number(151_288_809_941_952_652n))
})

test('what is written is read, at every border', () => {
  for (const bits of [6, 14, 30, 53]) {
    for (const value of [2 ** bits - 2, 2 ** bits - 1, bits === 53 ? 0 : 2 ** bits]) {
      const bytes = new Uint8Array(8)
      const end = writeVarint(bytes, 0, value)
      assert.equal(end, varintSize(value))
      const cursor = new Cursor().reset(bytes, 0, end)
      assert.equal(cursor.varint(), value)
      assert.equal(cursor.failed, false)
    }
  }
})

test('a cut varint fails and gives zero', () => {
  for (const hex of ['', '40', '9d7f3e', 'c2197c5eff14e8']) {
    const cursor = new Cursor().reset(fromHex(hex))
    assert.equal(cursor.varint(), 0)
    assert.equal(cursor.failed, true)
  }
  const cursor = new Cursor().reset(new Uint8Array(3))
  cursor.skip(4)
  assert.ok(cursor.failed)
})
