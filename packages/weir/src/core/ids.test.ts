import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareBytes, equalBytes } from '../codec/index.ts'
import { idHex, idKey, isKeyOf, keyBytes, nodeIdFromHex, shortId, topicId } from './index.ts'

const id = fc.uint8Array({ minLength: 32, maxLength: 32 })

test('a map key stands for exactly one id, and orders as ids do', () => {
  fc.assert(
    fc.property(id, id, (left, right) => {
      assert.deepEqual(keyBytes(idKey(left)), left)
      assert.equal(idKey(left).length, 32)
      assert.equal(idKey(left) === idKey(right), equalBytes(left, right))
      assert.equal(isKeyOf(idKey(left), right), equalBytes(left, right))
      assert.equal(isKeyOf(idKey(left), left.slice()), true)
      assert.equal(isKeyOf(idKey(left), left.subarray(1)), false)
      const order = idKey(left) < idKey(right) ? -1 : 1
      if (!equalBytes(left, right)) assert.equal(Math.sign(compareBytes(left, right)), order)
    }),
  )
})

test('hex is read strictly', () => {
  const hex = 'ab'.repeat(32)
  assert.equal(idHex(nodeIdFromHex(hex)), hex)
  assert.equal(idHex(nodeIdFromHex(hex.toUpperCase())), hex)
  assert.equal(shortId(nodeIdFromHex(hex)), 'ababababab')
  for (const bad of ['', hex.slice(2), `${hex}ab`, `${hex.slice(1)}g`, ` ${hex.slice(1)}`]) {
    assert.throws(() => nodeIdFromHex(bad), { code: 'DECODE_MALFORMED' })
  }
})

test('an id has 32 bytes', () => {
  assert.throws(() => topicId(new Uint8Array(31)), { code: 'DECODE_MALFORMED' })
})
