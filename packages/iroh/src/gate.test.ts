import assert from 'node:assert/strict'
import test from 'node:test'
import { isWeirError } from 'weir-mesh/runtime'
import { Gate } from './gate.ts'

test('one more than there are places waits, and the first that came is the first that goes', async () => {
  const gate = new Gate(1)
  await gate.enter(undefined)
  const order: number[] = []
  const waiting = [1, 2].map((each) => gate.enter(undefined).then(() => order.push(each)))
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(order, [])
  gate.release()
  await waiting[0]
  assert.deepEqual(order, [1])
  gate.release()
  await waiting[1]
  gate.release()
  await gate.enter(undefined)
})

test('an aborted wait takes no place', async () => {
  const gate = new Gate(1)
  await gate.enter(undefined)
  const abort = new AbortController()
  const aborted = gate.enter(abort.signal)
  const next = gate.enter(undefined)
  abort.abort()
  await assert.rejects(aborted, (error) => isWeirError(error, 'CLOSED'))
  gate.release()
  await next
})

test('a failed gate lets nobody in and keeps nobody waiting', async () => {
  const gate = new Gate(1)
  await gate.enter(undefined)
  const waiting = gate.enter(undefined)
  gate.fail(new Error('over'))
  await assert.rejects(waiting, /over/)
  await assert.rejects(gate.enter(undefined), /over/)
})
