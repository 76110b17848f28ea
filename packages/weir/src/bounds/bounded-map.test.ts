import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { withLedger } from '../../testing/index.ts'
import { type Admission, BoundedMap, type Exit, MAP_NODE_BYTES, term } from './index.ts'

const ENTRIES = 4
const BYTES = 20
const refusing = term({
  name: 'test.map',
  why: 'a test',
  table: 'map',
  entriesMax: ENTRIES,
  payloadBytesMax: BYTES,
  shellBytes: MAP_NODE_BYTES,
})
const evicting = term({ ...refusing, overflow: 'evict' })
const bytesOf = (_key: string, value: number) => value

interface Entry {
  key: string
  value: number
  bytes: number
  expires: number
}

/** The same map as a list that is searched and copied: slow and obvious. */
class NaiveMap {
  list: Entry[] = []
  exits: string[] = []
  readonly lru: boolean
  readonly ttl: number | undefined
  readonly evict: boolean

  constructor(lru: boolean, ttl: number | undefined, evict: boolean) {
    this.lru = lru
    this.ttl = ttl
    this.evict = evict
  }

  find(key: string, now: number): Entry | undefined {
    const entry = this.list.find((each) => each.key === key)
    if (entry && this.ttl !== undefined && entry.expires <= now) {
      this.leave(entry, 'expired')
      return undefined
    }
    return entry
  }

  leave(entry: Entry, why: Exit): void {
    this.list = this.list.filter((each) => each !== entry)
    this.exits.push(`${entry.key}=${entry.value} ${why}`)
  }

  toEnd(entry: Entry): void {
    this.list = [...this.list.filter((each) => each !== entry), entry]
  }

  get(key: string, now: number): number | undefined {
    const entry = this.find(key, now)
    if (entry && this.lru) {
      this.toEnd(entry)
      entry.expires = now + (this.ttl ?? 0)
    }
    return entry?.value
  }

  set(key: string, value: number, now: number): Admission {
    const present = this.list.find((each) => each.key === key)
    const rest = this.list.filter((each) => each !== present)
    const sum = (list: Entry[]) => list.reduce((total, each) => total + each.bytes, 0)
    // Drop from the front until it fits; when even an empty map would not do, drop nothing.
    let kept = rest
    const fits = () => kept.length + 1 <= ENTRIES && sum(kept) + value <= BYTES
    if (present && value <= present.bytes) kept = rest
    else
      while (!fits()) {
        if (!this.evict || kept.length === 0) return 'cap'
        kept = kept.slice(1)
      }
    for (const gone of rest.filter((each) => !kept.includes(each))) this.leave(gone, 'evicted')
    const expires = now + (this.ttl ?? 0)
    if (!present) this.list.push({ key, value, bytes: value, expires })
    else {
      if (this.lru || this.ttl !== undefined) this.toEnd(present)
      this.exits.push(`${key}=${present.value} replaced`)
      Object.assign(present, { value, bytes: value, expires })
    }
    return 'ok'
  }

  sweep(most: number, now: number): number {
    if (this.ttl === undefined) return 0
    const due = this.list.filter((each) => each.expires <= now).slice(0, most)
    for (const entry of due) this.leave(entry, 'expired')
    return due.length
  }
}

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const value = fc.oneof({ weight: 4, arbitrary: fc.nat(BYTES / 2) }, fc.nat(BYTES + 1))
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ call: fc.constant('set' as const), key, value }) },
  fc.record({ call: fc.constant('get' as const), key }),
  fc.record({ call: fc.constant('peek' as const), key }),
  fc.record({ call: fc.constant('has' as const), key }),
  fc.record({ call: fc.constant('delete' as const), key }),
  fc.record({ call: fc.constant('sweep' as const), most: fc.nat(3) }),
  fc.record({ call: fc.constant('shed' as const), most: fc.nat(ENTRIES) }),
  fc.record({ call: fc.constant('wait' as const), most: fc.nat(7) }),
)

