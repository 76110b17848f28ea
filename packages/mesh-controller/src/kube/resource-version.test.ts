import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareResourceVersions } from './resource-version.ts'

test('resource versions are ordered as integers of any length', () => {
  const version = fc.bigInt({ min: 0n, max: 2n ** 70n })
  fc.assert(
    fc.property(version, version, (left, right) => {
      const order = Math.sign(compareResourceVersions(String(left), String(right)))
      assert.equal(order, left < right ? -1 : left > right ? 1 : 0)
    }),
  )
  assert.ok(compareResourceVersions('9007199254740993', '9007199254740992') > 0)
})
