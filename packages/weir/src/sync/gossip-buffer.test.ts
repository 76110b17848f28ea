import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { nodeId, topicId } from '../core/index.ts'
import { instant } from '../runtime/index.ts'
import { type BufferLock, GossipBuffer } from './gossip-buffer.ts'
import { syncLimits } from './limits.ts'
import { syncTerms } from './memory.ts'

const HELD_MAX = 6
const LOCKS_MAX = 4
const HOLD_MS = 100
const LOCK_MS = 1_000
const limits = syncLimits({
  topicsMax: 1,
  heldMax: HELD_MAX,
  heldBytesMax: 60,
  locksMax: LOCKS_MAX,
  holdMs: HOLD_MS,
  lockMs: LOCK_MS,
})
const terms = syncTerms(limits)

const topic = (index: number) => topicId(new Uint8Array(32).fill(index))
const author = (index: number) => nodeId(new Uint8Array(32).fill(index))
const ms = (at: number) => instant(at * 1000)

interface Op {
  readonly logKey: string
  readonly seq: number
  readonly bytes: number
}

const op = (seq: number, logKey = 'a', bytes = 5): Op => ({ logKey, seq, bytes })

interface Heard {
  readonly lost: string[]
  readonly unlocked: string[]
}

function make(ledger: Ledger, heard?: Heard): GossipBuffer<Op> {
  return new GossipBuffer<Op>({
    held: ledger.require(terms.held),
    buffers: ledger.require(terms.buffers),
    locks: ledger.require(terms.locks),
    holdMs: HOLD_MS,
    lockMs: LOCK_MS,
    onLost: (at, of, why, { seq }) => void heard?.lost.push(`${at[0]} ${of[0]} ${why} ${seq}`),
    onUnlocked: (at, of, why) => void heard?.unlocked.push(`${at[0]} ${of[0]} ${why}`),
  })
}

test('leak analysis, finding 2: a counter that falls to zero leaves nothing behind, nor does drain', async () => {
  await withLedger(Object.values(terms), (ledger) => {
    using buffer = make(ledger)
    for (let round = 0; round < 1_000; round++) {
      const peer = author(round % 251)
      const lock = buffer.lock(topic(1), peer, ms(round))
      buffer.hold(topic(1), peer, op(round), ms(round))
      assert.ok(lock)
      lock[Symbol.dispose]()
      lock[Symbol.dispose]()
      assert.deepEqual(
        [...buffer.drain(topic(1), peer)].map(({ seq }) => seq),
        [round],
      )
      assert.equal(buffer.entries, 0)
      assert.equal(buffer.locks, 0)
      assert.equal(buffer.bytes, 0)
    }
    assert.equal(ledger.row(terms.buffers).entries, 0)
  })
})

test('drain under a lock takes the operations and leaves the lock', async () => {
  await withLedger(Object.values(terms), (ledger) => {
    using buffer = make(ledger)
    using _lock = buffer.lock(topic(1), author(1), ms(0))
    buffer.hold(topic(1), author(1), op(3), ms(0))
    buffer.hold(topic(1), author(1), op(1), ms(0))
    assert.deepEqual(
      [...buffer.drain(topic(1), author(1))].map(({ seq }) => seq),
      [1, 3],
    )
    assert.equal(buffer.size, 0)
    assert.ok(buffer.locked(topic(1), author(1)))
  })
})

test('a lock that is forgotten is ended by its deadline, and a late guard harms no newer lock', async () => {
  await withLedger(Object.values(terms), (ledger) => {
    const heard: Heard = { lost: [], unlocked: [] }
    using buffer = make(ledger, heard)
    const late = buffer.lock(topic(1), author(1), ms(0))
    assert.equal(buffer.sweepAt, ms(LOCK_MS))
    assert.equal(buffer.sweep(ms(LOCK_MS - 1)), 0)
    assert.equal(buffer.sweep(ms(LOCK_MS)), 1)
    assert.deepEqual(heard.unlocked, ['1 1 expired'])
    assert.equal(buffer.entries, 0)
    const newer = buffer.lock(topic(1), author(1), ms(2_000))
    late?.[Symbol.dispose]()
    assert.ok(buffer.locked(topic(1), author(1)))
    newer?.[Symbol.dispose]()
    assert.deepEqual(heard.unlocked, ['1 1 expired', '1 1 released'])
  })
})

