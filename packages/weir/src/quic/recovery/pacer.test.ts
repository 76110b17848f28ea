import assert from 'node:assert/strict'
import test from 'node:test'
import { Pacer } from './pacer.ts'

const MSS = 1_200

/** Sends as often as the pacer allows at this time. */
function burst(pacer: Pacer, now: number, window: number, rttUs: number): number {
  let count = 0
  while (pacer.delay(now, window, rttUs) === 0 && count < 10_000) {
    pacer.sent(MSS)
    count++
  }
  return count
}

test('ten datagrams go at once, and then 5/4 of the window in each round trip', () => {
  const pacer = new Pacer(MSS)
  const window = 40 * MSS
  const rttUs = 100_000
  assert.equal(burst(pacer, 0, window, rttUs), 10)
  let sent = 0
  for (let now = 0; now <= rttUs; now += 1_000) sent += burst(pacer, now, window, rttUs)
  assert.ok(Math.abs(sent - 50) <= 1, `${sent} datagrams`)
})

test('the delay is how long it takes to save up for one, and no less than a timer is good for', () => {
  const pacer = new Pacer(MSS)
  burst(pacer, 0, 10 * MSS, 100_000)
  assert.equal(pacer.delay(0, 10 * MSS, 100_000), 8_000)
  assert.equal(pacer.delay(0, 1_000 * MSS, 100_000), 1_000)
})

test('an idle sender saves up no more than a burst', () => {
  const pacer = new Pacer(MSS)
  const window = 40 * MSS
  burst(pacer, 0, window, 100_000)
  pacer.delay(1_000_000, window, 100_000)
  burst(pacer, 1_000_000, window, 100_000)
  pacer.delay(5_000_000, window, 100_000)
  assert.ok(burst(pacer, 5_000_000, window, 100_000) <= 10)
})

test('a program that was late for its turn makes up for it, up to 20 ms', () => {
  const window = 1_000 * MSS
  const late = (us: number) => {
    const pacer = new Pacer(MSS)
    burst(pacer, 0, window, 100_000)
    return burst(pacer, us, window, 100_000)
  }
  assert.ok(Math.abs(late(15_000) - 187) <= 2, `${late(15_000)} datagrams`)
  assert.ok(Math.abs(late(2_000_000) - 250) <= 2, `${late(2_000_000)} datagrams`)
})
