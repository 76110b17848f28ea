import assert from 'node:assert/strict'
import test from 'node:test'
import { AssertionError, assert as claim, describeError, isWeirError, WeirError } from './index.ts'

test('a WeirError carries code, cause, limit and whether to retry', () => {
  const limit = { scope: 'store.operations', limit: 8, used: 8, wanted: 1 }
  const cause = new Error('inner')
  const error = new WeirError('LIMIT', 'full', { cause, limit, retryable: true })
  assert.ok(error instanceof Error)
  assert.equal(error.name, 'WeirError')
  assert.equal(error.code, 'LIMIT')
  assert.equal(error.cause, cause)
  assert.deepEqual(error.limit, limit)
  assert.equal(error.retryable, true)
  const plain = new WeirError('CLOSED', 'gone')
  assert.equal(plain.retryable, false)
  assert.equal(plain.limit, undefined)
  assert.equal('cause' in plain, false)
})

test('isWeirError looks at the class and at the code', () => {
  const error = new WeirError('CLOSED', 'gone')
  assert.ok(isWeirError(error))
  assert.ok(isWeirError(error, 'CLOSED'))
  assert.equal(isWeirError(error, 'LIMIT'), false)
  assert.equal(isWeirError({ code: 'CLOSED' }), false)
})

test('assert throws its own class, so that nobody takes a bug for an answer', () => {
  claim(true, 'fine')
  assert.throws(() => claim(0, 'broken'), AssertionError)
  assert.equal(isWeirError(new AssertionError('x')), false)
})

test('describeError writes codes and causes on one line', () => {
  const system = Object.assign(new Error('listen failed'), { code: 'EADDRINUSE' })
  const error = new WeirError('PORT_TAKEN', 'port 9102 is taken; choose another', { cause: system })
  assert.equal(
    describeError(error),
    'PORT_TAKEN: port 9102 is taken; choose another <- EADDRINUSE listen failed',
  )
  const repeated = Object.assign(new Error('ENOENT: no file'), { code: 'ENOENT' })
  assert.equal(describeError(repeated), 'ENOENT: no file')
  assert.equal(describeError('a string'), 'a string')
})

test('describeError ends for a cause that goes in a circle', () => {
  const error = new Error('round')
  error.cause = error
  assert.equal(describeError(error).split(' <- ').length, 5)
})
