import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { collectable, withLedger } from '../../testing/index.ts'
import { isWeirError } from '../runtime/index.ts'
import { type Account, type Admission, limitError, pool, tableBytes, term } from './index.ts'

const plain = term({ name: 'test.plain', why: 'a test', payloadBytesMax: 100, entriesMax: 4 })
const SHELL = 10
const shelled = term({ ...plain, name: 'test.shelled', shellBytes: SHELL, instancesMax: 8 })

test('takes up to both caps, refuses N+1 as cap, and a refusal changes nothing', async () => {
  await withLedger([shelled], (ledger) => {
    using account = ledger.require(shelled)
    assert.equal(account.take(60, 3), 'ok')
    assert.equal(account.take(0, 1), 'ok')
    assert.equal(account.take(0, 1), 'cap')
    assert.equal(account.take(41), 'cap')
    assert.equal(account.freeBytes, 40)
    assert.deepEqual([account.bytes, account.entries, account.heldBytes], [60, 4, 60])
    assert.equal(account.costBytes, tableBytes(4, 'none') + 60 + 4 * SHELL)
    assert.equal(ledger.costBytes, account.costBytes)
    assert.equal(ledger.row(shelled).refused.cap, 2)
    account.give(60, 4)
  })
})

test('require throws LIMIT that names the term, the cap and what to do with it', async () => {
  await withLedger([plain], (ledger) => {
    using account = ledger.require(plain)
    account.require(100)
    assert.throws(() => account.require(1), {
      code: 'LIMIT',
      retryable: true,
      message: /test\.plain is full \(a test\)/,
      limit: { scope: 'test.plain', limit: 100, used: 100, wanted: 1 },
    })
    account.give(100)
  })
})

test('shortBytes tells how much must go before more fits', async () => {
  await withLedger([plain], (ledger) => {
    using account = ledger.require(plain)
    account.require(90)
    assert.equal(account.shortBytes(10), 0)
    assert.equal(account.shortBytes(30), 20)
    account.setCeiling(80)
    assert.equal(account.shortBytes(0), 10)
    account.give(90)
  })
})

test('giving back more than was taken, and amounts that are none, are mistakes', async () => {
  await withLedger([plain], (ledger) => {
    using account = ledger.require(plain)
    account.require(10, 1)
    assert.throws(() => account.give(11), /gave back 11 bytes/)
    assert.throws(() => account.give(0, 2), /gave back 0 bytes and 2 entries/)
    for (const wrong of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => account.take(wrong), /took/)
      assert.throws(() => account.take(0, wrong), /took/)
    }
    assert.throws(() => account.give(-1), /gave back/)
    assert.throws(() => account.give(Number.NaN), /gave back/)
    assert.deepEqual([account.bytes, account.entries], [10, 1])
    account.give(10, 1)
  })
})

test('a closed account neither takes nor opens', async () => {
  await withLedger([plain, shelled], (ledger) => {
    const account = ledger.require(plain)
    account[Symbol.dispose]()
    account[Symbol.dispose]()
    assert.ok(account.closed)
    assert.throws(() => account.take(1), /after close/)
    assert.throws(() => account.open(shelled), /after close/)
  })
})

test('a leak is given back, whether it is of bytes or of entries', async () => {
  const leaks = [
    [1, 0],
    [0, 1],
  ] as const
  for (const [bytes, entries] of leaks) {
    await withLedger(
      [shelled],
      (ledger, _scope, { counters }) => {
        const account = ledger.require(shelled)
        account.require(bytes, entries)
        account[Symbol.dispose]()
        assert.equal(counters.value('ledger_leaks_total'), 1)
        assert.equal(ledger.costBytes, 0)
        ledger.require(shelled)[Symbol.dispose]()
        assert.equal(counters.value('ledger_leaks_total'), 1, 'an empty account is no leak')
      },
      { failuresExpected: true },
    )
  }
})

test('an account that is closed with something in it is a leak: thrown when asserted', async () => {
  await withLedger(
    [plain],
    (ledger, _scope, { counters, lines }) => {
      const account = ledger.require(plain, { label: 'peer a' })
      account.require(10, 1)
      account[Symbol.dispose]()
      assert.equal(counters.value('ledger_leaks_total'), 1)
      assert.partialDeepStrictEqual(lines[0], {
        level: 'error',
        message: 'leak',
        term: 'test.plain',
        label: 'peer a',
        bytes: 10,
      })
    },
    { failuresExpected: true },
  )
  const strict = withLedger([plain], (ledger) => {
    const account = ledger.require(plain)
    account.require(10, 1)
    account[Symbol.dispose]()
  })
  await assert.rejects(strict, /test\.plain was closed with 1 entries and 10 bytes/)
})

