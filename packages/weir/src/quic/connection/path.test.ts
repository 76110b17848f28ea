import assert from 'node:assert/strict'
import test from 'node:test'
import { seededRandom } from '../../runtime/index.ts'
import { Path, Paths } from './path.ts'

const HOME = { host: '10.0.0.1', port: 1 }
const PORT = { host: '10.0.0.1', port: 2 }
const AWAY = { host: '10.0.0.2', port: 1 }
const ID = new Uint8Array(8).fill(1)

const paths = () => new Paths(HOME, true, seededRandom(1))

test('an address that is not proved gets three times what came from it', () => {
  const path = new Path(HOME, false)
  assert.equal(path.allowance, 0)
  path.received = 1_200
  path.sent = 1_000
  assert.equal(path.allowance, 2_600)
  path.sent = 4_000
  assert.equal(path.allowance, 0)
  path.validated = true
  assert.equal(path.allowance, Number.POSITIVE_INFINITY)
})

test('who moves is asked there and where it was', () => {
  const each = paths()
  each.move(AWAY, 50, 0, 1_000, ID)
  assert.equal(each.current.remote, AWAY)
  assert.equal(each.current.allowance, 150)
  assert.ok(each.current.challengeDue && each.previous?.challengeDue)
  assert.notDeepEqual(each.current.challenge, each.previous.challenge)
  assert.equal(each.proved(each.previous.challenge!), false, 'the other challenge proves nothing')
  assert.equal(each.current.validated, false)
  assert.equal(each.proved(each.current.challenge!), true)
  assert.ok(each.current.validated)
  assert.equal(each.previous, undefined)
})

test('another port of the same host keeps what was learnt of the path', () => {
  const each = paths()
  each.move(PORT, 50, 0, 1_000, ID)
  assert.equal(each.proved(each.current.challenge!), false)
  assert.ok(each.current.validated)
})

test('without a proof it goes back to where it was, and without that there is no way', () => {
  const each = paths()
  each.move(AWAY, 50, 0, 1_000, ID)
  each.move({ host: '10.0.0.3', port: 1 }, 50, 0, 1_000, ID)
  assert.ok(each.expire())
  assert.equal(each.current.remote, HOME)
  assert.ok(each.current.validated)
  const fresh = new Paths(HOME, false, seededRandom(2))
  fresh.move(AWAY, 50, 0, 1_000, ID)
  assert.equal(fresh.expire(), false)
})

test('who comes back to where it was is not asked again', () => {
  const each = paths()
  each.move(AWAY, 50, 0, 1_000, ID)
  each.move(HOME, 50, 0, 1_000, ID)
  assert.ok(each.current.validated)
  assert.equal(each.moves, 2)
})

test('who moves to and fro is asked where it was once in the time that a proof may take', () => {
  const each = paths()
  const asked = (now: number): boolean => {
    each.move(AWAY, 50, now, now + 1_000, ID)
    const due = each.previous!.challengeDue
    each.previous!.challengeDue = false
    each.move(HOME, 50, now, now + 1_000, ID)
    return due
  }
  assert.deepEqual([0, 1, 999, 1_000, 1_001].map(asked), [true, false, false, true, false])
})

test('a peer that uses another id of ours moves on purpose', () => {
  const each = paths()
  assert.equal(each.usesOtherId(ID), false, 'none is known')
  each.move(AWAY, 50, 0, 1_000, ID)
  assert.equal(each.usesOtherId(new Uint8Array(8).fill(1)), false)
  assert.equal(each.usesOtherId(new Uint8Array(8).fill(2)), true)
})
