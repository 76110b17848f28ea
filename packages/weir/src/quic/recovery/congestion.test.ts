import assert from 'node:assert/strict'
import test from 'node:test'
import { initialWindow, NewReno } from './congestion.ts'

const MSS = 1_200

test('the first window is ten datagrams, within 14720 bytes or two (RFC 9002 section 7.2)', () => {
  assert.equal(initialWindow(1_200), 12_000)
  assert.equal(initialWindow(1_500), 14_720)
  assert.equal(initialWindow(9_000), 18_000)
})

test('NewReno doubles in slow start, then adds a datagram for each window', () => {
  const reno = new NewReno(MSS, 1 << 20)
  reno.acked(12_000, 0, 0, true)
  assert.equal(reno.window, 24_000)
  reno.lost(5, 10)
  assert.equal(reno.window, 12_000)
  assert.equal(reno.slowStart, false)
  for (let each = 0; each < 10; each++) reno.acked(MSS, 20, 0, true)
  assert.ok(Math.abs(reno.window - 13_200) < 100)
  reno.acked(12_000, 20, 0, false)
  assert.ok(reno.window < 13_300, 'a window that was not used does not grow')
})

test('one reduction for all that was lost of one flight', () => {
  const reno = new NewReno(MSS, 1 << 20)
  reno.lost(100, 200)
  reno.lost(150, 210)
  assert.equal(reno.window, 6_000)
  reno.lost(201, 300)
  assert.equal(reno.window, 3_000)
  reno.lost(301, 400)
  reno.lost(401, 500)
  assert.equal(reno.window, 2 * MSS, 'never below two datagrams')
})

test('persistent congestion falls to two datagrams, and the cap holds', () => {
  const reno = new NewReno(MSS, 30_000)
  for (let each = 0; each < 100; each++) reno.acked(12_000, 0, 0, true)
  assert.equal(reno.window, 30_000)
  reno.lost(1, 2)
  reno.persistent()
  assert.equal(reno.window, 2 * MSS)
  assert.ok(reno.slowStart)
  reno.resize(9_000)
  assert.equal(reno.window, 18_000, 'two datagrams of any size fit')
  reno.resize(MSS)
  reno.reset()
  assert.equal(reno.window, 12_000)
})
