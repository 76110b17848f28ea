import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import test from 'node:test'
import {
  abortable,
  abortError,
  isWeirError,
  ManualClock,
  onAbort,
  throwIfAborted,
  WeirError,
  withTimeout,
} from './index.ts'

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

test('throwIfAborted throws only for an aborted signal', () => {
  const controller = new AbortController()
  throwIfAborted(undefined)
  throwIfAborted(controller.signal)
  controller.abort()
  assert.throws(() => throwIfAborted(controller.signal), { code: 'CLOSED' })
})

test('abortError passes an own reason on and wraps a foreign one', () => {
  const own = new AbortController()
  const reason = new WeirError('TIMEOUT', 'too late')
  own.abort(reason)
  assert.equal(abortError(own.signal), reason)
  const foreign = new AbortController()
  foreign.abort('because')
  const wrapped = abortError(foreign.signal)
  assert.ok(isWeirError(wrapped, 'CLOSED'))
  assert.equal(wrapped.cause, 'because')
})

test('onAbort calls once, and not after it was disposed', () => {
  const controller = new AbortController()
  let calls = 0
  onAbort(controller.signal, () => calls++)
  const left = onAbort(controller.signal, () => assert.fail('was disposed'))
  assert.equal(listeners(controller.signal), 2)
  left[Symbol.dispose]()
  assert.equal(listeners(controller.signal), 1)
  controller.abort()
  assert.equal(calls, 1)
  assert.equal(listeners(controller.signal), 0)
  onAbort(controller.signal, () => calls++)
  assert.equal(calls, 2, 'an aborted signal calls at once')
  onAbort(undefined, () => assert.fail())[Symbol.dispose]()
})

test('onAbort keeps two uses of one function apart', () => {
  const controller = new AbortController()
  let calls = 0
  const count = () => calls++
  const first = onAbort(controller.signal, count)
  onAbort(controller.signal, count)
  first[Symbol.dispose]()
  controller.abort()
  assert.equal(calls, 1)
})

test('abortable settles as its promise does and leaves no listener', async () => {
  const { signal } = new AbortController()
  assert.equal(await abortable(Promise.resolve(1), signal), 1)
  assert.equal(await abortable(Promise.resolve(2), undefined), 2)
  await assert.rejects(abortable(Promise.reject(new Error('no')), signal), /no/)
  assert.equal(listeners(signal), 0)
})

test('abortable rejects on abort, before and during the wait, and leaves no listener', async () => {
  const controller = new AbortController()
  const never = new Promise<never>(() => {})
  const waiting = abortable(never, controller.signal)
  assert.equal(listeners(controller.signal), 1)
  controller.abort()
  await assert.rejects(waiting, { code: 'CLOSED' })
  await assert.rejects(abortable(never, controller.signal), { code: 'CLOSED' })
  assert.equal(listeners(controller.signal), 0)
})

test('abortable swallows the rejection of a promise that was given up', async () => {
  const controller = new AbortController()
  let fail = (_error: Error) => {}
  const late = new Promise<never>((_, reject) => {
    fail = reject
  })
  const waiting = abortable(late, controller.signal)
  controller.abort()
  await assert.rejects(waiting, { code: 'CLOSED' })
  fail(new Error('too late to matter')) // an unhandled rejection would fail this file
  await new Promise(setImmediate)
})

test('withTimeout names what was late, is retryable, and leaves no timer in any outcome', async () => {
  const clock = new ManualClock()
  assert.equal(await withTimeout(Promise.resolve(1), 10, 'dial', clock), 1)
  assert.equal(clock.timers, 0)
  await assert.rejects(withTimeout(Promise.reject(new Error('no')), 10, 'dial', clock), /no/)
  assert.equal(clock.timers, 0)
  const late = withTimeout(new Promise(() => {}), 10, 'dial', clock)
  assert.equal(clock.timers, 1)
  clock.advance(10)
  await assert.rejects(late, { code: 'TIMEOUT', retryable: true, message: /^dial .* 10 ms/ })
  assert.equal(clock.timers, 0)
})
