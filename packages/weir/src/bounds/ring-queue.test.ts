import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { collectable, withLedger } from '../../testing/index.ts'
import { RingQueue, type Term, term } from './index.ts'

const ENTRIES = 5
const BYTES = 20
const refusing = term({
  name: 'test.queue',
  why: 'a test',
  table: 'ring',
  entriesMax: ENTRIES,
  payloadBytesMax: BYTES,
})
const dropping = term({ ...refusing, overflow: 'drop-old' })
const bytesOf = (value: number) => value
const press = (ledger: { pressure: { process(causes: readonly object[]): void } }, used: number) =>
  ledger.pressure.process([{ source: 'working-set', used, limit: 1 }])

type Step =
  | { readonly call: 'push'; readonly value: number }
  | { readonly call: 'shift' | 'clear' | 'press' | 'relax' }

const operation: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ call: fc.constant('push' as const), value: fc.nat(BYTES / 2) }),
  },
  fc.record({ call: fc.constant('push' as const), value: fc.constant(BYTES + 1) }),
  fc.record({ call: fc.constantFrom('shift' as const, 'press' as const, 'relax' as const) }),
  fc.record({ call: fc.constantFrom('shift' as const, 'press' as const, 'clear' as const) }),
)

/** What a push does to a plain list: what stays, what was dropped, and the answer. */
function pushed(list: readonly number[], value: number, drops: boolean, pressed: boolean) {
  const sum = (all: readonly number[]) => all.reduce((total, each) => total + each, 0)
  const refused = { list, dropped: [] as readonly number[] }
  if (!pressed && list.length < ENTRIES && sum(list) + value <= BYTES) {
    return { list: [...list, value], dropped: [], answer: 'ok' as const }
  }
  const why = pressed ? ('pressure' as const) : ('cap' as const)
  if (!drops || list.length === 0) return { ...refused, answer: why }
  for (let gone = 1; gone <= list.length; gone++) {
    const kept = list.slice(gone)
    const enough = pressed
      ? sum(list.slice(0, gone)) >= value
      : kept.length < ENTRIES && sum(kept) + value <= BYTES
    if (enough)
      return { list: [...kept, value], dropped: list.slice(0, gone), answer: 'ok' as const }
  }
  return { ...refused, answer: why }
}

test('behaves as a naive list under any calls and pressure, with the ledger right at each step', async () => {
  const run = async (used: Term, steps: readonly Step[]) =>
    withLedger([used], (ledger, scope) => {
      const account = ledger.require(used)
      const gone: string[] = []
      const queue = scope.own(
        'queue',
        new RingQueue<number>(account, {
          bytesOf,
          onExit: (value, why) => gone.push(`${value} ${why}`),
        }),
      )
      let list: readonly number[] = []
      let pressed = false
      let lost = 0
      const expected: string[] = []
      for (const step of steps) {
        if (step.call === 'push') {
          const result = pushed(list, step.value, used === dropping, pressed)
          assert.equal(queue.push(step.value), result.answer)
          list = result.list
          lost += result.dropped.length + (result.answer === 'ok' ? 0 : 1)
          const why = pressed ? 'shed' : 'evicted'
          expected.push(...result.dropped.map((value) => `${value} ${why}`))
        } else if (step.call === 'shift') {
          assert.equal(queue.peek(), list[0])
          assert.equal(queue.shift(), list[0])
          list = list.slice(1)
        } else if (step.call === 'clear') {
          expected.push(...list.map((value) => `${value} removed`))
          queue.clear()
          list = []
        } else {
          pressed = step.call === 'press'
          press(ledger, pressed ? 1 : 0)
        }
        assert.deepEqual([...queue], list)
        for (let at = -1; at <= ENTRIES; at++) {
          assert.equal(queue.at(at), at < 0 ? undefined : list[at])
        }
        assert.deepEqual(gone, expected)
        assert.equal(queue.size, list.length)
        assert.equal(queue.lost, lost)
        assert.equal(account.entries, list.length)
        assert.equal(
          account.bytes,
          list.reduce((sum, each) => sum + each, 0),
        )
        assert.ok(ledger.peakCostBytes <= ledger.plan.accountBytes)
      }
    })
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(refusing, dropping),
      fc.array(operation, { minLength: 5, maxLength: 60 }),
      run,
    ),
    { numRuns: 300 },
  )
})

