import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { Heartbeats, ManualClock } from '../runtime/index.ts'
import { Health, observeLimits, observeTerms, statusText } from './index.ts'

const terms = observeTerms(observeLimits())

test('the status has plan, pressure, ledger, problems, counters and the sections that were passed in', async () => {
  const clock = new ManualClock()
  await withLedger(
    [terms.problems],
    (ledger, scope, { counters }) => {
      const heartbeats = new Heartbeats(clock)
      const health = new Health({ scope, ledger, terms, heartbeats })
      counters.counter('seen_total', 'h').add(3)
      const sections = {
        peers: () => [{ id: new Uint8Array([1, 255]), seq: 2n ** 60n }],
        broken: () => {
          throw new Error('no peers yet')
        },
        huge: () => 'x'.repeat(100_000),
        nothing: () => undefined,
      }
      const text = statusText({ ledger, counters, health, sections }, 20_000)
      const status = JSON.parse(text)
      assert.equal(status.ready, true)
      assert.equal(status.counters.seen_total, 3)
      assert.deepEqual(status.peers, [{ id: '01ff', seq: String(2n ** 60n) }])
      assert.match(status.broken.error, /no peers yet/)
      assert.match(status.huge.error, /too long/)
      assert.equal(status.nothing, null)
      assert.equal(status.pressure.level, 0)
      const row = status.ledger.terms.find(
        (each: { term: string }) => each.term === terms.problems.name,
      )
      assert.equal(row.plannedBytes, ledger.row(terms.problems).plannedBytes)
      assert.equal(status.plan.limitBytes, ledger.plan.limitBytes)
    },
    { clock },
  )
})

test('the status never exceeds its length, however many sections there are', async () => {
  const clock = new ManualClock()
  await withLedger(
    [terms.problems],
    (ledger, scope, { counters }) => {
      const health = new Health({ scope, ledger, terms, heartbeats: new Heartbeats(clock) })
      const sections = Object.fromEntries(
        Array.from({ length: 20 }, (_, at) => [`section${at}`, () => 'y'.repeat(900)]),
      )
      const text = statusText({ ledger, counters, health, sections }, 10_000)
      assert.ok(text.length <= 10_000, `${text.length}`)
      assert.equal(Object.keys(JSON.parse(text)).length, 26)
    },
    { clock },
  )
})