const shared = pool({ name: 'test.pool', why: 'shared', arena: 'buffers', payloadBytesMax: 150 })
const member = term({
  name: 'test.member',
  why: 'draws on the pool',
  arena: 'buffers',
  instancesMax: 4,
  payloadBytesMax: 100,
  pool: shared,
})

test('the pool refuses what its members together exceed, and pays for them', async () => {
  await withLedger([member], (ledger) => {
    using a = ledger.require(member)
    using b = ledger.require(member)
    assert.equal(a.take(100), 'ok')
    assert.equal(b.take(51), 'pool')
    assert.equal(b.take(50), 'ok')
    assert.equal(ledger.row(member).refused.pool, 1)
    assert.equal(ledger.row(shared).costBytes, 150)
    assert.equal(ledger.row(member).costBytes, 2 * tableBytes(0, 'none'))
    assert.equal(a.shortBytes(1), 1)
    a.give(100)
    assert.equal(ledger.row(shared).costBytes, 50)
    b.give(50)
  })
})

test("the pool's own account counts with its members, in both orders", async () => {
  await withLedger([member], (ledger) => {
    using own = ledger.require(shared)
    using a = ledger.require(member)
    assert.equal(a.take(100), 'ok')
    assert.equal(own.take(51), 'pool')
    assert.equal(own.take(50), 'ok')
    assert.equal(a.shortBytes(1), 1)
    a.give(10)
    assert.equal(own.take(10), 'ok')
    assert.equal(a.take(1), 'pool')
    assert.ok(ledger.row(shared).costBytes <= ledger.row(shared).plannedBytes)
    a.give(90)
    own.give(60)
  })
})

test('a ceiling limits an owner with all that it owns, and lets go when they give back', async () => {
  const peer = term({ name: 'test.peer', why: 'a peer', instancesMax: 2 })
  await withLedger([peer, shelled], (ledger) => {
    using owner = ledger.require(peer)
    owner.setCeiling(50)
    using a = owner.open(shelled, 'first')!
    using b = owner.open(shelled)!
    assert.equal(a.label, 'first')
    assert.equal(a.owner, owner)
    assert.equal(a.take(30), 'ok')
    assert.equal(b.take(21), 'owner')
    assert.equal(b.shortBytes(21), 1)
    assert.equal(b.take(20), 'ok')
    assert.equal(owner.heldBytes, 50)
    assert.equal(ledger.row(shelled).refused.owner, 1)
    using other = ledger.require(shelled)
    assert.equal(other.take(40), 'ok', 'another owner has its own ceiling')
    other.give(40)
    a.give(30)
    b.give(20)
    assert.equal(owner.heldBytes, 0)
  })
})

test('moving between members of a full pool and a full owner succeeds and holds no byte twice', async () => {
  const peer = term({ name: 'test.peer', why: 'a peer' })
  await withLedger([peer, member], (ledger) => {
    using owner = ledger.require(peer)
    owner.setCeiling(150)
    using a = owner.open(member)!
    using b = owner.open(member)!
    a.require(100)
    b.require(50)
    const peak = ledger.peakCostBytes
    assert.equal(a.move(50, b), 'ok')
    assert.deepEqual([a.bytes, b.bytes], [50, 100])
    assert.equal(a.move(1, b), 'cap')
    assert.deepEqual([a.bytes, b.bytes], [50, 100])
    assert.equal(ledger.peakCostBytes, peak)
    using stranger = ledger.require(member)
    stranger.setCeiling(10)
    assert.equal(a.move(11, stranger), 'owner')
    a.give(50)
    b.give(100)
  })
})

test('moving out of a pool into a full one is refused', async () => {
  await withLedger([member, plain], (ledger) => {
    using a = ledger.require(member)
    using b = ledger.require(member)
    using outside = ledger.require(plain)
    a.require(100)
    b.require(50)
    outside.require(10)
    assert.equal(outside.move(10, b), 'pool')
    assert.equal(a.move(10, outside), 'ok')
    assert.equal(outside.bytes, 20)
    outside.give(20)
    a.give(90)
    b.give(50)
  })
})