test('N elements fit; N+1 is refused and counted, or costs the oldest and is counted', async () => {
  for (const used of [refusing, dropping]) {
    await withLedger([used], (ledger, scope) => {
      const queue = scope.own('queue', new RingQueue<number>(ledger.require(used)))
      for (let each = 0; each < ENTRIES; each++) assert.equal(queue.push(each), 'ok')
      const drops = used === dropping
      assert.equal(queue.push(9), drops ? 'ok' : 'cap')
      assert.equal(queue.peek(), drops ? 1 : 0)
      assert.equal(queue.lost, 1)
      assert.equal(ledger.row(used).exits.evicted, drops ? 1 : 0)
      assert.equal(ledger.row(used).refused.cap, 1)
    })
  }
})

test('an element that can never fit drops nothing', async () => {
  await withLedger([dropping], (ledger, scope) => {
    const queue = scope.own('queue', new RingQueue(ledger.require(dropping), { bytesOf }))
    for (const each of [1, 2, 3]) queue.push(each)
    assert.equal(queue.push(BYTES + 1), 'cap')
    assert.deepEqual([...queue], [1, 2, 3])
  })
})

test('a pool that others have filled does not drain a queue', async () => {
  const pool = term({ name: 'test.pool', why: 'shared', payloadBytesMax: 20 })
  const pooled = term({ ...dropping, name: 'test.pooled', pool, instancesMax: 2 })
  await withLedger([pooled], (ledger, scope) => {
    const open = (name: string) =>
      scope.own(name, new RingQueue(ledger.require(pooled), { bytesOf }))
    const first = open('first')
    const second = open('second')
    first.push(12)
    for (const each of [4, 4]) second.push(each)
    assert.equal(second.push(9), 'pool')
    assert.deepEqual([...second], [4, 4])
    assert.equal(second.push(8), 'ok')
    assert.deepEqual([...second], [8])
  })
})

test('offer does not count a refusal as a loss', async () => {
  await withLedger([refusing], (ledger, scope) => {
    const queue = scope.own('queue', new RingQueue(ledger.require(refusing), { bytesOf }))
    assert.equal(queue.offer(BYTES), 'ok')
    assert.equal(queue.offer(1), 'cap')
    assert.equal(queue.lost, 0)
  })
})

test('a pressure listener may use the queue that set it off', async () => {
  const large = term({ ...dropping, entriesMax: 64, payloadBytesMax: 20_000 })
  await withLedger(
    [large],
    (ledger, scope) => {
      const queue = scope.own('queue', new RingQueue(ledger.require(large), { bytesOf }))
      let shed = 0
      using _ = ledger.pressure.subscribe((level, previous) => {
        if (level < previous) return
        while (queue.size > 1) {
          queue.shift()
          shed++
        }
      })
      for (let round = 0; round < 50; round++) queue.push(1_000 + (round % 7))
      assert.ok(shed > 0)
      const held = [...queue].reduce((sum, each) => sum + each, 0)
      assert.equal(queue.account.bytes, held)
      while (queue.size > 0) assert.equal(typeof queue.shift(), 'number')
    },
    { tight: true },
  )
})

test('an onExit that throws stops neither a close nor the closing of the account', async () => {
  await withLedger([refusing], (ledger) => {
    const left: number[] = []
    const queue = new RingQueue<number>(ledger.require(refusing), {
      onExit(value) {
        left.push(value)
        throw new Error(`broken ${value}`)
      },
    })
    for (const each of [1, 2, 3]) queue.push(each)
    assert.throws(() => queue[Symbol.dispose](), /broken 1/)
    assert.deepEqual(left, [1, 2, 3])
    assert.throws(() => queue.push(1), /push after close/)
    queue[Symbol.dispose]()
  })
})

test('what was taken can be collected while the queue goes on', async () => {
  await withLedger([refusing], async (ledger, scope) => {
    const queue = scope.own('queue', new RingQueue<object>(ledger.require(refusing)))
    const taken = () => {
      queue.push({ a: 1 })
      return queue.shift()!
    }
    assert.ok(await collectable(taken))
  })
})

test('a term of another table is a mistake', async () => {
  const map = term({ ...refusing, table: 'map' })
  await withLedger([map], (ledger) => {
    using account = ledger.require(map)
    assert.throws(() => new RingQueue(account), /declares no ring table/)
  })
})
