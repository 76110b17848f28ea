import assert from 'node:assert/strict'
import test from 'node:test'
import { Rtt } from './rtt.ts'

test('before a sample a probe is due after 3 times 333 ms', () => {
  assert.equal(new Rtt().probeUs, 999_000)
})

test('the first sample is taken as it is', () => {
  const rtt = new Rtt()
  rtt.sample(40_000, 20_000)
  assert.equal(rtt.smoothed, 40_000)
  assert.equal(rtt.variation, 20_000)
  assert.equal(rtt.minimum, 40_000)
  assert.equal(rtt.probeUs, 120_000)
})

test('later ones are smoothed, without the delay of the peer unless that is below the least', () => {
  const rtt = new Rtt()
  rtt.sample(40_000, 0)
  rtt.sample(56_000, 8_000)
  // adjusted 48 ms
  assert.equal(rtt.smoothed, (7 * 40_000 + 48_000) / 8)
  assert.equal(rtt.variation, (3 * 20_000 + 8_000) / 4)
  const before = rtt.smoothed
  rtt.sample(41_000, 8_000)
  assert.equal(rtt.smoothed, (7 * before + 41_000) / 8, 'a delay that cannot be true is left out')
})

test('the least is measured anew when it was forgotten', () => {
  const rtt = new Rtt()
  rtt.sample(10_000, 0)
  rtt.sample(50_000, 0)
  assert.equal(rtt.minimum, 10_000)
  rtt.forgetMinimum()
  rtt.sample(50_000, 0)
  assert.equal(rtt.minimum, 50_000)
})

test('no timer is finer than a millisecond', () => {
  const rtt = new Rtt()
  for (let each = 0; each < 100; each++) rtt.sample(50, 0)
  assert.equal(rtt.lossDelayUs, 1_000)
  assert.ok(rtt.probeUs >= 1_050)
})
