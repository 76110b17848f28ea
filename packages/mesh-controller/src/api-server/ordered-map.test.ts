import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Ledger, planMemory, term } from 'weir-mesh/bounds'
import { seededRandom } from 'weir-mesh/runtime'
import { OrderedMap } from './ordered-map.ts'

function open(entriesMax = 100, payloadBytesMax = 10_000) {
  const objects = term({
    name: 'test.objects',
    why: 'a test',
    entriesMax,
    payloadBytesMax,
    shedAt: 'never',
  })
  const ledger = new Ledger(planMemory([objects], { limitBytes: 2 ** 30 }), { assertLeaks: true })
  const map = new OrderedMap<string>(ledger.require(objects), {
    bytesOf: (key, value) => key.length + value.length,
    random: seededRandom(1),
  })
  return { ledger, map, objects }
}

test('it behaves as a sorted map under any operations', () => {
  const key = fc.string({ maxLength: 3, unit: fc.constantFrom('a', 'b', '/') })
  const operation = fc.oneof(
    fc.record({ what: fc.constant('set' as const), key, value: fc.string({ maxLength: 5 }) }),
    fc.record({ what: fc.constant('delete' as const), key, value: fc.constant('') }),
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), key, (operations, probe) => {
      const { ledger, map } = open()
      const model = new Map<string, string>()
      for (const { what, key: at, value } of operations) {
        if (what === 'set') {
          assert.equal(map.set(at, value), 'ok')
          model.set(at, value)
        } else assert.equal(map.delete(at), model.delete(at))
      }
      const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1))
      assert.equal(map.size, model.size)
      assert.equal(map.get(probe), model.get(probe))
      assert.deepEqual(
        map.after(probe),
        sorted.find(([at]) => at > probe),
      )
      assert.deepEqual(
        [...map.range(probe)],
        sorted.filter(([at]) => at.startsWith(probe) && at !== probe),
      )
      const bytes = sorted.reduce((sum, [at, value]) => sum + at.length + value.length, 0)
      assert.equal(map.account.bytes, bytes)
      assert.equal(map.account.entries, model.size)
      map[Symbol.dispose]()
      ledger.assertEmpty()
    }),
    { numRuns: 300 },
  )
})

test('a walk goes on when its place is deleted', () => {
  const { map } = open()
  for (const key of ['a', 'b', 'c', 'd']) map.set(key, key)
  const seen: string[] = []
  for (const [key] of map.range('')) {
    seen.push(key)
    map.delete(key)
    map.set('e', 'e')
  }
  assert.deepEqual(seen, ['a', 'b', 'c', 'd', 'e'].slice(0, 5))
  map[Symbol.dispose]()
})

test('what does not fit is refused and changes nothing', () => {
  const { map, ledger } = open(2, 20)
  assert.equal(map.set('a', '12345'), 'ok')
  assert.equal(map.set('b', '12345'), 'ok')
  assert.equal(map.set('c', ''), 'cap')
  assert.equal(map.set('a', '1234567890123456'), 'cap')
  assert.equal(map.get('a'), '12345')
  assert.equal(map.account.bytes, 12)
  map[Symbol.dispose]()
  ledger.assertEmpty()
})