test('sync.held: the operation above the cap is dropped, counted, and its topic told', async () => {
  await withLedger(Object.values(terms), (ledger) => {
    const heard: Heard = { lost: [], unlocked: [] }
    using buffer = make(ledger, heard)
    for (let seq = 0; seq < HELD_MAX; seq++) {
      assert.equal(buffer.hold(topic(1), author(1), op(seq), ms(0)), 'held')
    }
    assert.equal(buffer.hold(topic(1), author(1), op(9), ms(0)), 'dropped')
    assert.equal(buffer.hold(topic(2), author(2), op(9), ms(0)), 'dropped')
    assert.deepEqual(heard.lost, ['1 1 full 9', '2 2 full 9'])
    assert.equal(buffer.entries, 1)
    assert.equal(ledger.row(terms.held).refused.cap, 2)
    assert.equal(ledger.row(terms.held).exits.evicted, 2)
  })
})

test('sync.held-bytes: bytes are capped, and the newest is dropped', async () => {
  await withLedger(Object.values(terms), (ledger) => {
    const heard: Heard = { lost: [], unlocked: [] }
    using buffer = make(ledger, heard)
    assert.equal(buffer.hold(topic(1), author(1), op(1, 'a', 60), ms(0)), 'held')
    assert.equal(buffer.hold(topic(1), author(1), op(2, 'a', 1), ms(0)), 'dropped')
    assert.deepEqual(heard.lost, ['1 1 full 2'])
  })
})

test('sync.locks and sync.buffers: above the cap there is no lock, and no author more', async () => {
  await withLedger(Object.values(terms), (ledger) => {
    using buffer = make(ledger)
    for (let count = 0; count < LOCKS_MAX; count++) {
      assert.ok(buffer.lock(topic(1), author(1), ms(0)))
    }
    assert.equal(buffer.lock(topic(1), author(2), ms(0)), undefined)
    assert.equal(buffer.entries, 1)
    assert.equal(ledger.row(terms.locks).refused.cap, 1)
    for (let index = 2; index <= LOCKS_MAX; index++) {
      assert.equal(buffer.hold(topic(1), author(index), op(1), ms(0)), 'held')
    }
    assert.equal(buffer.hold(topic(1), author(99), op(1), ms(0)), 'dropped')
    assert.equal(ledger.row(terms.buffers).refused.cap, 1)
  })
})

test('an operation that waits too long without a lock is dropped and its topic told', async () => {
  await withLedger(Object.values(terms), (ledger) => {
    const heard: Heard = { lost: [], unlocked: [] }
    using buffer = make(ledger, heard)
    const lock = buffer.lock(topic(1), author(1), ms(0))
    buffer.hold(topic(1), author(1), op(7), ms(0))
    buffer.sweep(ms(HOLD_MS))
    assert.equal(buffer.size, 1)
    lock?.[Symbol.dispose]()
    buffer.sweep(ms(HOLD_MS))
    assert.deepEqual(heard.lost, ['1 1 expired 7'])
    assert.equal(buffer.entries, 0)
  })
})

test('forget ends the locks and operations of one topic', async () => {
  await withLedger(Object.values(terms), (ledger) => {
    using buffer = make(ledger)
    buffer.lock(topic(1), author(1), ms(0))
    buffer.hold(topic(1), author(2), op(1), ms(0))
    buffer.hold(topic(2), author(2), op(1), ms(0))
    buffer.forget(topic(1))
    assert.equal(buffer.entries, 1)
    assert.equal(buffer.locks, 0)
    assert.equal(buffer.size, 1)
  })
})

/** The plainest buffer that keeps the rules: lists that are searched from the start. */
class Model {
  readonly ops: { t: number; a: number; op: Op; at: number }[] = []
  readonly locks: { t: number; a: number; at: number; name: number }[] = []

  authors(): Set<string> {
    return new Set([...this.ops, ...this.locks].map(({ t, a }) => `${t} ${a}`))
  }

  full(t: number, a: number): boolean {
    const authors = this.authors()
    return !authors.has(`${t} ${a}`) && authors.size >= LOCKS_MAX
  }

  bytes(): number {
    return this.ops.reduce((sum, each) => sum + each.op.bytes, 0)
  }

