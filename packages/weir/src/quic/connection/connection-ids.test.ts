import assert from 'node:assert/strict'
import test from 'node:test'
import { ErrorCode } from '../packet/errors.ts'
import { LOCAL_IDS_MAX, LocalIds, REMOTE_IDS_MAX, RemoteIds } from './connection-ids.ts'

const id = (of: number) => new Uint8Array(8).fill(of)
const token = (of: number) => new Uint8Array(16).fill(of)
const add = (ids: RemoteIds, of: number, retirePrior = 0) =>
  ids.add(of, retirePrior, id(of), token(of))

function retired(ids: RemoteIds): number[] {
  const found: number[] = []
  for (let each = ids.retireDue; each >= 0; each = ids.retireDue) {
    found.push(each)
    ids.retireSent(each)
  }
  return found.sort((a, b) => a - b)
}

test('ids of the peer are taken up to the limit that it was told', () => {
  const ids = new RemoteIds(id(0))
  for (let of = 1; of < REMOTE_IDS_MAX; of++) assert.equal(add(ids, of), undefined)
  assert.equal(add(ids, 2), undefined, 'repeated')
  assert.equal(add(ids, REMOTE_IDS_MAX)?.code, ErrorCode.connectionIdLimit)
})

test('what the peer retires is given up, also the one in use', () => {
  const ids = new RemoteIds(id(0))
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
})

test('one that comes late and is retired already is retired at once', () => {
  const ids = new RemoteIds(id(0))
  assert.equal(add(ids, 5, 5), undefined)
  assert.deepEqual(retired(ids), [0])
  assert.equal(add(ids, 3), undefined)
  assert.deepEqual(retired(ids), [3])
})

test('a repeated frame does not bring an id back that we have retired', () => {
  const ids = new RemoteIds(id(0))
  add(ids, 1)
  assert.ok(ids.switch())
  assert.deepEqual(retired(ids), [0])
  add(ids, 2)
  assert.ok(ids.switch())
  assert.deepEqual(retired(ids), [1])
  assert.equal(add(ids, 1), undefined)
  assert.equal(ids.switch(), false)
})

test('numbers, ids and tokens that contradict each other are a violation', () => {
  const ids = new RemoteIds(id(0))
  add(ids, 1)
  assert.equal(ids.add(1, 0, id(9), token(1))?.code, ErrorCode.protocolViolation)
  assert.equal(ids.add(2, 0, id(1), token(2))?.code, ErrorCode.protocolViolation)
  assert.equal(ids.add(1, 0, id(1), token(9))?.code, ErrorCode.protocolViolation)
  const empty = new RemoteIds(new Uint8Array(0))
  assert.equal(add(empty, 1)?.code, ErrorCode.protocolViolation)
})

test('a flood of ids to retire ends at a cap', () => {
  const ids = new RemoteIds(id(0))
  let of = 1
  while (!add(ids, of, of) && of < 1_000) of++
  assert.ok(of < 20, `${of} were taken`)
})

test('numbers far apart cost a bounded number of ranges', () => {
  const ids = new RemoteIds(id(0))
  for (let of = 10; of < 10_000; of += 10) {
    assert.equal(add(ids, of, of), undefined)
    for (const each of retired(ids)) ids.retireAcked(each)
  }
})

test('the id of a preferred address is retired and never used', () => {
  const ids = new RemoteIds(id(0))
  ids.refusePreferred()
  assert.deepEqual(retired(ids), [1])
  assert.equal(add(ids, 1), undefined)
  assert.equal(ids.switch(), false)
})

test('a reset is told by the tokens of ids that are in use', () => {
  const ids = new RemoteIds(id(0))
  ids.current.token = token(7)
  add(ids, 1)
  const datagram = (of: number) => new Uint8Array([...new Uint8Array(25).fill(0x41), ...token(of)])
  assert.ok(ids.isReset(datagram(7), 41))
  assert.ok(ids.isReset(datagram(1), 41))
  assert.ok(!ids.isReset(datagram(2), 41))
  assert.ok(!ids.isReset(token(7), 15))
  ids.switch()
  assert.ok(!ids.isReset(datagram(7), 41), 'retired')
})

test('ids of ours are given up to two, told until acknowledged, and replaced when retired', () => {
  let made = 0
  const gone: number[] = []
  const issue = () => ({ bytes: id(++made), token: token(made) })
  const ids = new LocalIds({ issue, retire: (bytes) => gone.push(bytes[0]!) }, issue())
  assert.equal(ids.due(), undefined)
  ids.fill(8)
  assert.equal([...ids.ids()].length, LOCAL_IDS_MAX)
  const due = ids.due()!
  assert.equal(due.sequence, 1)
  due.due = false
  ids.lost(1)
  assert.equal(ids.due(), due)
  assert.equal(ids.retire(0, 8), undefined)
  assert.deepEqual(gone, [1])
  assert.equal(ids.retire(0, 8), undefined, 'repeated')
  assert.equal([...ids.ids()].length, LOCAL_IDS_MAX)
  assert.equal(ids.retire(9, 8)?.code, ErrorCode.protocolViolation)
  ids.end()
  assert.deepEqual(gone.sort(), [1, 2, 3])
})

test('without a place for one more the peer has one id less', () => {
  const ids = new LocalIds(
    { issue: () => undefined, retire: () => {} },
    {
      bytes: id(1),
      token: token(1),
    },
  )
  ids.fill(8)
  assert.equal([...ids.ids()].length, 1)
})