test('behaves as a naive list under any calls, with the ledger right at each step', async () => {
  const settings = fc.record({
    lru: fc.boolean(),
    ttl: fc.constantFrom(undefined, 10),
    evict: fc.boolean(),
  })
  const run = async (
    { lru, ttl, evict }: { lru: boolean; ttl: number | undefined; evict: boolean },
    steps: readonly (typeof operation extends fc.Arbitrary<infer T> ? T : never)[],
  ) => {
    const used = evict ? evicting : refusing
    await withLedger([used], (ledger, scope) => {
      let now = 0
      const exits: string[] = []
      const model = new NaiveMap(lru, ttl, evict)
      const account = ledger.require(used)
      const map = scope.own(
        'map',
        new BoundedMap<string, number>(account, {
          bytesOf,
          evict: lru ? 'lru' : 'oldest',
          ...(ttl === undefined ? {} : { ttlMs: ttl, nowMs: () => now }),
          onExit(gone, left, why) {
            assert.equal(map.peek(gone) === left && why !== 'replaced', false, 'still there')
            exits.push(`${gone}=${left} ${why}`)
          },
        }),
      )
      for (const step of steps) {
        switch (step.call) {
          case 'set':
            assert.equal(map.set(step.key, step.value), model.set(step.key, step.value, now))
            break
          case 'get':
            assert.equal(map.get(step.key), model.get(step.key, now))
            break
          case 'peek':
            assert.equal(map.peek(step.key), model.find(step.key, now)?.value)
            break
          case 'has':
            assert.equal(map.has(step.key), model.find(step.key, now) !== undefined)
            break
          case 'delete': {
            const entry = model.list.find((each) => each.key === step.key)
            if (entry) model.leave(entry, 'removed')
            assert.equal(map.delete(step.key), entry !== undefined)
            break
          }
          case 'sweep':
            assert.equal(map.sweep(step.most), model.sweep(step.most, now))
            break
          case 'shed':
            for (const entry of model.list.slice(0, Math.max(model.list.length - step.most, 0))) {
              model.leave(entry, 'shed')
            }
            map.shed(step.most)
            break
          case 'wait':
            now += step.most
        }
        assert.deepEqual(
          [...map],
          model.list.map((each) => [each.key, each.value]),
        )
        assert.deepEqual(exits, model.exits)
        assert.equal(map.size, model.list.length)
        assert.equal(account.entries, model.list.length)
        assert.equal(
          account.bytes,
          model.list.reduce((sum, each) => sum + each.bytes, 0),
        )
        assert.ok(ledger.peakCostBytes <= ledger.plan.accountBytes)
        const counted = Object.values(ledger.row(used).exits).reduce((sum, each) => sum + each, 0)
        assert.equal(counted, exits.length)
      }
      const left = model.list.map((each) => `${each.key}=${each.value} closed`)
      exits.length = 0
      map[Symbol.dispose]()
      assert.deepEqual(exits, left)
    })
  }
  await fc.assert(
    fc.asyncProperty(settings, fc.array(operation, { minLength: 10, maxLength: 60 }), run),
    {
      numRuns: 300,
    },
  )
})

test('reading keeps an entry alive with lru, and not with oldest; peeking never does', async () => {
  for (const evict of ['lru', 'oldest'] as const) {
    await withLedger([refusing], (ledger, scope) => {
      let now = 0
      const options = { evict, ttlMs: 10, nowMs: () => now }
      const map = scope.own(
        'map',
        new BoundedMap<string, number>(ledger.require(refusing), options),
      )
      map.set('read', 1)
      map.set('peeked', 2)
      now = 8
      assert.equal(map.get('read'), 1)
      assert.equal(map.peek('peeked'), 2)
      assert.ok(map.has('peeked'))
      now = 12
      assert.equal(map.peek('peeked'), undefined)
      assert.equal(map.peek('read'), evict === 'lru' ? 1 : undefined)
      now = 18
      assert.equal(map.sweep(), evict === 'lru' ? 1 : 0)
      assert.equal(ledger.row(refusing).exits.expired, 2)
    })
  }
})

