import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatPosition, isAfter, parsePosition } from './position.ts'

const REPLICA = Object.freeze({ owner: 'zone-b', namespace: 'default', name: 'w' })
const POSITION = Object.freeze({ incarnation: 1_732_861_234_567, seq: 42 })

test('a position comes back as it was written', () => {
  const number = fc.maxSafeNat()
  fc.assert(
    fc.property(number, number, (incarnation, seq) => {
      const position = { incarnation, seq }
      assert.deepEqual(parsePosition(REPLICA, formatPosition(REPLICA, position)), position)
    }),
  )
})

test('one that was edited, or is of another object or owner, counts as none', () => {
  const text = formatPosition(REPLICA, POSITION)
  for (const edited of [
    text.replace('.42.', '.43.'),
    text.replace('1732861234567', '1732861234568'),
    `${text}0`,
    ` ${text}`,
    text.slice(0, -1),
    text.toUpperCase().replace(/[A-F]/, 'g'),
    '',
    '1.2',
    '99999999999999999.1.00000000',
  ]) {
    assert.equal(parsePosition(REPLICA, edited), undefined, edited)
  }
  for (const other of [{ owner: 'zone-c' }, { namespace: 'kube-system' }, { name: 'w2' }]) {
    assert.equal(parsePosition({ ...REPLICA, ...other }, text), undefined)
  }
})

test('a number that is not exact is none, whatever its check says', () => {
  const inexact = { incarnation: 1, seq: 2 ** 53 }
  assert.equal(parsePosition(REPLICA, formatPosition(REPLICA, inexact)), undefined)
})

test('a later life is after all of an earlier one', () => {
  const at = (incarnation: number, seq: number) => ({ incarnation, seq })
  assert.equal(isAfter(at(2, 0), at(1, 9)), true)
  assert.equal(isAfter(at(1, 9), at(2, 0)), false)
  assert.equal(isAfter(at(1, 9), at(1, 8)), true)
  assert.equal(isAfter(at(1, 9), at(1, 9)), false)
})