  hold(t: number, a: number, held: Op, now: number): string {
    if (this.full(t, a)) return 'dropped'
    const same = (each: (typeof this.ops)[0]) =>
      each.t === t && each.a === a && each.op.seq === held.seq && each.op.logKey === held.logKey
    if (this.ops.some(same)) return 'duplicate'
    if (this.ops.length >= HELD_MAX || this.bytes() + held.bytes > 60) return 'dropped'
    this.ops.push({ t, a, op: held, at: now + HOLD_MS })
    return 'held'
  }

  takeAll(t: number, a: number): Op[] {
    const mine = this.ops.filter((each) => each.t === t && each.a === a)
    for (const each of mine) this.ops.splice(this.ops.indexOf(each), 1)
    const key = ({ op: { logKey, seq } }: (typeof mine)[0]) => `${logKey} ${seq}`
    return mine.sort((x, y) => (key(x) < key(y) ? -1 : 1)).map((each) => each.op)
  }

  locked(t: number, a: number): boolean {
    return this.locks.some((each) => each.t === t && each.a === a)
  }

  sweep(now: number): void {
    for (const each of [...this.locks]) {
      if (each.at <= now) this.locks.splice(this.locks.indexOf(each), 1)
    }
    for (const each of [...this.ops]) {
      if (each.at <= now && !this.locked(each.t, each.a)) this.ops.splice(this.ops.indexOf(each), 1)
    }
  }
}

const where = { t: fc.integer({ min: 1, max: 2 }), a: fc.integer({ min: 1, max: 3 }) }
const command = fc.oneof(
  fc.record({
    do: fc.constant('hold' as const),
    ...where,
    seq: fc.integer({ min: 0, max: 4 }),
    log: fc.constantFrom('a', 'b'),
    bytes: fc.integer({ min: 1, max: 25 }),
  }),
  fc.record({ do: fc.constant('lock' as const), ...where }),
  fc.record({ do: fc.constant('unlock' as const), name: fc.nat(30) }),
  fc.record({ do: fc.constant('take' as const), ...where, seq: fc.integer({ min: 0, max: 4 }) }),
  fc.record({ do: fc.constant('drain' as const), ...where }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 600 }) }),
)

test('the buffer does what a naive model does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
      await withLedger(Object.values(terms), (ledger) => {
        using buffer = make(ledger)
        const model = new Model()
        const guards: BufferLock[] = []
        let now = 0
        for (const each of commands) {
          switch (each.do) {
            case 'hold': {
              const held = op(each.seq, each.log, each.bytes)
              const real = buffer.hold(topic(each.t), author(each.a), held, ms(now))
              assert.equal(real, model.hold(each.t, each.a, held, now))
              break
            }
            case 'lock': {
              const real = buffer.lock(topic(each.t), author(each.a), ms(now))
              const room = model.locks.length < LOCKS_MAX && !model.full(each.t, each.a)
              assert.equal(real !== undefined, room)
              if (!real) break
              model.locks.push({ t: each.t, a: each.a, at: now + LOCK_MS, name: guards.length })
              guards.push(real)
              break
            }
            case 'unlock': {
              guards[each.name]?.[Symbol.dispose]()
              const at = model.locks.findIndex(({ name }) => name === each.name)
              if (at >= 0) model.locks.splice(at, 1)
              break
            }
            case 'take': {
              const real = buffer.take(topic(each.t), author(each.a), 'a', each.seq)
              const at = model.ops.findIndex(
                ({ t, a, op: { logKey, seq } }) =>
                  t === each.t && a === each.a && logKey === 'a' && seq === each.seq,
              )
              assert.equal(real, at < 0 ? undefined : model.ops.splice(at, 1)[0]!.op)
              break
            }
            case 'drain':
              assert.deepEqual(
                [...buffer.drain(topic(each.t), author(each.a))],
                model.takeAll(each.t, each.a),
              )
              break
            case 'wait':
              now += each.ms
              buffer.sweep(ms(now))
              model.sweep(now)
          }
          assert.equal(buffer.size, model.ops.length)
          assert.equal(buffer.bytes, model.bytes())
          assert.equal(buffer.locks, model.locks.length)
          assert.equal(buffer.entries, model.authors().size)
          for (let t = 1; t <= 2; t++) {
            for (let a = 1; a <= 3; a++) {
              assert.equal(buffer.locked(topic(t), author(a)), model.locked(t, a))
            }
          }
        }
      })
    }),
    { numRuns: 300 },
  )
})
