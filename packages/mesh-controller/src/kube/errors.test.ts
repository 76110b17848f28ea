import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorOfBody, errorOfStatus, isKubeError, retryAfterOf, unreachable } from './errors.ts'

const status = (code: number, reason: string, message = 'why') => ({
  kind: 'Status',
  code,
  reason,
  message,
})

test('an answer of the API becomes an error with a stable code', () => {
  const cases: readonly (readonly [number, string, string, boolean])[] = [
    [400, 'BadRequest', 'KUBE_BAD_REQUEST', false],
    [401, 'Unauthorized', 'KUBE_UNAUTHORIZED', true],
    [403, 'Forbidden', 'KUBE_FORBIDDEN', false],
    [404, 'NotFound', 'KUBE_NOT_FOUND', false],
    [405, 'MethodNotAllowed', 'KUBE_METHOD_NOT_ALLOWED', false],
    [409, 'AlreadyExists', 'KUBE_ALREADY_EXISTS', false],
    [409, 'Conflict', 'KUBE_CONFLICT', false],
    [410, 'Expired', 'KUBE_GONE', false],
    [410, 'Gone', 'KUBE_GONE', false],
    [413, 'RequestEntityTooLarge', 'KUBE_TOO_LARGE', false],
    [415, 'UnsupportedMediaType', 'KUBE_UNSUPPORTED', false],
    [422, 'Invalid', 'KUBE_INVALID', false],
    [429, 'TooManyRequests', 'KUBE_TOO_MANY_REQUESTS', true],
    [500, 'InternalError', 'KUBE_SERVER_ERROR', true],
    [503, 'ServiceUnavailable', 'KUBE_UNAVAILABLE', true],
    [504, 'Timeout', 'KUBE_TIMEOUT', true],
  ]
  for (const [code, reason, expected, retryable] of cases) {
    const error = errorOfStatus('GET /x', code, status(code, reason))
    assert.equal(error.code, expected)
    assert.equal(error.retryable, retryable, expected)
    assert.equal(error.status, code)
    assert.equal(error.reason, reason)
    assert.equal(error.message, 'GET /x: why')
    assert.ok(isKubeError(error, expected))
  }
})

test('an answer of a proxy in its own words is told by its HTTP status', () => {
  assert.equal(errorOfBody('GET /x', 502, '<html>bad gateway</html>').code, 'KUBE_SERVER_ERROR')
  assert.equal(errorOfBody('GET /x', 404, '404 page not found').code, 'KUBE_NOT_FOUND')
  assert.equal(errorOfBody('GET /x', 418, '').code, 'KUBE_REFUSED')
})

test('the wait that the server asks for is kept, and capped', () => {
  const details = { ...status(429, 'TooManyRequests'), details: { retryAfterSeconds: 3 } }
  assert.equal(errorOfStatus('x', 429, details).retryAfterMs, 3_000)
  assert.equal(errorOfStatus('x', 429, details, 7_000).retryAfterMs, 7_000)
  assert.equal(retryAfterOf('5'), 5_000)
  assert.equal(retryAfterOf('99999'), 60_000)
  assert.equal(retryAfterOf('Wed, 21 Oct 2015 07:28:00 GMT'), undefined)
  assert.equal(retryAfterOf(undefined), undefined)
})

test('a long message of a server is cut', () => {
  const error = errorOfStatus('x', 400, status(400, 'BadRequest', 'y'.repeat(10_000)))
  assert.ok(error.message.length < 1_100)
})

test('a connection that could not be made is retryable', () => {
  const error = unreachable('GET /x', new Error('ECONNREFUSED'))
  assert.equal(error.code, 'KUBE_UNREACHABLE')
  assert.ok(error.retryable)
  assert.equal(unreachable('y', error), error)
})
