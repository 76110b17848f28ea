import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { recordsTerm } from './recovery.fixture.ts'
import { Ref, type RefSink, SentPackets } from './sent-packets.ts'

test('whatever leaves in whatever order, each frame is told of once with what it was', async () => {
  const records = recordsTerm()
  await withLedger([records], (ledger) => {
    for (let seed = 0; seed < 30; seed++) {
      const random = seededRandom(seed)
      using account = ledger.require(records)
      const sent = new SentPackets(account)
      const told = new Map<number, string>()
      const sink: RefSink = {
        acked: (kind, id, offset, length) => note(id, `${kind} ${offset} ${length} acked`),
        lost: (kind, id, offset, length) => note(id, `${kind} ${offset} ${length} lost`),
      }
      const note = (id: number, what: string) => {
        assert.ok(!told.has(id), `frame ${id} is told of twice`)
        told.set(id, what)
      }
      const expected = new Map<number, string>()
      const living = new Map<number, number[]>()
      let frame = 0
      for (let number = 0; number < 600; number++) {
        assert.ok(sent.hasRoom())
        const frames: number[] = []
        for (let count = random.below(5); count > 0 && sent.hasRefRoom(); count--) {
          sent.ref(Ref.stream, frame, frame * 3, frame * 7)
          frames.push(frame++)
        }
        if (random.below(10) === 0) {
          sent.abandon()
          continue
        }
        sent.commit(number, number * 10, 1_200)
        living.set(number, frames)
        for (let tries = random.below(4); tries > 0 && living.size > 0; tries--) {
          const keys = [...living.keys()]
          const chosen = keys[random.below(Math.min(keys.length, 40))]!
          const slot = sent.find(chosen)
          assert.equal(sent.number(slot), chosen)
          assert.equal(sent.sentAt(slot), chosen * 10)
          assert.equal(sent.bytes(slot), 1_200)
          const acked = random.below(2) === 0
          for (const id of living.get(chosen)!) {
            expected.set(id, `${Ref.stream} ${id * 3} ${id * 7} ${acked ? 'acked' : 'lost'}`)
          }
          sent.leave(slot, acked, sink)
          living.delete(chosen)
          sent.trim()
        }
      }
      assert.deepEqual([...told].sort(byId), [...expected].sort(byId), `seed ${seed}`)
      sent.clear()
      assert.equal(account.bytes, 0)
    }
  })
})

const byId = (a: readonly [number, string], b: readonly [number, string]) => a[0] - b[0]

test('a burst does not stay allocated when all of it has left', async () => {
  const records = recordsTerm()
  await withLedger([records], (ledger) => {
    using account = ledger.require(records)
    const sent = new SentPackets(account)
    const none: RefSink = { acked: () => {}, lost: () => {} }
    for (let number = 0; number < 1_000; number++) {
      assert.ok(sent.hasRoom())
      sent.commit(number, 0, 100)
    }
    assert.ok(account.bytes >= 40_000)
    for (let slot = sent.begin; slot < sent.end; slot++) sent.leave(slot, true, none)
    sent.trim()
    assert.equal(account.bytes, 0)
    assert.ok(sent.hasRoom())
    sent.clear()
  })
})

test('a few packets of many frames do not stay allocated either', async () => {
  const records = recordsTerm()
  await withLedger([records], (ledger) => {
    using account = ledger.require(records)
    const sent = new SentPackets(account)
    const none: RefSink = { acked: () => {}, lost: () => {} }
    for (let number = 0; number < 40; number++) {
      assert.ok(sent.hasRoom())
      while (sent.hasRefRoom()) sent.ref(Ref.maxData)
      sent.commit(number, 0, 1_200)
    }
    assert.ok(account.bytes >= 80_000)
    for (let slot = sent.begin; slot < sent.end; slot++) sent.leave(slot, true, none)
    sent.trim()
    assert.equal(account.bytes, 0)
  })
})

test('N+1: one record more than the account gives is refused', async () => {
  const records = recordsTerm(2_000)
  await withLedger([records], (ledger) => {
    using account = ledger.require(records)
    const sent = new SentPackets(account)
    let count = 0
    while (sent.hasRoom()) sent.commit(count++, 0, 100)
    assert.ok(account.bytes <= 2_000)
    assert.ok(count >= 6)
    assert.ok(sent.hasRoom(true), 'a probe has a place of its own')
    sent.clear()
  })
})
