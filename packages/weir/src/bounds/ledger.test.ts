import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { Ledger, planMemory, tableBytes, term } from './index.ts'

const one = term({ name: 'test.one', why: 'a test', payloadBytesMax: 100, entriesMax: 10 })
const many = term({ ...one, name: 'test.many', shellBytes: 50, instancesMax: 2 })

test('N instances open and N+1 is refused, counted, and thrown by require', async () => {
  await withLedger([many], (ledger) => {
    using first = ledger.require(many)
    using _second = ledger.open(many)!
    assert.equal(ledger.open(many), undefined)
    assert.equal(first.open(many), undefined)
    assert.throws(() => ledger.require(many), {
      code: 'LIMIT',
      retryable: true,
      limit: { scope: 'test.many', limit: 2, used: 2, wanted: 1 },
    })
    assert.equal(ledger.row(many).refused.cap, 3)
    assert.equal(ledger.row(many).instances, 2)
    first[Symbol.dispose]()
    ledger.require(many)[Symbol.dispose]()
  })
})

test('a term that is not in the plan is a mistake, also one that only looks the same', async () => {
  await withLedger([one], (ledger) => {
    assert.ok(ledger.has(one))
    const twin = term({ ...one })
    assert.ok(!ledger.has(twin))
    assert.throws(() => ledger.open(twin), /the plan has no term test\.one/)
  })
})

test('rows sum what the instances hold, with peaks, exits and refusals', async () => {
  await withLedger([one, many], (ledger) => {
    using a = ledger.require(many)
    using b = ledger.require(many)
    a.require(10, 1)
    b.require(20, 2)
    const fixed = 2 * tableBytes(10, 'none')
    assert.partialDeepStrictEqual(ledger.row(many), {
      instances: 2,
      entries: 3,
      bytes: 30,
      costBytes: fixed + 30 + 150,
      peakCostBytes: fixed + 30 + 150,
      plannedBytes: fixed + 2 * (100 + 500),
    })
    a.exit('evicted')
    a.exit('expired', 7)
    assert.equal(a.refuse(), 'cap')
    b.give(20, 2)
    const row = ledger.row(many)
    assert.equal(row.peakCostBytes, fixed + 180)
    assert.equal(row.costBytes, fixed + 60)
    assert.deepEqual([row.exits.evicted, row.exits.expired, row.refused.cap], [1, 7, 1])
    assert.equal(ledger.peakCostBytes, fixed + 180)
    assert.deepEqual([...ledger.rows()].map(({ term: { name } }) => name).slice(0, 2), [
      'test.one',
      'test.many',
    ])
    a.give(10, 1)
  })
})

test('holders are the heaviest first, by entries as well as by bytes and with what they own', async () => {
  const peers = term({
    name: 'test.peers',
    why: 'a test',
    instancesMax: 4,
    shellBytes: 50,
    entriesMax: 9,
  })
  await withLedger([peers, many], (ledger, scope) => {
    const open = (label: string) => scope.own(label, ledger.require(peers, { label }))
    open('empty')
    const entries = open('entries')
    entries.require(0, 2)
    scope.defer('give', () => entries.give(0, 2))
    const owner = open('owner')
    const owned = owner.open(many)!
    owned.require(99)
    scope.defer('owned', () => {
      owned.give(99)
      owned[Symbol.dispose]()
    })
    const labels = ledger.holders(peers, 2).map(({ label }) => label)
    assert.deepEqual(labels, ['entries', 'owner'])
  })
})

test('a label is cut, and a long one is not kept alive by it', async () => {
  await withLedger([one], (ledger) => {
    using account = ledger.require(one, { label: 'x'.repeat(1_000) })
    assert.equal(account.label, 'x'.repeat(64))
  })
})

test('assertEmpty names what is still held', () => {
  const ledger = new Ledger(planMemory([one, many], { limitBytes: 1e6 }))
  ledger.assertEmpty()
  const account = ledger.require(one)
  assert.deepEqual(ledger.held(), ['test.one: 1 open, 0 entries, 0 bytes'])
  account.require(7, 1)
  assert.throws(() => ledger.assertEmpty(), /test\.one: 1 open, 1 entries, 7 bytes/)
  assert.deepEqual(ledger.held(), ['test.one: 1 open, 1 entries, 7 bytes'])
  account.give(7, 1)
  account[Symbol.dispose]()
  ledger.assertEmpty()
})

test('leaks are asserted when the environment says so', () => {
  const before = process.env['WEIR_ASSERT']
  try {
    process.env['WEIR_ASSERT'] = '1'
    assert.equal(new Ledger(planMemory([one], { limitBytes: 1e6 })).assertLeaks, true)
    process.env['WEIR_ASSERT'] = '0'
    assert.equal(new Ledger(planMemory([one], { limitBytes: 1e6 })).assertLeaks, false)
  } finally {
    if (before === undefined) delete process.env['WEIR_ASSERT']
    else process.env['WEIR_ASSERT'] = before
  }
})
