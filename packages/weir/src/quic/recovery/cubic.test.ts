import assert from 'node:assert/strict'
import test from 'node:test'
import { CUBIC_BETA, CUBIC_C, Cubic, cubicK, cubicWindow } from './cubic.ts'

const MSS = 1_200
const RTT_US = 100_000
const MAX = 1 << 26

/** Grows to at least `segments` and loses once. @returns the window before the loss. */
function afterLoss(cubic: Cubic, segments: number, now: number): number {
  while (cubic.window < segments * MSS) cubic.acked(MSS, now, RTT_US, true)
  const before = cubic.window
  cubic.lost(now + 1, now + 1)
  return before
}

/** One round trip in which all of the window is acknowledged. */
function round(cubic: Cubic, now: number, limited = true): void {
  const packets = Math.floor(cubic.window / MSS)
  for (let each = 1; each <= packets; each++) {
    cubic.acked(MSS, now + (each * RTT_US) / packets, RTT_US, limited)
  }
}

test('K and W_cubic of RFC 9438 section 4.2', () => {
  // W_max = 100, beta = 0.7: K = cbrt(30 / 0.4).
  assert.ok(Math.abs(cubicK(100, 70) - 4.217163326508746) < 1e-9)
  assert.equal(
    cubicWindow(0, cubicK(100, 70), 100).toFixed(6),
    '70.000000',
    'beta W_max at the start',
  )
  assert.equal(cubicWindow(cubicK(100, 70), cubicK(100, 70), 100), 100, 'W_max after K')
  assert.equal(cubicWindow(6, 4, 100), CUBIC_C * 8 + 100)
  assert.equal(cubicK(50, 50), 0)
})

test('in slow start the window grows by what arrives', () => {
  const cubic = new Cubic(MSS, MAX)
  assert.equal(cubic.window, 10 * MSS)
  cubic.acked(3 * MSS, 0, RTT_US, true)
  assert.equal(cubic.window, 13 * MSS)
  cubic.acked(3 * MSS, 0, RTT_US, false)
  assert.equal(cubic.window, 13 * MSS, 'and not when it was not used')
})

test('a loss takes the window to 0.7, once for a round trip', () => {
  const cubic = new Cubic(MSS, MAX)
  const before = afterLoss(cubic, 100, 1_000)
  assert.equal(cubic.window, before * CUBIC_BETA)
  assert.equal(cubic.slowStart, false)
  cubic.lost(1_000, 2_000)
  assert.equal(cubic.window, before * CUBIC_BETA, 'sent before the reduction')
  cubic.lost(1_500, 3_000)
  assert.equal(cubic.window, before * CUBIC_BETA ** 2)
})

test('the window follows the curve: concave to W_max at K, convex after it', () => {
  const cubic = new Cubic(MSS, MAX)
  // So large that the curve is above Reno.
  const before = afterLoss(cubic, 2_000, 0)
  const k = cubicK(before / MSS, cubic.window / MSS)
  let now = 1
  cubic.acked(1, now, RTT_US, true)
  const start = now
  while (now - start < (k + 3) * 1e6) {
    round(cubic, now)
    now += RTT_US
    const seconds = (now - start) / 1e6
    const expected = cubicWindow(seconds, k, before / MSS)
    const found = cubic.window / MSS
    assert.ok(Math.abs(found - expected) / expected < 0.02, `${seconds} s: ${found}, ${expected}`)
  }
  assert.ok(cubic.window > before)
})

test('in the Reno-friendly region it is as fast as Reno with the same average', () => {
  const cubic = new Cubic(MSS, MAX)
  const before = afterLoss(cubic, 20, 0)
  const alpha = (3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA)
  const shortUs = 5_000
  let estimate = cubic.window
  let now = 10
  const packets = () => Math.floor(cubic.window / MSS)
  for (let rounds = 0; rounds < 30; rounds++) {
    const count = packets()
    for (let each = 0; each < count; each++) {
      const by = estimate < before ? alpha : 1
      estimate += (by * MSS * MSS) / cubic.window
      cubic.acked(MSS, now, shortUs, true)
    }
    now += shortUs
    assert.ok(Math.abs(cubic.window - estimate) < MSS / 2, `${cubic.window} is not ${estimate}`)
  }
  assert.ok(cubic.window > before, 'alpha is 1 above the window before')
})

test('fast convergence: who loses before it was back gives room', () => {
  const cubic = new Cubic(MSS, MAX)
  const first = afterLoss(cubic, 1_000, 0)
  const second = cubic.window
  cubic.lost(10, 20)
  // W_max is now (1 + beta) / 2 of the window before, below it.
  const most = (second * (1 + CUBIC_BETA)) / 2
  assert.ok(most < first)
  const k = cubicK(most / MSS, cubic.window / MSS)
  let now = 100
  const start = now
  cubic.acked(1, now, RTT_US, true)
  while (now - start < k * 1e6) {
    round(cubic, now)
    now += RTT_US
  }
  assert.ok(Math.abs(cubic.window - most) / most < 0.02, `${cubic.window} is not ${most}`)
})

test('the window grows by half at most in a round trip, and never above its cap', () => {
  const cubic = new Cubic(MSS, MAX)
  afterLoss(cubic, 100, 0)
  cubic.acked(MSS, 10, RTT_US, true)
  const before = cubic.window
  round(cubic, 60_000_000)
  assert.ok(cubic.window <= before * 1.5 + MSS * 2)
  const capped = new Cubic(MSS, 40 * MSS)
  for (let each = 0; each < 100; each++) capped.acked(MSS, 0, RTT_US, true)
  assert.equal(capped.window, 40 * MSS)
})

test('time in which the window was not used moves the curve', () => {
  const run = (idleUs: number) => {
    const cubic = new Cubic(MSS, MAX)
    afterLoss(cubic, 1_000, 0)
    let now = 10
    for (let rounds = 0; rounds < 20; rounds++, now += RTT_US) round(cubic, now)
    for (let idle = 0; idle < idleUs; idle += RTT_US, now += RTT_US) round(cubic, now, false)
    for (let rounds = 0; rounds < 20; rounds++, now += RTT_US) round(cubic, now)
    return cubic.window
  }
  assert.ok(Math.abs(run(0) - run(20_000_000)) / run(0) < 0.02)
})

test('persistent congestion leaves two datagrams and slow start up to the last threshold', () => {
  const cubic = new Cubic(MSS, MAX)
  const before = afterLoss(cubic, 100, 0)
  cubic.persistent()
  assert.equal(cubic.window, 2 * MSS)
  assert.ok(cubic.slowStart)
  for (let now = 10; cubic.slowStart; now += 10) cubic.acked(MSS, now, RTT_US, true)
  assert.ok(cubic.window >= before * CUBIC_BETA)
  cubic.persistent()
  cubic.resize(9_000)
  assert.equal(cubic.window, 18_000, 'two datagrams of any size fit')
  cubic.resize(MSS)
  cubic.reset()
  assert.equal(cubic.window, 10 * MSS)
})
