import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { Heartbeats, ManualClock } from '../runtime/index.ts'
import { Health, observeLimits, observeTerms } from './index.ts'

const terms = observeTerms(observeLimits({ problemsMax: 2 }))

test('a part that is silent beyond its deadline fails the readiness by name, is counted and logged once', async () => {
  const clock = new ManualClock()
  await withLedger(
    [terms.problems],
    (ledger, scope, { lines, counters }) => {
      const heartbeats = new Heartbeats(clock)
      const health = new Health({ scope, ledger, terms, heartbeats })
      const beat = heartbeats.register('apply', { deadlineMs: 5_000 })
      for (let second = 0; second < 8; second++) clock.advance(1_000)
      assert.deepEqual(
        health.problems().map(({ part }) => part),
        ['apply'],
      )
      assert.match(health.problems()[0]!.reason, /silent for 8000 ms/)
      assert.equal(counters.value('part_problems_total'), 1)
      assert.equal(lines.filter((line) => line['part'] === 'apply').length, 1)
      beat.beat()
      clock.advance(1_000)
      assert.ok(health.ready)
      assert.equal(lines.at(-1)!.message, 'a part is well again')
      assert.equal(ledger.row(terms.problems).entries, 0)
    },
    { clock },
  )
})

test('a part that stopped fails the readiness at once; one that waits for work does not', async () => {
  const clock = new ManualClock()
  await withLedger(
    [terms.problems],
    (ledger, scope) => {
      const heartbeats = new Heartbeats(clock)
      const health = new Health({ scope, ledger, terms, heartbeats })
      using watch = heartbeats.register('watch', { deadlineMs: 5_000 })
      using idle = heartbeats.register('queue', { deadlineMs: 5_000 })
      idle.idle()
      watch.stop('the task ended')
      assert.deepEqual(health.problems(), [{ part: 'watch', reason: 'stopped: the task ended' }])
    },
    { clock },
  )
})

test('a condition that does not hold, or throws, is a problem of its name', async () => {
  const clock = new ManualClock()
  await withLedger(
    [terms.problems],
    (ledger, scope) => {
      let synced = false
      const conditions = {
        peers: () => (synced ? undefined : 'none synced'),
        broken: () => {
          throw new Error('oh')
        },
      }
      const heartbeats = new Heartbeats(clock)
      const health = new Health({ scope, ledger, terms, heartbeats, conditions })
      assert.deepEqual(health.problems(), [
        { part: 'peers', reason: 'none synced' },
        { part: 'broken', reason: 'the check failed: oh' },
      ])
      synced = true
      assert.equal(health.problems().length, 1)
    },
    { clock },
  )
})

test('an event loop that stood still fails the readiness for a while, with a counter and a line', async () => {
  const clock = new ManualClock()
  await withLedger(
    [terms.problems],
    (ledger, scope, { counters, lines }) => {
      const heartbeats = new Heartbeats(clock)
      const health = new Health({ scope, ledger, terms, heartbeats })
      clock.advance(500)
      standStill(clock, 3_000)
      const [problem] = health.problems()
      assert.equal(problem?.part, 'event-loop')
      assert.match(problem.reason, /stood still for \d+ ms/)
      assert.equal(counters.value('event_loop_stalls_total'), 1)
      assert.ok(lines.some((line) => line.message === 'the event loop stood still'))
      for (let half = 0; half < 24; half++) clock.advance(500)
      assert.ok(health.ready)
      assert.equal(counters.value('event_loop_stalls_total'), 1)
    },
    { clock },
  )
})

test('observe.problems: more parts with problems than the cap still fail the readiness', async () => {
  const clock = new ManualClock()
  await withLedger(
    [terms.problems],
    (ledger, scope) => {
      const heartbeats = new Heartbeats(clock)
      const health = new Health({ scope, ledger, terms, heartbeats })
      for (const name of ['a', 'b', 'c']) heartbeats.register(name, { deadlineMs: 1 }).stop('test')
      clock.advance(1_000)
      assert.equal(health.problems().length, 3)
      assert.equal(ledger.row(terms.problems).entries, 2)
      assert.ok(ledger.row(terms.problems).refused.cap >= 1)
    },
    { clock },
  )
})

/** From now on time is later than what the timers know: a loop that was blocked looks like this. */
function standStill(clock: ManualClock, ms: number): void {
  const now = clock.now
  const skipped = ms * 1_000
  clock.now = function (this: ManualClock) {
    return (now.call(this) + skipped) as ReturnType<typeof now>
  }
}

test('parts beyond the cap are told once, too: the one that fits after another is well', async () => {
  const clock = new ManualClock()
  await withLedger(
    [terms.problems],
    (ledger, scope, { lines, counters }) => {
      const heartbeats = new Heartbeats(clock)
      const health = new Health({ scope, ledger, terms, heartbeats })
      const parts = ['a', 'b', 'c'].map((name) => heartbeats.register(name, { deadlineMs: 5_000 }))
      for (const part of parts) part.stop('ended')
      for (let second = 0; second < 8; second++) clock.advance(1_000)
      const told = () => lines.filter((line) => line['reason'] === 'stopped: ended').length
      assert.equal(told(), 2)
      assert.equal(counters.value('part_problems_total'), 2)
      assert.equal(health.problems().length, 3)
      parts[2]![Symbol.dispose]()
      clock.advance(1_000)
      assert.equal(told(), 3)
    },
    { clock },
  )
})