test('growth is refused from the level of the term on, and retake is not', async () => {
  const early = term({ name: 'test.early', why: 'a test', payloadBytesMax: 10, shedAt: 1 })
  const late = term({ name: 'test.late', why: 'a test', payloadBytesMax: 10, shedAt: 2 })
  const control = term({
    name: 'test.control',
    why: 'a test',
    payloadBytesMax: 10,
    shedAt: 'never',
  })
  await withLedger([early, late, control], (ledger) => {
    using a = ledger.require(early)
    using b = ledger.require(late)
    using c = ledger.require(control)
    const raise = (share: number) =>
      ledger.pressure.process([{ source: 'working-set', used: share, limit: 1 }])
    const takes = () => [a, b, c].map((account) => account.take(1))
    assert.deepEqual(takes(), ['ok', 'ok', 'ok'])
    raise(0.7)
    assert.deepEqual(takes(), ['pressure', 'ok', 'ok'])
    raise(0.85)
    assert.deepEqual(takes(), ['pressure', 'pressure', 'ok'])
    raise(1)
    assert.deepEqual(takes(), ['pressure', 'pressure', 'ok'])
    assert.equal(ledger.row(early).refused.pressure, 3)
    assert.equal(c.move(1, a), 'pressure')
    a.give(1)
    assert.equal(a.retake(1), 'ok')
    assert.equal(a.retake(10), 'cap')
    raise(0)
    for (const account of [a, b, c]) account.give(account.bytes)
  })
})

test('limitError says for each refusal what stood in the way', async () => {
  await withLedger([member], (ledger) => {
    using account = ledger.require(member)
    const text = (admission: Admission) => limitError(account, admission, 7).message
    assert.match(text('cap'), /is full/)
    assert.match(text('pool'), /pool test\.pool/)
    assert.match(text('owner'), /ceiling of its owner/)
    assert.match(text('pressure'), /memory pressure/)
    assert.ok(isWeirError(limitError(account, 'cap', 7), 'LIMIT'))
  })
})

test('any sequence of calls keeps every sum right and every cap', async () => {
  const peer = term({ name: 'test.peer', why: 'a peer', payloadBytesMax: 60, instancesMax: 2 })
  const step = fc.record({
    call: fc.constantFrom('take' as const, 'give' as const, 'move' as const),
    account: fc.nat(5),
    other: fc.nat(5),
    bytes: fc.nat(40),
    entries: fc.nat(2),
  })
  const run = async (steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[]) =>
    withLedger([peer, member, shelled], (ledger) => {
      const owners = [ledger.require(peer), ledger.require(peer)]
      owners[0]!.setCeiling(90)
      const accounts = [
        owners[0]!,
        owners[1]!,
        owners[0]!.open(member)!,
        owners[1]!.open(member)!,
        owners[0]!.open(shelled)!,
        ledger.require(shelled),
      ]
      const bytes = accounts.map(() => 0)
      const entries = accounts.map(() => 0)
      for (const each of steps) {
        const account = accounts[each.account]!
        const to = accounts[each.other]!
        if (each.call === 'take') {
          if (account.take(each.bytes, each.entries) === 'ok') {
            bytes[each.account]! += each.bytes
            entries[each.account]! += each.entries
          }
        } else if (each.call === 'give') {
          const back = Math.min(each.bytes, bytes[each.account]!)
          account.give(back)
          bytes[each.account]! -= back
        } else if (account !== to) {
          const moved = Math.min(each.bytes, bytes[each.account]!)
          if (account.move(moved, to) === 'ok') {
            bytes[each.account]! -= moved
            bytes[each.other]! += moved
          }
        }
        check(accounts, bytes, entries)
        assert.ok(owners[0]!.heldBytes <= 90)
        const pooled = bytes[2]! + bytes[3]!
        assert.ok(pooled <= 150)
        assert.equal(ledger.row(shared).bytes, pooled)
        const cost = accounts.reduce((sum, one) => sum + one.costBytes, pooled)
        assert.equal(ledger.costBytes, cost)
        assert.ok(ledger.costBytes <= ledger.plan.accountBytes)
        for (const row of ledger.rows()) assert.ok(row.costBytes <= row.plannedBytes)
      }
      for (const account of accounts.toReversed()) {
        account.give(account.bytes, account.entries)
        account[Symbol.dispose]()
      }
    })
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), run), { numRuns: 200 })
})

function check(accounts: readonly Account[], bytes: number[], entries: number[]): void {
  for (const [at, account] of accounts.entries()) {
    assert.equal(account.bytes, bytes[at])
    assert.equal(account.entries, entries[at])
    const below = accounts.filter((other) => other.owner === account)
    const held = below.reduce((sum, other) => sum + other.heldBytes, account.bytes)
    assert.equal(account.heldBytes, held)
    assert.ok(account.bytes <= account.term.payloadBytesMax)
    assert.ok(account.entries <= account.term.entriesMax)
  }
}

test('a closed account can be collected, and one that is open cannot', async () => {
  await withLedger([shelled], async (ledger, scope) => {
    const closed = () => {
      const account = ledger.require(shelled)
      account[Symbol.dispose]()
      return account
    }
    assert.ok(await collectable(closed))
    const label = 'held'
    assert.ok(!(await collectable(() => ledger.require(shelled, { label }))))
    scope.own('held', ledger.holders(shelled, 1)[0]!)
  })
})
