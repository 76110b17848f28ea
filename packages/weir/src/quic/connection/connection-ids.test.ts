import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { type Account, term } from '../../bounds/index.ts'
import { ErrorCode } from '../packet/errors.ts'
import {
  LOCAL_IDS_MAX,
  LocalIds,
  REMOTE_IDS_MAX,
  REMOTE_IDS_MIN,
  RemoteIds,
} from './connection-ids.ts'

const id = (of: number) => new Uint8Array(8).fill(of)
const token = (of: number) => new Uint8Array(16).fill(of)
const add = (ids: RemoteIds, of: number, retirePrior = 0) =>
  ids.add(of, retirePrior, id(of), token(of))

const idsTerm = (entriesMax = 4) =>
  term({ name: 'test.ids', why: 'test', entriesMax, shellBytes: 1 })
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

class Router {
  made = 0
  full = false
  readonly gone: number[] = []
  readonly resets = new Set<string>()

  issue() {
    return this.full ? undefined : { bytes: id(++this.made), token: token(this.made) }
  }

  retire(bytes: Uint8Array): void {
    this.gone.push(bytes[0]!)
  }

  expectReset(of: string): void {
    this.resets.add(of)
  }

  forgetReset(of: string): void {
    assert.ok(this.resets.delete(of), 'a token is forgotten twice')
  }
}

/** Ids of a peer, of which nothing may be left. */
async function withRemote(
  run: (ids: RemoteIds, router: Router, account: Account) => void,
  { first = id(0), entriesMax = 4 } = {},
): Promise<void> {
  const ids = idsTerm(entriesMax)
  await withLedger([ids], (ledger) => {
    using account = ledger.require(ids)
    const router = new Router()
    const remote = new RemoteIds(router, account, first)
    run(remote, router, account)
    remote.end()
    assert.equal(router.resets.size, 0)
    assert.equal(account.entries, 0)
  })
}

async function withLocal(
  run: (ids: LocalIds, router: Router, account: Account) => void,
  entriesMax = 4,
): Promise<void> {
  const ids = idsTerm(entriesMax)
  await withLedger([ids], (ledger) => {
    using account = ledger.require(ids)
    const router = new Router()
    const local = new LocalIds(router, account, router.issue()!)
    run(local, router, account)
    local.end()
    assert.equal(router.gone.length, router.made)
    assert.equal(account.entries, 0)
  })
}

function retired(ids: RemoteIds): number[] {
  const found: number[] = []
  for (let each = ids.retireDue; each >= 0; each = ids.retireDue) {
    found.push(each)
    ids.retireSent(each)
  }
  return found.sort((a, b) => a - b)
}

test('ids of the peer are taken up to the limit that it was told', () =>
  withRemote((ids) => {
    for (let of = 1; of < REMOTE_IDS_MAX; of++) assert.equal(add(ids, of), undefined)
    assert.equal(add(ids, 2), undefined, 'repeated')
    assert.equal(add(ids, REMOTE_IDS_MAX)?.code, ErrorCode.connectionIdLimit)
  }))

test('what the peer retires is given up, also the one in use', () =>
  withRemote((ids) => {
    add(ids, 1)
    add(ids, 2)
    assert.equal(add(ids, 3, 3), undefined)
    assert.deepEqual(ids.current.bytes, id(3))
    assert.deepEqual(retired(ids), [0, 1, 2])
    assert.equal(ids.retireDue, -1)
    ids.retireLost(1)
    assert.deepEqual(retired(ids), [1])
    ids.retireAcked(1)
    ids.retireLost(1)
    assert.equal(ids.retireDue, -1)
    assert.equal(add(ids, 2, 0), undefined, 'a late one below')
    assert.deepEqual(ids.current.bytes, id(3))
  }))

test('one that comes late and is retired already is retired at once', () =>
  withRemote((ids) => {
    assert.equal(add(ids, 5, 5), undefined)
    assert.deepEqual(retired(ids), [0])
    assert.equal(add(ids, 3), undefined)
    assert.deepEqual(retired(ids), [3])
  }))

test('a repeated frame does not bring an id back that we have retired', () =>
  withRemote((ids) => {
    add(ids, 1)
    assert.ok(ids.switch())
    assert.deepEqual(retired(ids), [0])
    add(ids, 2)
    assert.ok(ids.switch())
    assert.deepEqual(retired(ids), [1])
    assert.equal(add(ids, 1), undefined)
    assert.equal(ids.switch(), false)
  }))

