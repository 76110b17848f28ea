/** A page that brings nothing further is not read again at once: otherwise nobody else gets a turn. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withLedger } from '../../testing/index.ts'
import type { Account, Term } from '../bounds/index.ts'
import type { Ticket } from '../machine/index.ts'
import { NEVER } from '../runtime/index.ts'
import type { StoredOperation } from '../store/index.ts'
import { DeliveryMachine } from './delivery-machine.ts'
import type { LogRow } from './log-table.ts'
import { operationBytes } from './memory.ts'
import type { Shared } from './shared.ts'

const HEADER = new Uint8Array(100)
const BODY = new Uint8Array(1_500)
const FIT_BYTES = 2 * operationBytes(HEADER, BODY)

const TERM: Term = Object.freeze({
  name: 'test.deliver',
  why: 'operations that wait for the consumer',
  instancesMax: 1,
  entriesMax: 8,
  payloadBytesMax: FIT_BYTES,
  shellBytes: 64,
  table: 'ring',
  arena: 'heap',
}) as Term

const operation = (seq: number) =>
  ({
    seq,
    prune: false,
    id: new Uint8Array(32),
    backlink: undefined,
    header: HEADER,
    body: BODY,
  }) as unknown as StoredOperation

/** A machine behind on a log of ten operations of which two fit at once. */
function behind(account: Account) {
  const state = { reads: 0, now: 0, ticket: 0 }
  const row = { next: 0, ours: 10, behind: false, silent: false, removed: false } as LogRow
  const shared = {
    get now() {
      return state.now
    },
    after: (ms: number) => state.now + ms,
    limits: { deliverMax: 8, pageBytesMax: 65_536 },
    tickets: { next: () => ++state.ticket },
    fx: { read: () => void state.reads++, ready: () => {} },
    counters: { overflow: { add: () => {} }, skipped: { add: () => {} } },
    table: { first: row, size: 1 },
  } as unknown as Shared
  const machine = new DeliveryMachine(shared, account, () => false)
  machine.resume(row)
  const ticket = () => state.ticket as unknown as Ticket
  const page = () => {
    const operations = []
    for (let seq = row.next; seq < row.ours; seq++) operations.push(operation(seq))
    assert.ok(machine.page(ticket(), { operations, last: true } as never))
  }
  const fail = () => assert.ok(machine.page(ticket(), undefined))
  return { state, row, machine, page, fail }
}

test('what does not fit is read again when the consumer has taken something, and not before', () =>
  withLedger([TERM], (ledger) => {
    const account = ledger.require(TERM)
    const { state, row, machine, page } = behind(account)
    machine.step()
    page()
    assert.equal(state.reads, 1)
    assert.equal(row.next, 2)
    for (let step = 0; step < 5; step++) machine.step()
    assert.equal(state.reads, 1, 'nothing was taken: it would be read for ever')
    const seen: number[] = []
    while (row.behind || machine.size > 0) {
      seen.push(machine.shift()!.seq)
      machine.step()
      if (state.reads > seen.length) page()
      assert.ok(state.reads < 40)
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 10 }, (_, at) => at),
    )
    machine[Symbol.dispose]()
  }))

test('what does not fit although nothing waits here is tried again after a while', () =>
  withLedger([TERM], (ledger) => {
    const account = ledger.require(TERM)
    account.require(FIT_BYTES - 100)
    const { state, row, machine, page } = behind(account)
    machine.step()
    page()
    assert.equal(machine.size, 0)
    for (let step = 0; step < 5; step++) machine.step()
    assert.equal(state.reads, 1)
    assert.equal(machine.wakeAt, 50)
    account.give(FIT_BYTES - 100)
    state.now = 50
    machine.step()
    assert.equal(state.reads, 2)
    page()
    assert.equal(row.next, 2)
    machine[Symbol.dispose]()
  }))

test('a store that fails is asked again after a while, whether or not something is taken', () =>
  withLedger([TERM], (ledger) => {
    const { state, row, machine, page, fail } = behind(ledger.require(TERM))
    machine.step()
    fail()
    machine.shift()
    for (let step = 0; step < 5; step++) machine.step()
    assert.equal(state.reads, 1)
    state.now = machine.wakeAt
    machine.step()
    assert.equal(machine.wakeAt, NEVER, 'a time that has passed would wake for ever')
    assert.equal(state.reads, 2)
    page()
    assert.equal(row.next, 2)
    machine[Symbol.dispose]()
  }))

test('a store that fails for good is asked with a growing delay of some seconds at most', () =>
  withLedger([TERM], (ledger) => {
    const { state, row, machine, page, fail } = behind(ledger.require(TERM))
    const delays: number[] = []
    for (let failures = 0; failures < 10; failures++) {
      machine.step()
      fail()
      delays.push(machine.wakeAt - state.now)
      state.now = machine.wakeAt
    }
    assert.deepEqual(delays, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000])
    machine.step()
    page()
    assert.equal(row.next, 2)
    machine.shift()
    machine.step()
    fail()
    assert.equal(machine.wakeAt - state.now, 50, 'it has answered meanwhile')
    machine[Symbol.dispose]()
  }))
