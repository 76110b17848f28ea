import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { addMs, instant, ManualClock, msBetween, NEVER, systemClock } from './index.ts'

test('instants count microseconds', () => {
  assert.equal(addMs(instant(5), 2), 2005)
  assert.equal(msBetween(instant(1_000), instant(4_500)), 3.5)
  assert.ok(instant(Number.MAX_SAFE_INTEGER) < NEVER)
})

test('the system clock does not go back and fires', async () => {
  const before = systemClock.now()
  await new Promise<void>((resolve) => systemClock.start(1, resolve))
  assert.ok(systemClock.now() >= before)
  assert.ok(systemClock.wallMs() > 1_700_000_000_000)
})

test('the system clock waits for a month, neither firing at once nor early', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const month = 31 * 24 * 3_600_000
  let fired = 0
  systemClock.start(month, () => fired++)
  const cancelled = systemClock.start(month, () => assert.fail('was cancelled'))
  systemClock.start(Number.POSITIVE_INFINITY, () => assert.fail('never means never'))
  systemClock.start(-5, () => fired++)
  context.mock.timers.tick(1)
  assert.equal(fired, 1, 'a negative delay fires on the next turn')
  context.mock.timers.tick(2 ** 31 - 1)
  assert.equal(fired, 1)
  cancelled.cancel() // in its second step
  context.mock.timers.tick(month - (2 ** 31 - 1))
  assert.equal(fired, 2)
  cancelled.cancel()
})

test('a manual clock fires in order of time, then of start, as a sorted list would', () => {
  const delay = fc.integer({ min: 0, max: 20 })
  fc.assert(
    fc.property(fc.array(fc.tuple(delay, fc.boolean())), delay, (timers, advance) => {
      const clock = new ManualClock()
      const fired: number[] = []
      const started = timers.map(([at], index) => clock.start(at, () => fired.push(index)))
      for (const [index, [, cancel]] of timers.entries()) if (cancel) started[index]!.cancel()
      const kept = timers.map(([at, cancel], index) => ({ at, cancel, index }))
      const waiting = kept.filter(({ cancel }) => !cancel)
      assert.equal(clock.timers, waiting.length)
      clock.advance(advance)
      const due = waiting.filter(({ at }) => at <= advance).sort((a, b) => a.at - b.at)
      assert.deepEqual(
        fired,
        due.map(({ index }) => index),
      )
      assert.equal(clock.timers, waiting.length - due.length)
      assert.equal(clock.now(), advance * 1000)
    }),
  )
})

test('a manual clock fires what is started while it moves, at its own time', () => {
  const clock = new ManualClock({ wallMs: 5_000 })
  const at: number[] = []
  const again = () => {
    at.push(clock.now() / 1000)
    if (at.length < 3) clock.start(10, again)
  }
  clock.start(10, again)
  clock.advance(25)
  assert.deepEqual(at, [10, 20])
  assert.equal(clock.wallMs(), 5_025)
  clock.advance(5)
  assert.deepEqual(at, [10, 20, 30])
})

test('a manual clock drops a timer that another one cancels in the same instant', () => {
  const clock = new ManualClock()
  clock.start(1, () => second.cancel())
  const second = clock.start(1, () => assert.fail('was cancelled'))
  clock.advance(1)
  second.cancel()
  assert.equal(clock.timers, 0)
})

test('advanceAsync lets promise reactions run between its steps', async () => {
  const clock = new ManualClock()
  const at: number[] = []
  const sleep = (ms: number) => new Promise<void>((resolve) => clock.start(ms, resolve))
  const run = async () => {
    for (let round = 0; round < 3; round++) {
      await sleep(10)
      at.push(clock.now() / 1000)
    }
  }
  const done = run()
  await clock.advanceAsync(35, 5)
  await done
  assert.deepEqual(at, [10, 20, 30])
})
