import assert from 'node:assert/strict'
import test from 'node:test'
import { collectable, withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { isWeirError, ManualClock, type Scope } from '../runtime/index.ts'
import { type Asked, IncomingQueue } from './incoming.ts'
import { type TransportLimits, transportLimits, transportTerms } from './memory.ts'
import type { Connection, Incoming } from './transport.ts'

interface Setting {
  readonly queue: IncomingQueue
  readonly clock: ManualClock
  readonly ledger: Ledger
  readonly scope: Scope
  value(counter: string): number
  readonly logged: () => string
}

async function withQueue(
  limits: Partial<TransportLimits>,
  run: (setting: Setting) => Promise<void> | void,
): Promise<void> {
  const complete = transportLimits({ incomingTraced: true, ...limits })
  const { incoming } = transportTerms(complete)
  const clock = new ManualClock()
  await withLedger(
    [incoming],
    async (ledger, scope, { counters, lines }) => {
      const queue = scope.own(
        'incoming',
        new IncomingQueue({
          scope,
          account: ledger.require(incoming),
          deadlineMs: complete.incomingDeadlineMs,
          traced: complete.incomingTraced,
        }),
      )
      await run({
        queue,
        clock,
        ledger,
        scope,
        value: (name) => counters.value(`transport_incoming_${name}_total`),
        logged: () => JSON.stringify(lines),
      })
    },
    { clock },
  )
}

/** What a backend would hand in; `said` notes what it was told. */
function asked(said: string[], bytes = 100): Asked {
  return {
    remote: '127.0.0.1:1',
    validated: false,
    bytes,
    accept: async () => {
      said.push('accept')
      return {} as Connection
    },
    refuse: () => said.push('refuse'),
    retry: () => said.push('retry'),
    ignore: () => said.push('ignore'),
  }
}

async function take(queue: IncomingQueue): Promise<Incoming> {
  for await (const incoming of queue) return incoming
  throw new Error('closed')
}

test('transport.incoming: one entry more than the cap is turned away and counted', () =>
  withQueue({ incomingMax: 2 }, async ({ queue, value }) => {
    assert.ok(queue.offer(asked([])))
    assert.ok(queue.offer(asked([])))
    assert.equal(queue.offer(asked([])), undefined)
    assert.equal(value('overflow'), 1)
    const first = await take(queue)
    first.ignore()
    assert.ok(queue.offer(asked([])))
  }))

test('transport.incoming: one byte more than the cap is turned away, also of what grows', () =>
  withQueue({ incomingBytesMax: 250 }, ({ queue, value }) => {
    const first = queue.offer(asked([]))
    assert.ok(first && queue.offer(asked([])))
    assert.equal(queue.grow(first, 50), true)
    assert.equal(queue.grow(first, 1), false)
    assert.equal(queue.offer(asked([], 1)), undefined)
    assert.equal(value('overflow'), 1)
    assert.equal(queue.bytes, 250)
  }))

test('what waits with an incoming is given back when it is decided', () =>
  withQueue({}, async ({ queue }) => {
    const pending = queue.offer(asked([]))!
    queue.grow(pending, 900)
    assert.equal(queue.bytes, 1_000)
    const incoming = await take(queue)
    await incoming.accept()
    assert.deepEqual([queue.bytes, queue.size], [0, 0])
    assert.equal(queue.grow(pending, 1), false, 'a decided one does not grow')
  }))

test('each decision reaches the backend once', () =>
  withQueue({}, async ({ queue, value }) => {
    const said: string[] = []
    for (const decide of [
      (incoming: Incoming) => incoming.accept(),
      (incoming: Incoming) => incoming.refuse(),
      (incoming: Incoming) => incoming.retry(),
      (incoming: Incoming) => incoming.ignore(),
    ]) {
      queue.offer(asked(said))
      const incoming = await take(queue)
      await decide(incoming)
      assert.equal(incoming.decided, true)
      await assert.rejects(
        async () => decide(incoming),
        (error) => isWeirError(error, 'INCOMING_DECIDED'),
      )
      incoming[Symbol.dispose]()
    }
    assert.deepEqual(said, ['accept', 'refuse', 'retry', 'ignore'])
    for (const name of ['accepted', 'refused', 'retried', 'ignored']) assert.equal(value(name), 1)
  }))

test('a retry that the backend cannot do leaves it undecided', () =>
  withQueue({}, async ({ queue }) => {
    queue.offer({ ...asked([]), retry: undefined })
    using incoming = await take(queue)
    assert.equal(incoming.retry(), false)
    assert.equal(incoming.decided, false)
  }))

test('the deadline refuses what nobody took, and says so', () =>
  withQueue({ incomingDeadlineMs: 1_000 }, ({ queue, clock, value, logged }) => {
    const said: string[] = []
    queue.offer(asked(said))
    clock.advance(999)
    assert.equal(queue.size, 1)
    clock.advance(1)
    assert.deepEqual(said, ['refuse'])
    assert.deepEqual([queue.size, value('expired')], [0, 1])
    assert.match(logged(), /nobody iterates over incoming/)
  }))

test('the deadline refuses what was taken and not decided, and names where it was taken', () =>
  withQueue({ incomingDeadlineMs: 1_000 }, async ({ queue, clock, value, logged }) => {
    const said: string[] = []
    queue.offer(asked(said))
    const incoming = await take(queue)
    clock.advance(1_000)
    assert.deepEqual(said, ['refuse'])
    assert.equal(incoming.decided, true)
    assert.equal(value('expired'), 1)
    assert.match(logged(), /incoming\.test\.ts:\d+/)
    await assert.rejects(incoming.accept(), (error) => isWeirError(error, 'INCOMING_DECIDED'))
  }))

test('a handle that is dropped undecided is reported and still refused by its deadline', () =>
  withQueue({ incomingDeadlineMs: 1_000 }, async ({ queue, clock, value, logged }) => {
    const said: string[] = []
    queue.offer(asked(said))
    assert.ok(await collectable(() => take(queue)), 'the queue keeps no reference to the handle')
    // The finalizer runs in a turn of its own after the collection.
    for (let turn = 0; turn < 50 && value('dropped') === 0; turn++) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(value('dropped'), 1)
    assert.match(logged(), /dropped undecided/)
    assert.deepEqual(said, [], 'the finalizer only reports')
    clock.advance(1_000)
    assert.deepEqual(said, ['refuse'])
  }))

test('a decided handle that is dropped is not reported', () =>
  withQueue({}, async ({ queue, value }) => {
    queue.offer(asked([]))
    const gone = await collectable(async () => {
      const incoming = await take(queue)
      incoming.ignore()
      return incoming
    })
    assert.ok(gone)
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(value('dropped'), 0)
  }))

test('leaving the loop loses nothing, and the next loop goes on', () =>
  withQueue({}, async ({ queue }) => {
    for (let each = 0; each < 3; each++) queue.offer(asked([]))
    for (let each = 0; each < 3; each++) (await take(queue)).ignore()
    assert.equal(queue.size, 0)
  }))

test('a waiting consumer gets the next one', () =>
  withQueue({}, async ({ queue }) => {
    const waiting = take(queue)
    await new Promise((resolve) => setImmediate(resolve))
    queue.offer(asked([]))
    const incoming = await waiting
    incoming.refuse()
  }))

test('closing refuses what is undecided and ends the loop', () =>
  withQueue({}, async ({ queue, value }) => {
    const said: string[] = []
    queue.offer(asked(said))
    const incoming = await take(queue)
    queue.offer(asked(said))
    const rest = (async () => {
      for await (const _ of queue);
    })()
    queue[Symbol.dispose]()
    await rest
    assert.deepEqual(said, ['refuse', 'refuse'])
    assert.equal(incoming.decided, true)
    assert.equal(value('closed'), 2)
    assert.equal(queue.offer(asked(said)), undefined)
  }))

test('the consistency check sees bytes that nobody counted', async () => {
  const before = process.env['WEIR_ASSERT']
  process.env['WEIR_ASSERT'] = '1'
  try {
    await withQueue({}, ({ queue }) => {
      const pending = queue.offer(asked([]))!
      pending.bytes += 1
      assert.throws(() => queue.offer(asked([])), /incomings hold/)
      pending.bytes -= 1
    })
  } finally {
    if (before === undefined) delete process.env['WEIR_ASSERT']
    else process.env['WEIR_ASSERT'] = before
  }
})
