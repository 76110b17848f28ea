import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { withLedger } from '../../testing/index.ts'
import { Counters, createLogger } from '../runtime/index.ts'
import { type Level, nextLevel, Pressure, type PressureCause, term } from './index.ts'

const cause = (share: number, source = 'working-set'): PressureCause => ({
  source,
  used: share * 1000,
  limit: 1000,
})

test('levels are entered at 70, 85 and 95 % and left 10 points lower', () => {
  const up: [number, Level][] = [
    [0.699, 0],
    [0.7, 1],
    [0.849, 1],
    [0.85, 2],
    [0.949, 2],
    [0.95, 3],
  ]
  for (const [share, level] of up) assert.equal(nextLevel(0, share), level, `${share}`)
  const down: [Level, number, Level][] = [
    [3, 0.851, 3],
    [3, 0.849, 2],
    [2, 0.751, 2],
    [2, 0.749, 1],
    [1, 0.601, 1],
    [1, 0.599, 0],
    [3, 0, 0],
    [1, 0.96, 3],
  ]
  for (const [from, share, level] of down)
    assert.equal(nextLevel(from, share), level, `${from} ${share}`)
})

test('a share that trembles by less than ten points changes the level at most once', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.array(fc.double({ min: -0.049, max: 0.049, noNaN: true }), { minLength: 1 }),
      fc.constantFrom<Level>(0, 1, 2, 3),
      (centre, noise, start) => {
        let level = nextLevel(nextLevel(start, centre - 0.049), centre + 0.049)
        let changes = 0
        for (const each of noise) {
          const next = nextLevel(level, centre + each)
          if (next !== level) changes++
          level = next
        }
        assert.equal(changes, 0)
      },
    ),
  )
})

test('the accounts move the level at once, exactly as recomputing it each time would', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1_000)), (sums) => {
      const pressure = new Pressure({ accountBytesMax: 1_000 })
      let level: Level = 0
      for (const bytes of sums) {
        level = nextLevel(level, bytes / 1_000)
        pressure.accounts(bytes)
        assert.equal(pressure.level, level)
      }
    }),
  )
})

test('the worst source decides, and each is named with its share', () => {
  const pressure = new Pressure({ accountBytesMax: 100 })
  pressure.accounts(75)
  assert.equal(pressure.level, 1)
  pressure.process([cause(0.2, 'old-space'), cause(0.86, 'array-buffers')])
  assert.equal(pressure.level, 2)
  assert.deepEqual(
    pressure.causes.map(({ source, used }) => [source, used]),
    [
      ['accounts', 75],
      ['old-space', 200],
      ['array-buffers', 860],
    ],
  )
  pressure.process([])
  assert.equal(pressure.level, 1)
  pressure.accounts(0)
  assert.equal(pressure.level, 0)
})

test('a plan of nothing is never under pressure', () => {
  const pressure = new Pressure({ accountBytesMax: 0 })
  pressure.accounts(0)
  assert.equal(pressure.level, 0)
})

test('a change is logged as warning or relief, counted, and told to each listener until disposed', () => {
  const counters = new Counters()
  const lines: { level: string; message: string }[] = []
  const log = createLogger({ write: (line) => lines.push(JSON.parse(line)) })
  const pressure = new Pressure({ accountBytesMax: 100, counters, log })
  const heard: string[] = []
  const first = pressure.subscribe((level, previous) => heard.push(`first ${previous}>${level}`))
  const broken = pressure.subscribe(() => {
    throw new Error('broken')
  })
  const last = pressure.subscribe((level, previous) => heard.push(`last ${previous}>${level}`))
  pressure.accounts(90)
  assert.deepEqual(heard.sort(), ['first 0>2', 'last 0>2'])
  assert.ok(lines.some(({ message }) => message === 'a pressure listener failed'))
  broken[Symbol.dispose]()
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  pressure.accounts(0)
  assert.deepEqual(heard.slice(2), ['last 2>0'])
  last[Symbol.dispose]()
  pressure.accounts(100)
  assert.equal(heard.length, 3)
  assert.equal(counters.value('pressure_changes_total'), 3)
  assert.deepEqual(
    lines.filter(({ message }) => message === 'memory pressure').map(({ level }) => level),
    ['warn', 'info', 'warn'],
  )
})

test('a listener that sheds while others are being told leaves all with the last level', () => {
  const pressure = new Pressure({ accountBytesMax: 100 })
  const told: Record<string, Level> = {}
  const order: string[] = []
  const listen = (name: string, shed?: () => void) =>
    pressure.subscribe((level, previous) => {
      assert.equal(told[name] ?? 0, previous, 'each change follows on the one before')
      told[name] = level
      order.push(`${name} ${level}`)
      if (level === 3) shed?.()
    })
  using _a = listen('a')
  using _b = listen('b', () => pressure.accounts(10))
  using _c = listen('c')
  pressure.accounts(96)
  assert.deepEqual(told, { a: 0, b: 0, c: 0 })
  assert.deepEqual(order, ['c 3', 'b 3', 'a 3', 'c 0', 'b 0', 'a 0'])
})

test('listeners that work against each other come to an end', () => {
  const pressure = new Pressure({ accountBytesMax: 100 })
  let calls = 0
  using _ = pressure.subscribe((level) => {
    calls++
    pressure.accounts(level === 3 ? 0 : 100)
  })
  pressure.accounts(100)
  assert.ok(calls <= 10, `${calls}`)
})

test('a full ledger sheds its growth before the plan is used up, and control terms still grow', async () => {
  const growth = term({ name: 'test.growth', why: 'a test', payloadBytesMax: 10_000, shedAt: 2 })
  const control = term({
    name: 'test.control',
    why: 'a test',
    payloadBytesMax: 1_000,
    shedAt: 'never',
  })
  await withLedger(
    [growth, control],
    (ledger) => {
      using a = ledger.require(growth)
      using b = ledger.require(control)
      while (a.take(100) === 'ok');
      assert.equal(ledger.row(growth).refused.pressure, 1)
      assert.equal(ledger.pressure.level, 2)
      assert.equal(b.take(1_000), 'ok')
      a.give(a.bytes)
      b.give(b.bytes)
      assert.equal(ledger.pressure.level, 0)
    },
    { tight: true },
  )
})