test('numbers, ids and tokens that contradict each other are a violation', () =>
  withRemote((ids) => {
    add(ids, 1)
    assert.equal(ids.add(1, 0, id(9), token(1))?.code, ErrorCode.protocolViolation)
    assert.equal(ids.add(2, 0, id(1), token(2))?.code, ErrorCode.protocolViolation)
    assert.equal(ids.add(1, 0, id(1), token(9))?.code, ErrorCode.protocolViolation)
  }))

test('a peer whose ids are empty gives no others', () =>
  withRemote((ids) => assert.equal(add(ids, 1)?.code, ErrorCode.protocolViolation), {
    first: new Uint8Array(0),
  }))

test('N+1 quic.ids: a peer for whose ids there is no room is told so, and has two', () =>
  withRemote(
    (ids) => {
      assert.equal(ids.limit, REMOTE_IDS_MIN)
      assert.equal(add(ids, 1), undefined)
      assert.ok(ids.switch(), 'it can move still')
      assert.equal(add(ids, 2), undefined)
      assert.equal(add(ids, 3)?.code, ErrorCode.connectionIdLimit)
    },
    { entriesMax: REMOTE_IDS_MAX - REMOTE_IDS_MIN - 1 },
  ))

test('a flood of ids to retire ends at a cap', () =>
  withRemote((ids) => {
    let of = 1
    while (!add(ids, of, of) && of < 1_000) of++
    assert.ok(of < 20, `${of} were taken`)
  }))

test('numbers far apart cost a bounded number of ranges', () =>
  withRemote((ids) => {
    for (let of = 10; of < 10_000; of += 10) {
      assert.equal(add(ids, of, of), undefined)
      for (const each of retired(ids)) ids.retireAcked(each)
    }
  }))

test('the id of a preferred address is retired and never used', () =>
  withRemote((ids) => {
    ids.refusePreferred()
    assert.deepEqual(retired(ids), [1])
    assert.equal(add(ids, 1), undefined)
    assert.equal(ids.switch(), false)
  }))

test('a reset is told by the token of the id in use, and by no other', () =>
  withRemote((ids, router) => {
    ids.setToken(token(7))
    add(ids, 1)
    assert.deepEqual([...router.resets], [latin1(token(7))])
    const datagram = (of: number) =>
      new Uint8Array([...new Uint8Array(25).fill(0x41), ...token(of)])
    assert.ok(ids.isReset(datagram(7), 41))
    assert.ok(!ids.isReset(datagram(1), 41), 'not used yet')
    assert.ok(!ids.isReset(datagram(2), 41))
    assert.ok(!ids.isReset(token(7), 15))
    ids.switch()
    assert.deepEqual([...router.resets], [latin1(token(1))])
    assert.ok(!ids.isReset(datagram(7), 41), 'retired')
    assert.ok(ids.isReset(datagram(1), 41))
  }))

test('ids of ours are given up to two, told until acknowledged, and replaced when retired', () =>
  withLocal((ids, { gone }, account) => {
    assert.equal(ids.due(), undefined)
    ids.fill(8)
    assert.equal([...ids.ids()].length, LOCAL_IDS_MAX)
    assert.equal(account.entries, 1, 'the first is part of the connection')
    const due = ids.due()!
    assert.equal(due.sequence, 1)
    ids.told(due)
    ids.lost(1)
    assert.equal(ids.due(), due)
    assert.equal(ids.retire(0, 8), undefined)
    assert.deepEqual(gone, [1])
    assert.equal(ids.retire(0, 8), undefined, 'repeated')
    assert.equal([...ids.ids()].length, LOCAL_IDS_MAX)
    assert.equal(account.entries, 1)
    assert.equal(ids.retire(9, 8)?.code, ErrorCode.protocolViolation)
  }))

test('without a place for one more the peer has one id less', () =>
  withLocal((ids, router, account) => {
    router.full = true
    ids.fill(8)
    assert.equal([...ids.ids()].length, 1)
    assert.equal(account.entries, 0)
  }))

test('N+1 quic.ids: an id of ours that cannot be charged is not given, and the last one never goes without another', () =>
  withLocal((ids, _router, account) => {
    account.require(0, 1)
    ids.fill(8)
    assert.equal([...ids.ids()].length, 1)
    assert.equal(ids.retire(0, 8), undefined)
    assert.equal([...ids.ids()].length, 1)
    account.give(0, 1)
    ids.fill(8)
    assert.equal([...ids.ids()].length, LOCAL_IDS_MAX)
  }, 1))