test('N entries fit and N+1 is refused, with its counter', async () => {
  await withLedger([refusing], (ledger, scope) => {
    const map = scope.own('map', new BoundedMap<string, number>(ledger.require(refusing)))
    for (const each of 'abcd') assert.equal(map.set(each, 1), 'ok')
    assert.equal(map.set('e', 1), 'cap')
    assert.equal(map.set('a', 2), 'ok', 'a present key is no growth')
    assert.equal(ledger.row(refusing).refused.cap, 1)
  })
})

test('what can never fit does not cost another entry', async () => {
  await withLedger([evicting], (ledger, scope) => {
    const map = scope.own('map', new BoundedMap(ledger.require(evicting), { bytesOf }))
    map.set('a', 10)
    map.set('b', 5)
    assert.equal(map.set('c', BYTES + 1), 'cap')
    assert.equal(map.set('a', BYTES + 1), 'cap')
    assert.deepEqual([...map.keys()], ['a', 'b'])
    assert.equal(map.set('c', BYTES), 'ok')
    assert.deepEqual([...map.keys()], ['c'])
  })
})

test('entries that may not be evicted stay, and when they are too many nothing goes', async () => {
  await withLedger([evicting], (ledger, scope) => {
    const pinned = new Set(['a', 'b'])
    const map = scope.own(
      'map',
      new BoundedMap<string, number>(ledger.require(evicting), {
        bytesOf,
        evictable: (gone) => !pinned.has(gone),
      }),
    )
    for (const each of 'abcd') map.set(each, 5)
    assert.equal(map.set('e', 5), 'ok')
    assert.deepEqual([...map.keys()], ['a', 'b', 'd', 'e'])
    assert.equal(map.set('f', 11), 'cap', 'd and e hold ten bytes only')
    assert.deepEqual([...map.keys()], ['a', 'b', 'd', 'e'])
    pinned.add('d').add('e')
    assert.equal(map.set('f', 1), 'cap')
  })
})

test('the search for a victim ends after sixteen that may not go', async () => {
  const long = term({ ...evicting, entriesMax: 32, payloadBytesMax: 0 })
  await withLedger([long], (ledger, scope) => {
    let asked = 0
    const map = scope.own(
      'map',
      new BoundedMap<number, number>(ledger.require(long), {
        evictable: (each) => {
          asked++
          return each >= 16
        },
      }),
    )
    for (let each = 0; each < 32; each++) map.set(each, each)
    assert.equal(map.set(32, 0), 'cap')
    assert.equal(asked, 16)
    map.delete(0)
    map.set(32, 0)
    assert.equal(map.set(33, 0), 'ok')
    assert.ok(!map.has(16))
  })
})

test('a pool that others have filled does not empty the map', async () => {
  const pool = term({ name: 'test.pool', why: 'shared', payloadBytesMax: 28 })
  const pooled = term({ ...evicting, name: 'test.pooled', pool, instancesMax: 2 })
  await withLedger([pooled], (ledger, scope) => {
    const open = (name: string) =>
      scope.own(name, new BoundedMap(ledger.require(pooled), { bytesOf }))
    const first = open('first')
    const second = open('second')
    first.set('a', 20)
    second.set('a', 4)
    second.set('b', 4)
    assert.equal(second.set('c', 9), 'pool', 'eight bytes of its own cannot make room for nine')
    assert.deepEqual([...second.keys()], ['a', 'b'])
    assert.equal(second.set('c', 8), 'ok')
    assert.deepEqual([...second.keys()], ['c'])
  })
})

test('under pressure nothing grows, nothing is evicted for it, and a smaller value may replace', async () => {
  await withLedger([evicting], (ledger, scope) => {
    const map = scope.own('map', new BoundedMap(ledger.require(evicting), { bytesOf }))
    for (const each of 'abcd') map.set(each, 5)
    ledger.pressure.process([{ source: 'working-set', used: 1, limit: 1 }])
    assert.equal(map.set('e', 1), 'pressure')
    assert.equal(map.set('a', 6), 'pressure')
    assert.equal(map.set('a', 4), 'ok')
    assert.equal(map.size, 4)
    assert.equal(map.shed(1), 3)
    assert.equal(ledger.row(evicting).exits.shed, 3)
  })
})

