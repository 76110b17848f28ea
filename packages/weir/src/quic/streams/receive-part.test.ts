import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { term } from '../../bounds/index.ts'
import { ErrorCode } from '../packet/errors.ts'
import { ReceiveCredit } from './credit.ts'
import { NOT_TAKEN, ReceivePart } from './receive-part.ts'

const FIRST = 1_000
const MOST = 8_000
const credits = term({ name: 'test.receive', why: 'test', payloadBytesMax: 100_000 })
const gapsTerm = term({ name: 'test.gaps', why: 'test', payloadBytesMax: 10_000 })
const zeros = new Uint8Array(20_000)

function part(run: (part: ReceivePart, credit: ReceiveCredit, held: () => number) => void) {
  return withLedger([credits, gapsTerm], (ledger) => {
    using account = ledger.require(credits)
    using gaps = ledger.require(gapsTerm)
    const credit = new ReceiveCredit(account, 2 * FIRST)
    const receive = new ReceivePart(credit, gaps, FIRST, MOST)
    credit.advertise()
    run(receive, credit, () => account.bytes)
    receive.abandon()
    receive.free()
    credit.close()
    assert.equal(account.bytes, 0)
    assert.equal(gaps.bytes, 0)
  })
}

const data = (to: ReceivePart, offset: number, length: number, fin = false) =>
  to.data(offset, zeros, 0, length, fin)

test('a stream takes what was advertised for it and no byte more', () =>
  part((receive) => {
    assert.equal(data(receive, 0, FIRST), undefined)
    assert.equal(data(receive, FIRST, 1)?.code, ErrorCode.flowControl)
    assert.equal(data(receive, 0, FIRST), undefined, 'again, of the same')
  }))

test('a reader that keeps up gets a larger window, up to the most', () =>
  part((receive, credit) => {
    let at = 0
    const windows: number[] = []
    while (at < 40_000) {
      const limit = receive.advertise()
      assert.equal(data(receive, at, limit - at), undefined)
      at = limit
      while (receive.read(500)) {}
      windows.push(receive.advertise() - at)
      credit.advertise()
    }
    assert.ok(windows.includes(MOST), `${windows}`)
    assert.ok(Math.max(...windows) <= MOST)
  }))

test('a final size does not change, by an end or a reset', () =>
  part((receive) => {
    assert.equal(data(receive, 0, 100, true), undefined)
    assert.equal(data(receive, 50, 51)?.code, ErrorCode.finalSize)
    assert.equal(data(receive, 0, 99, true)?.code, ErrorCode.finalSize)
    assert.equal(receive.reset(1, 101)?.code, ErrorCode.finalSize)
    assert.equal(receive.reset(1, 100), undefined)
    assert.equal(receive.resetCode, 1)
    assert.ok(receive.done)
  }))

test('an end before bytes that have come, and a reset below them, are violations', () =>
  part((receive) => {
    data(receive, 500, 100)
    assert.equal(data(receive, 0, 100, true)?.code, ErrorCode.finalSize)
    assert.equal(receive.reset(1, 599)?.code, ErrorCode.finalSize)
  }))

test('a reset beyond the credit is a violation', () =>
  part((receive) => {
    data(receive, 0, 100)
    assert.equal(receive.reset(5, FIRST + 1)?.code, ErrorCode.flowControl)
  }))

test('a reset gives the window back, and the credit of what never comes', () =>
  part((receive, credit, held) => {
    data(receive, 0, 100)
    const before = held()
    assert.equal(receive.reset(5, 900), undefined)
    assert.ok(held() < before)
    assert.ok(credit.advertise() >= 900 + 2 * FIRST)
  }))

test('who stops takes no more bytes, and the peer loses no credit of the connection by it', () =>
  part((receive, credit) => {
    data(receive, 0, 300)
    receive.stop(7)
    assert.ok(receive.stopDue)
    receive.stopSent()
    receive.stopLost()
    assert.ok(receive.stopDue, 'until it is known to have arrived')
    receive.stopSent()
    assert.equal(data(receive, 300, 600), undefined)
    assert.equal(receive.read(100), undefined)
    assert.equal(credit.advertise(), 900 + 3 * FIRST)
    assert.equal(receive.done, false)
    data(receive, 900, 0, true)
    assert.ok(receive.done)
  }))

test('N+1: one gap more than 64 is not taken and costs nothing', () =>
  part((receive) => {
    for (let gap = 0; gap < 65; gap++) assert.equal(data(receive, 1 + 2 * gap, 1), undefined)
    assert.equal(data(receive, 1 + 2 * 65, 1), NOT_TAKEN)
    assert.equal(data(receive, 0, 1), undefined, 'what fills a gap is taken')
    assert.equal(receive.read(10)?.length, 2)
    assert.equal(data(receive, 1 + 2 * 65, 1), undefined)
  }))

test('what is thrown away with the connection is not read', () =>
  part((receive) => {
    data(receive, 0, 100, true)
    receive.read(50)
    receive.free()
    assert.equal(receive.finished, false)
  }))

test('a stream that had no window when it began, and has ended, gets none any more', () =>
  withLedger([credits, gapsTerm], (ledger) => {
    using account = ledger.require(credits)
    using gaps = ledger.require(gapsTerm)
    const credit = new ReceiveCredit(account, 2 * FIRST)
    const others = credits.payloadBytesMax - account.bytes
    account.require(others)
    const receive = new ReceivePart(credit, gaps, FIRST, MOST)
    assert.ok(receive.ungranted)
    data(receive, 0, 100, true)
    while (receive.read(100)) {}
    assert.ok(receive.done)
    account.give(others)
    const { window } = credit
    receive.grant()
    receive.abandon()
    assert.equal(credit.window, window, 'a window that nobody gives back')
    credit.close()
  }))
