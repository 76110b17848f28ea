import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import test from 'node:test'
import { BoundedMap, term } from '../src/bounds/index.ts'
import { ManualClock } from '../src/runtime/index.ts'
import {
  assertNoNewHandles,
  collectable,
  failpointSweep,
  instancesOf,
  openHandles,
  theilSen,
  withLedger,
} from './index.ts'

const entries = term({ name: 'test.map', why: 'a test', table: 'map', entriesMax: 4 })

test('withLedger passes when all was closed and hands out ledger, scope and bench', async () => {
  let ran = false
  await withLedger([entries], (ledger, scope, bench) => {
    const map = scope.own('map', new BoundedMap<string, number>(ledger.require(entries)))
    assert.equal(map.set('a', 1), 'ok')
    scope.timer('later', 1_000, () => {})
    scope.log.info('seen')
    assert.equal(bench.lines[0]?.message, 'seen')
    ran = true
  })
  assert.ok(ran)
})

test('withLedger lets a lone term reach its cap instead of the pressure level', async () => {
  await withLedger([entries], (ledger, scope) => {
    const map = scope.own('map', new BoundedMap<number, number>(ledger.require(entries)))
    for (let key = 0; key < 4; key++) assert.equal(map.set(key, key), 'ok')
    assert.equal(map.set(4, 4), 'cap')
    assert.equal(ledger.pressure.level, 0)
  })
})

test('withLedger fails for an account that is still open', async () => {
  await assert.rejects(
    withLedger([entries], (ledger) => void ledger.require(entries)),
    /test\.map: 1 open/,
  )
})

test('withLedger fails for a timer that is left on the clock', async () => {
  const clock = new ManualClock()
  await assert.rejects(
    withLedger([], (_ledger, scope) => void scope.clock.start(1_000, () => {}), { clock }),
    /timers left/,
  )
})

test('withLedger fails for a clean-up that throws, and not when that is expected', async () => {
  const run = (_: unknown, scope: { defer(name: string, close: () => void): unknown }) => {
    scope.defer('bad', () => {
      throw new Error('broken')
    })
  }
  await assert.rejects(withLedger([], run), /cleanup_failures_total.*broken/)
  await withLedger([], run, { failuresExpected: true })
})

test('withLedger rethrows the failure of the test and closes the scope all the same', async () => {
  let closed = false
  const failed = withLedger([], (_ledger, scope) => {
    scope.defer('item', () => {
      closed = true
    })
    throw new Error('the test failed')
  })
  await assert.rejects(failed, /the test failed/)
  assert.ok(closed)
})

test('collectable tells a free object from a held one', async () => {
  let held: object | undefined
  assert.equal(await collectable(() => ({})), true)
  assert.equal(await collectable(() => (held = {})), false)
  assert.ok(held)
})

test('theilSen finds the slope of a line with an outlier and brackets it', () => {
  const points = Array.from({ length: 10 }, (_, x) => ({ x, y: 3 * x + (x % 2) }))
  points[4] = { x: 4, y: 1_000 }
  const trend = theilSen(points)
  assert.ok(Math.abs(trend.slope - 3) < 0.5, `${trend.slope}`)
  assert.ok(trend.lower <= trend.slope && trend.slope <= trend.upper)
  assert.ok(trend.upper < 10 && trend.lower > 0)
})

test('theilSen agrees with the worked figures of Sen for ten ranks', () => {
  // With n = 10 and 95 %, C = 1.96 * sqrt(125) = 21.9; of 45 slopes the 12th and the 34th bound the interval.
  const y = [1, 4, 2, 8, 5, 7, 12, 9, 15, 11]
  const slopes: number[] = []
  for (let a = 0; a < 10; a++)
    for (let b = a + 1; b < 10; b++) slopes.push((y[b]! - y[a]!) / (b - a))
  slopes.sort((a, b) => a - b)
  const trend = theilSen(y.map((value, x) => ({ x, y: value })))
  assert.equal(trend.lower, slopes[11])
  assert.equal(trend.upper, slopes[33])
  assert.equal(trend.slope, slopes[22])
})

test('instancesOf counts what lives', async () => {
  class Thing {}
  const held = [new Thing(), new Thing()]
  const drop = () => void new Thing()
  drop()
  assert.equal(await instancesOf(Thing), 2)
  held.pop()
  assert.equal(await instancesOf(Thing), 1)
  assert.equal(held.length, 1)
})

test('assertNoNewHandles sees a socket that was not closed', async () => {
  const before = openHandles()
  const socket = createSocket('udp4')
  await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound))
  await assert.rejects(assertNoNewHandles(before), /UDP/)
  await new Promise<void>((closed) => socket.close(closed))
  await assertNoNewHandles(before)
})

test('failpointSweep fails each step once, and names the one after which the scenario did not hold', async () => {
  const runs: string[][] = []
  const steps = await failpointSweep(async (failpoint) => {
    const taken: string[] = []
    runs.push(taken)
    for (const step of ['open', 'write', 'close']) {
      taken.push(step)
      failpoint(step)
    }
  })
  assert.equal(steps, 3)
  assert.deepEqual(runs, [
    ['open', 'write', 'close'],
    ['open'],
    ['open', 'write'],
    ['open', 'write', 'close'],
  ])
  const leaky = async (failpoint: (step: string) => void) => {
    try {
      failpoint('open')
      failpoint('write')
    } catch (error) {
      if ((error as { step?: string }).step === 'write') throw new Error('something is left')
      throw error
    }
  }
  await assert.rejects(failpointSweep(leaky), /step 2 \(write\) failing/)
  await assert.rejects(
    failpointSweep(async () => {
      throw new Error('broken from the start')
    }),
    /no step failing/,
  )
})
