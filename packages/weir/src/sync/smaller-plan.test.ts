/** A store that was filled under a larger plan: some of its operations are longer than a frame of this one. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { ManualClock } from '../runtime/index.ts'
import type { LogStore } from '../store/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'

const KIB = 1024
const FRAME_BYTES = 64 * KIB
const LIMITS = { frameBytesMax: FRAME_BYTES, ingestBytesMax: 512 * KIB, queueBytesMax: 96 * KIB }

/** A store that counts how often it is read. */
function counted(store: LogStore) {
  const state = { reads: 0 }
  const proxy = new Proxy(store, {
    get(target, name) {
      if (name === 'read') state.reads++
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  return { state, proxy }
}

/** Three operations of which the second has a body of that many bytes. */
function logWithLong(bodyBytes: number) {
  const key = keyOf(1)
  const [first] = makeLog({ key, count: 1 })
  const [long] = makeLog({ key, count: 1, from: 1, backlink: first!.id, bodyBytes })
  const [after] = makeLog({ key, count: 1, from: 2, backlink: long!.id })
  return [first!, long!, after!]
}

const CASES = [
  // It would fit into what a stream may hold, and the peer would refuse it.
  { bodyBytes: FRAME_BYTES, sendWindowBytes: FRAME_BYTES },
  // It comes in one page with what is before and after it.
  { bodyBytes: FRAME_BYTES, sendWindowBytes: 4 * FRAME_BYTES },
  { bodyBytes: 3 * FRAME_BYTES, sendWindowBytes: FRAME_BYTES },
] as const

for (const { bodyBytes, sendWindowBytes } of CASES) {
  const sizes = `${bodyBytes / KIB} KiB, window ${sendWindowBytes / KIB} KiB`
  test(`an operation of the store longer than a frame (${sizes}) is told once and not tried again, the rest goes on`, async () => {
    const clock = new ManualClock()
    const plan = planNodes({ nodes: 2, limits: { ...LIMITS, sendWindowBytes } })
    await withLedger(
      plan.terms,
      async (ledger, scope, { lines }) => {
        const mesh = makeMesh(plan, ledger, scope)
        const stuck = logWithLong(bodyBytes)
        const other = makeLog({ key: keyOf(9), count: 5 })
        let store: ReturnType<typeof counted> | undefined
        const options = {
          get store() {
            return store!.proxy
          },
        }
        const a = await mesh.node(0, options, async (inner) => {
          await inner.append(TOPIC, [...stuck, ...other])
          store = counted(inner)
        })
        const b = await mesh.node(1)
        const told = () => lines.filter(({ message }) => /cannot be sent/.test(message))
        const bSessions = () => b.reports.filter(({ type }) => type === 'session').length
        b.sync.connect(a.id)
        for (let second = 0; second < 120; second++) await clock.advanceAsync(1_000)
        assert.ok(store!.state.reads < 20, `read ${store!.state.reads} times in two minutes`)
        assert.deepEqual(
          b.got.map(({ seq, author }) => (author[0] === a.id[0] ? `a ${seq}` : `${seq}`)).sort(),
          ['0', '1', '2', '3', '4', 'a 0'],
        )
        assert.equal([...b.sync.peers()][0]?.live, true)
        assert.deepEqual(
          told().map(({ level, seq }) => [level, seq]),
          [['error', 1]],
        )
        assert.match(`${told()[0]!['error']}`, /^OPERATION_TOO_LARGE: .* as much memory as then/)

        // What follows in the log is of no use to the peer: it would only begin its sessions anew.
        const [fourth] = makeLog({ key: a.key, count: 1, from: 3, backlink: stuck[2]!.id })
        const more = makeLog({ key: keyOf(9), count: 2, from: 5, backlink: other[4]!.id })
        const { reads } = store!.state
        const published = [more[0]!, fourth!, more[1]!]
        await Promise.all(published.map((operation) => a.sync.publish(operation)))
        for (let second = 0; second < 120; second++) await clock.advanceAsync(1_000)
        assert.deepEqual(
          b.got.slice(6).map(({ seq }) => seq),
          [5, 6],
        )
        assert.equal(bSessions(), 1)
        assert.equal(store!.state.reads, reads, 'the other log went out from memory')

        // Another session finds the same, and it is not told again.
        b.sync.disconnect(a.id)
        await until(() => a.sync.sessions === 0)
        b.sync.connect(a.id)
        for (let second = 0; second < 120; second++) await clock.advanceAsync(1_000)
        assert.equal([...b.sync.peers()][0]?.live, true)
        assert.equal(told().length, 1)
        assert.ok(store!.state.reads < 40, `read ${store!.state.reads} times`)

        // A prune flag needs nothing before it.
        const [pruning] = makeLog({
          key: a.key,
          count: 1,
          from: 4,
          backlink: fourth!.id,
          prune: () => true,
        })
        await a.sync.publish(pruning!)
        const [last] = makeLog({ key: a.key, count: 1, from: 5, backlink: pruning!.id })
        await a.sync.publish(last!)
        for (let second = 0; second < 10; second++) await clock.advanceAsync(1_000)
        assert.deepEqual(
          b.got.slice(8).map(({ seq }) => seq),
          [4, 5],
        )
      },
      { clock },
    )
  })
}

test('an operation that is longer than the queue of the consumer is told once and left out, the rest is delivered', async () => {
  const clock = new ManualClock()
  const plan = planNodes({ nodes: 2, limits: LIMITS })
  await withLedger(
    plan.terms,
    async (ledger, scope, { lines }) => {
      const mesh = makeMesh(plan, ledger, scope)
      const other = makeLog({ key: keyOf(9), count: 5 })
      let store: ReturnType<typeof counted> | undefined
      const options = {
        deliverFrom: () => 0,
        get store() {
          return store!.proxy
        },
      }
      const b = await mesh.node(1, options, async (inner) => {
        const log = logWithLong(3 * FRAME_BYTES)
        const backlink = log[2]!.id
        const bodyBytes = 3 * FRAME_BYTES
        const again = makeLog({ key: keyOf(1), count: 1, from: 3, backlink, bodyBytes })
        await inner.append(TOPIC, [...log, ...again, ...other])
        store = counted(inner)
      })
      for (let second = 0; second < 120; second++) await clock.advanceAsync(1_000)
      assert.ok(store!.state.reads < 20, `read ${store!.state.reads} times in two minutes`)
      assert.equal(b.got.length, 7)
      const told = lines.filter(({ message }) => /cannot be delivered/.test(message))
      assert.deepEqual(
        told.map(({ level, seq }) => [level, seq]),
        [['error', 1]],
      )
      assert.match(`${told[0]!['error']}`, /^OPERATION_TOO_LARGE: /)
      const reported = b.reports.flatMap((each) => (each.type === 'too-long' ? [each.again] : []))
      assert.deepEqual(reported, [false, true])
    },
    { clock },
  )
})