test('resize charges growth, keeps the entry when refused, and gives back what shrinks', async () => {
  await withLedger([refusing], (ledger, scope) => {
    const account = ledger.require(refusing)
    const map = scope.own('map', new BoundedMap(account, { bytesOf }))
    map.set('a', 10)
    assert.equal(map.resize('a', BYTES), 'ok')
    assert.equal(map.resize('a', BYTES + 1), 'cap')
    assert.equal(account.bytes, BYTES)
    assert.equal(map.resize('a', 3), 'ok')
    assert.equal(account.bytes, 3)
    assert.throws(() => map.resize('z', 1), /absent key/)
  })
})

test('any entries may be deleted while iterating, also the one that comes next', async () => {
  const order = fc.array(fc.subarray(['a', 'b', 'c', 'd']), { minLength: 4, maxLength: 4 })
  const run = async (plan: string[][]) =>
    withLedger([refusing], (ledger, scope) => {
      const map = scope.own('map', new BoundedMap<string, number>(ledger.require(refusing)))
      const plain = new Map<string, number>()
      for (const each of 'abcd') {
        map.set(each, 0)
        plain.set(each, 0)
      }
      const walk = (target: { keys(): Iterable<string>; delete(key: string): boolean }) => {
        const seen: string[] = []
        for (const each of target.keys()) {
          for (const gone of plan[seen.length] ?? []) target.delete(gone)
          seen.push(each)
        }
        return seen
      }
      assert.deepEqual(walk(map), walk(plain))
    })
  await fc.assert(fc.asyncProperty(order, run))
})

test('onExit may delete other entries and may not set any', async () => {
  await withLedger([evicting], (ledger, scope) => {
    const account = ledger.require(evicting)
    let react = (_key: string) => {}
    const map = scope.own(
      'map',
      new BoundedMap<string, number>(account, { bytesOf, onExit: (gone) => react(gone) }),
    )
    for (const each of 'abcd') map.set(each, 5)
    react = (gone) => {
      if (gone === 'a') map.delete('b')
    }
    assert.equal(map.set('e', 5), 'ok')
    assert.deepEqual([...map.keys()], ['c', 'd', 'e'])
    react = (gone) => {
      if (gone === 'c') map.delete('e')
    }
    assert.equal(map.set('e', 11), 'cap', 'the entry that was to grow has left meanwhile')
    assert.equal(account.bytes, 5)
    react = () => map.set('x', 1)
    assert.throws(() => map.delete('d'), /set within onExit/)
    react = () => {}
    assert.equal(map.set('x', 1), 'ok')
  })
})

test('an onExit that throws stops neither a close nor the closing of the account', async () => {
  await withLedger([refusing], (ledger) => {
    const left: string[] = []
    const map = new BoundedMap<string, number>(ledger.require(refusing), {
      onExit(gone) {
        left.push(gone)
        if (gone === 'b') throw new Error('broken')
      },
    })
    for (const each of 'abc') map.set(each, 0)
    assert.throws(() => map[Symbol.dispose](), /broken/)
    assert.deepEqual(left, ['a', 'b', 'c'])
    map[Symbol.dispose]()
    assert.throws(() => map.set('a', 1), /set after close/)
  })
})

test('a term of another table, and a ttl without a clock, are mistakes', async () => {
  const ring = term({ ...refusing, table: 'ring' })
  await withLedger([ring], (ledger) => {
    using account = ledger.require(ring)
    assert.throws(() => new BoundedMap(account), /declares no map table/)
  })
  await withLedger([refusing], (ledger) => {
    using account = ledger.require(refusing)
    assert.throws(() => new BoundedMap(account, { ttlMs: 1 }), /a ttl needs a clock/)
  })
})
