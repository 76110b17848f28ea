import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { withLedger } from '../../testing/index.ts'
import { MULTI_KEY_BYTES, MULTI_VALUE_BYTES, MultiMap, term } from './index.ts'

const ENTRIES = 6
const PER_KEY = 3
const BYTES = 15
const values = term({
  name: 'test.values',
  why: 'a test',
  table: 'map',
  entriesMax: ENTRIES,
  payloadBytesMax: BYTES,
  shellBytes: MULTI_KEY_BYTES + MULTI_VALUE_BYTES,
})
const bytesOf = (_key: string, value: number) => value

const key = fc.constantFrom('a', 'b', 'c')
const value = fc.nat(6)
const operation = fc.oneof(
  { weight: 3, arbitrary: fc.record({ call: fc.constant('add' as const), key, value }) },
  fc.record({ call: fc.constant('delete' as const), key, value }),
  fc.record({ call: fc.constant('deleteKey' as const), key }),
  fc.record({ call: fc.constant('clear' as const) }),
)

test('behaves as a naive list of pairs, and a key dies with its last value', async () => {
  const run = async (
    steps: readonly (typeof operation extends fc.Arbitrary<infer T> ? T : never)[],
  ) =>
    withLedger([values], (ledger, scope) => {
      const account = ledger.require(values)
      const exits: string[] = []
      const map = scope.own(
        'map',
        new MultiMap<string, number>(account, {
          valuesPerKeyMax: PER_KEY,
          bytesOf,
          onExit: (gone, left, why) => exits.push(`${gone}=${left} ${why}`),
        }),
      )
      let model: [string, number][] = []
      const expected: string[] = []
      for (const step of steps) {
        if (step.call === 'add') {
          const present = model.some(([k, v]) => k === step.key && v === step.value)
          const sum = model.reduce((total, [, v]) => total + v, 0)
          const full =
            model.filter(([k]) => k === step.key).length >= PER_KEY ||
            model.length >= ENTRIES ||
            sum + step.value > BYTES
          assert.equal(map.add(step.key, step.value), present || !full ? 'ok' : 'cap')
          if (!present && !full) model.push([step.key, step.value])
        } else {
          const goes = ([k, v]: [string, number]) =>
            step.call === 'clear' ||
            (k === step.key && (step.call === 'deleteKey' || v === step.value))
          const gone = model.filter(goes)
          model = model.filter((pair) => !goes(pair))
          if (step.call === 'clear') map.clear()
          else if (step.call === 'deleteKey') assert.equal(map.delete(step.key), gone.length > 0)
          else assert.equal(map.delete(step.key, step.value), gone.length > 0)
          expected.push(...gone.map(([k, v]) => `${k}=${v} removed`).sort())
          exits.push(...exits.splice(exits.length - gone.length).sort())
        }
        assert.deepEqual(exits, expected)
        assert.deepEqual([...map].sort(), [...model].sort())
        const keys = [...new Set(model.map(([k]) => k))]
        assert.deepEqual([...map.keys()].sort(), keys.sort())
        assert.equal(map.keyCount, keys.length)
        for (const each of 'abc') {
          const own = model.filter(([k]) => k === each).map(([, v]) => v)
          assert.deepEqual([...map.of(each)], own, 'in the order they were added')
          assert.equal(map.count(each), own.length)
          assert.equal(map.has(each), own.length > 0)
          for (let at = 0; at <= 6; at++) assert.equal(map.has(each, at), own.includes(at))
        }
        assert.equal(map.size, model.length)
        assert.equal(account.entries, model.length)
        assert.equal(
          account.bytes,
          model.reduce((total, [, v]) => total + v, 0),
        )
        assert.ok(ledger.peakCostBytes <= ledger.plan.accountBytes)
      }
    })
  await fc.assert(fc.asyncProperty(fc.array(operation, { maxLength: 40 }), run), { numRuns: 200 })
})

test('N values under a key fit and N+1 is refused, counted like any refusal', async () => {
  await withLedger([values], (ledger, scope) => {
    const map = scope.own(
      'map',
      new MultiMap<string, number>(ledger.require(values), { valuesPerKeyMax: PER_KEY }),
    )
    for (let each = 0; each < PER_KEY; each++) assert.equal(map.add('a', each), 'ok')
    assert.equal(map.add('a', PER_KEY), 'cap')
    assert.equal(ledger.row(values).refused.cap, 1)
    assert.equal(map.add('a', 0), 'ok', 'a present value is no growth')
    assert.equal(map.add('b', 0), 'ok')
    for (let each = 1; each < 3; each++) assert.equal(map.add('b', each), 'ok')
    assert.equal(map.add('c', 0), 'cap', 'the total of the term')
    assert.equal(ledger.row(values).bytes, 0, 'without bytesOf a value has no payload')
    assert.equal(ledger.row(values).refused.cap, 2)
  })
})

test('a map that allows no value keeps no key', async () => {
  await withLedger([values], (ledger, scope) => {
    const map = scope.own(
      'map',
      new MultiMap<string, number>(ledger.require(values), { valuesPerKeyMax: 0 }),
    )
    assert.equal(map.add('a', 1), 'cap')
    assert.equal(map.keyCount, 0)
  })
})

test('values may be removed and added while they are iterated, and by onExit', async () => {
  await withLedger([values], (ledger, scope) => {
    let again = true
    const map: MultiMap<string, number> = scope.own(
      'map',
      new MultiMap<string, number>(ledger.require(values), {
        valuesPerKeyMax: PER_KEY,
        onExit(key, value) {
          if (again) map.add(key, value + 10)
        },
      }),
    )
    map.add('a', 1)
    map.add('a', 2)
    assert.equal(map.delete('a'), true)
    assert.deepEqual([...map.of('a')], [11, 12])
    again = false
    for (const value of map.of('a')) map.delete('a', value)
    assert.equal(map.keyCount, 0)
  })
})

test('an onExit that throws or adds stops neither a close nor the closing of the account', async () => {
  await withLedger([values], (ledger) => {
    const left: number[] = []
    const map: MultiMap<string, number> = new MultiMap<string, number>(ledger.require(values), {
      valuesPerKeyMax: PER_KEY,
      onExit(_key, value) {
        left.push(value)
        if (value === 1) throw new Error('broken')
        if (value === 2) map.add('b', 9)
      },
    })
    for (const value of [1, 2, 3]) map.add('a', value)
    assert.throws(() => map[Symbol.dispose](), /broken/)
    assert.deepEqual(left, [1, 2, 3])
    assert.throws(() => map.add('a', 1), /add after close/)
    map[Symbol.dispose]()
    assert.equal(ledger.row(values).exits.closed, 3)
  })
})

test('a term of another table is a mistake', async () => {
  const ring = term({ ...values, table: 'ring' })
  await withLedger([ring], (ledger) => {
    using account = ledger.require(ring)
    assert.throws(() => new MultiMap(account, { valuesPerKeyMax: 1 }), /declares no map table/)
  })
})
