import assert from 'node:assert/strict'
import test from 'node:test'
import { toyKeys } from '../toy-keys.fixture.ts'
import { ApplicationKeys } from './application-keys.ts'

const KEEP_US = 300_000

/** Both ends of a connection, with the packets between them. */
class End {
  readonly keys: ApplicationKeys
  number = 0

  constructor(name: string, peer: string, sealedMax = 1_000, sealedLimit = 2_000) {
    const secret = (of: string) => new TextEncoder().encode(of)
    this.keys = new ApplicationKeys(
      toyKeys(0x1301, secret(peer)),
      toyKeys(0x1301, secret(name)),
      sealedMax,
      sealedLimit,
    )
  }

  seal(): { readonly number: number; readonly phase: number; readonly bytes: Uint8Array } {
    const bytes = new Uint8Array(60)
    const { phase } = this.keys
    bytes[0] = 0x43
    this.keys.write.seal(bytes, 0, 13, 44, this.number, 4)
    this.keys.sealed(this.number)
    return { number: this.number++, phase, bytes }
  }

  /** @returns whether it could be opened; `error` when the peer broke a rule. */
  open(packet: ReturnType<End['seal']>, now = 0): boolean | 'error' {
    const bytes = packet.bytes.slice()
    this.keys.read.unmask(bytes, 0, 9)
    const read = this.keys.forPacket(packet.phase, packet.number)
    if (!read || read.open(bytes, 0, 13, 60, packet.number) < 0) return false
    return this.keys.opened(packet.phase, packet.number, now, KEEP_US) ? true : 'error'
  }
}

const pair = (sealedMax?: number, limit?: number): [End, End] => [
  new End('a', 'b', sealedMax, limit),
  new End('b', 'a', sealedMax, limit),
]

test('an update is followed, and packets of the phase before still open for a while', () => {
  const [a, b] = pair()
  const early = a.seal()
  const late = a.seal()
  assert.equal(b.open(early), true)
  assert.equal(a.keys.update(0), true)
  assert.equal(b.open(a.seal(), 1_000), true)
  assert.equal(b.keys.phase, 1)
  assert.equal(b.keys.updates, 1)
  assert.equal(b.keys.previousUntil, 1_000 + KEEP_US)
  assert.equal(b.open(late), true)
  b.keys.forgetPrevious()
  assert.equal(b.open(late), false, 'the keys of before are gone')
  assert.equal(a.open(b.seal(), 2_000), true)
})

test('who starts keeps the old keys from the first packet of the new phase on, not from the start', () => {
  const [a, b] = pair()
  b.open(a.seal())
  const old = b.seal()
  a.keys.update(0)
  assert.equal(a.keys.previousUntil, Number.POSITIVE_INFINITY)
  assert.equal(a.open(old, 9e9), true, 'however long the peer is silent')
  b.open(a.seal())
  assert.equal(a.open(b.seal(), 5_000), true)
  assert.equal(a.keys.previousUntil, 5_000 + KEEP_US)
})

test('no update before the last one was acknowledged and its keys are gone', () => {
  const [a] = pair()
  assert.equal(a.keys.update(-1), false, 'nothing was sealed')
  a.seal()
  assert.equal(a.keys.update(-1), false, 'nothing was acknowledged')
  assert.equal(a.keys.update(0), true)
  a.seal()
  assert.equal(a.keys.update(0), false, 'an acknowledgement of the phase before')
  assert.equal(a.keys.update(1), false, 'the old keys are still there')
  a.keys.forgetPrevious()
  assert.equal(a.keys.update(1), true)
  assert.equal(a.keys.phase, 0)
})

test('both start an update at once and meet', () => {
  const [a, b] = pair()
  b.open(a.seal())
  a.open(b.seal())
  a.keys.update(0)
  b.keys.update(0)
  assert.equal(b.open(a.seal()), true)
  assert.equal(a.open(b.seal()), true)
  assert.equal(a.keys.updates, 1)
  assert.equal(b.keys.updates, 1)
})

test('a peer that updates twice without an answer breaks a rule', () => {
  const [a, b] = pair()
  b.open(a.seal())
  a.keys.update(0)
  assert.equal(b.open(a.seal()), true)
  a.keys.forgetPrevious()
  a.keys.update(1)
  assert.equal(b.open(a.seal()), 'error')
})

test('a packet with a forged phase bit changes nothing', () => {
  const [a, b] = pair()
  const packet = a.seal()
  assert.equal(b.open({ ...packet, phase: 1 }), false)
  assert.equal(b.keys.updates, 0)
  assert.equal(b.open(packet), true)
})

test('an update is wanted in time, and a key that sealed all it may is used up', () => {
  const [a] = pair(3, 5)
  for (let count = 0; count < 3; count++) a.seal()
  assert.ok(a.keys.updateWanted && !a.keys.usedUp)
  a.seal()
  a.seal()
  assert.ok(a.keys.usedUp)
})
