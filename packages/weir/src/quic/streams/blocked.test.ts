import assert from 'node:assert/strict'
import test from 'node:test'
import { Blocked } from './blocked.ts'
import { StreamLimit } from './stream-limit.ts'

test('the peer is told once for each limit, and again when that was lost', () => {
  const blocked = new Blocked()
  assert.equal(blocked.due, false)
  assert.equal(blocked.wait(100), true)
  assert.equal(blocked.tell(), 100)
  assert.equal(blocked.wait(100), false)
  assert.equal(blocked.lost(100), true)
  assert.equal(blocked.tell(), 100)
  blocked.go()
  assert.equal(blocked.lost(100), false, 'we do not wait any more')
  assert.equal(blocked.wait(200), true)
  blocked.go()
  assert.equal(blocked.due, false)
})

test('who wants a stream more than the peer allows says so, and not when our own cap is reached', () => {
  const limit = new StreamLimit(4)
  limit.allowed(2)
  limit.opened()
  limit.opened()
  assert.equal(limit.mayOpen, false)
  limit.wanted()
  assert.equal(limit.blocked.tell(), 2)
  assert.equal(limit.allowed(2), false)
  assert.equal(limit.allowed(8), true)
  limit.opened()
  limit.opened()
  assert.equal(limit.mayOpen, false, 'four of our own are open')
  limit.wanted()
  assert.equal(limit.blocked.due, false)
  assert.equal(limit.ownEnded(), true)
})

test('streams are granted anew in batches, and again when the frame was lost', () => {
  const limit = new StreamLimit(8)
  for (let each = 0; each < 4; each++) limit.foreignOpened++
  limit.foreignEnded()
  assert.equal(limit.grantDue, false)
  limit.foreignEnded()
  assert.equal(limit.grantDue, true)
  assert.equal(limit.advertise(), 10)
  limit.lost()
  assert.equal(limit.advertise(), 10)
})
