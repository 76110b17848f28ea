import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import test from 'node:test'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { collectable, withLedger } from '../../testing/index.ts'
import { Channel, type ChannelOptions, type Ledger, term } from './index.ts'

const waiting = term({
  name: 'test.channel',
  why: 'a test',
  table: 'ring',
  entriesMax: 2,
  payloadBytesMax: 10,
  overflow: 'wait',
})
const bytesOf = (value: number) => value
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

async function withChannel(
  run: (channel: Channel<number>, ledger: Ledger) => Promise<void>,
  options: ChannelOptions<number> = { bytesOf },
): Promise<void> {
  await withLedger([waiting], async (ledger, scope) => {
    await run(scope.own('channel', new Channel(ledger.require(waiting), options)), ledger)
  })
}

/** Starts a send and tells how it ended, without ever rejecting. */
function started(channel: Channel<number>, value: number, signal?: AbortSignal) {
  const state: { end: string | undefined } = { end: undefined }
  channel.send(value, signal).then(
    () => {
      state.end = 'sent'
    },
    (error: { code: string }) => {
      state.end = error.code
    },
  )
  return state
}

test('a consumer gets what is sent, in order, and close ends it after what is queued', async () => {
  await withChannel(async (channel) => {
    const got: number[] = []
    const consumer = (async () => {
      for await (const value of channel) got.push(value)
    })()
    for (let value = 1; value <= 5; value++) await channel.send(value)
    channel.close()
    await consumer
    assert.deepEqual(got, [1, 2, 3, 4, 5])
    assert.ok(channel.closed)
    assert.equal(channel.push(1), 'cap')
    await assert.rejects(channel.send(1), { code: 'CLOSED' })
  })
})

test('close lets what is queued be taken; fail ends with its error after that, once', async () => {
  await withChannel(async (channel) => {
    channel.push(1)
    channel.close()
    assert.deepEqual(await channel.next(), { value: 1, done: false })
    assert.deepEqual(await channel.next(), { value: undefined, done: true })
    assert.deepEqual(await channel.next(), { value: undefined, done: true })
  })
  for (const error of [new Error('broken'), undefined]) {
    await withChannel(async (channel) => {
      channel.push(1)
      channel.fail(error)
      channel.fail(new Error('too late'))
      channel.close()
      assert.equal((await channel.next()).value, 1)
      await assert.rejects(channel.next(), (thrown) => thrown === error)
      assert.equal((await channel.next()).done, true)
    })
  }
})

test('leaving the iteration early empties the channel, wakes producers and tells the owner once', async () => {
  let closes = 0
  await withChannel(
    async (channel) => {
      channel.push(1)
      channel.push(2)
      const waits = started(channel, 3)
      for await (const value of channel) {
        assert.equal(value, 1)
        break
      }
      await setImmediate()
      assert.equal(waits.end, 'CLOSED')
      assert.equal(closes, 1)
      channel[Symbol.dispose]()
      assert.equal(closes, 1)
    },
    { onClose: () => closes++ },
  )
})

test('each way of ending wakes a waiting consumer', async () => {
  const ways: ((channel: Channel<number>) => void)[] = [
    (channel) => channel.close(),
    (channel) => channel[Symbol.dispose](),
    (channel) => void channel.return(),
  ]
  for (const end of ways) {
    await withChannel(async (channel) => {
      const next = channel.next()
      end(channel)
      assert.equal((await next).done, true)
    })
  }
  await withChannel(async (channel) => {
    const next = channel.next()
    channel.fail(new Error('broken'))
    await assert.rejects(next, /broken/)
  })
})

test('two consumers are a mistake', async () => {
  await withChannel(async (channel) => {
    const first = channel.next()
    await assert.rejects(channel.next(), /one consumer/)
    channel.push(1)
    assert.equal((await first).value, 1)
  })
})

test('producers wait in the order in which they came, and waiting is no loss', async () => {
  await withChannel(async (channel) => {
    channel.push(1)
    channel.push(2)
    const ends = [3, 4, 5].map((value) => started(channel, value))
    await setImmediate()
    assert.deepEqual(
      ends.map(({ end }) => end),
      [undefined, undefined, undefined],
    )
    const got: (number | undefined)[] = []
    for (let turn = 0; turn < 5; turn++) {
      got.push(channel.shift())
      // One who comes when there is room stands behind those who already wait.
      if (turn === 0) ends.push(started(channel, 6))
      await setImmediate()
    }
    got.push(channel.shift())
    assert.deepEqual(got, [1, 2, 3, 4, 5, 6])
    assert.ok(ends.every(({ end }) => end === 'sent'))
    assert.equal(channel.lost, 0)
  })
})

test('one shift makes room for several small values', async () => {
  await withChannel(async (channel) => {
    channel.push(10)
    const ends = [2, 3, 4].map((value) => started(channel, value))
    assert.equal(channel.shift(), 10)
    await setImmediate()
    assert.deepEqual(
      ends.map(({ end }) => end),
      ['sent', 'sent', undefined],
    )
    channel.shift()
    await setImmediate()
    assert.equal(ends[2]!.end, 'sent')
    channel.shift()
    channel.shift()
  })
})

test('N producers wait and N+1 is refused with LIMIT', async () => {
  await withChannel(
    async (channel) => {
      channel.push(1)
      channel.push(2)
      const ends = [3, 4, 5].map((value) => started(channel, value))
      await setImmediate()
      assert.deepEqual(
        ends.map(({ end }) => end),
        [undefined, undefined, 'LIMIT'],
      )
    },
    { waitersMax: 2 },
  )
})

test('a value that can never fit is refused and does not wait', async () => {
  await withChannel(async (channel) => {
    channel.push(1)
    const end = started(channel, 11)
    channel.shift()
    await setImmediate()
    assert.equal(end.end, 'LIMIT')
  })
})

test('with nothing queued a refusal is final, as no reading could make room', async () => {
  const pool = term({ name: 'test.pool', why: 'shared', payloadBytesMax: 10 })
  const pooled = term({ ...waiting, name: 'test.pooled', pool, instancesMax: 2 })
  await withLedger([pooled], async (ledger, scope) => {
    const open = (name: string) => scope.own(name, new Channel(ledger.require(pooled), { bytesOf }))
    const other = open('other')
    const channel = open('channel')
    channel.push(1)
    other.push(9)
    const waits = started(channel, 2)
    const behind = started(channel, 1)
    await setImmediate()
    assert.deepEqual([waits.end, behind.end], [undefined, undefined])
    assert.equal(channel.shift(), 1)
    await setImmediate()
    assert.deepEqual([waits.end, behind.end], ['LIMIT', 'sent'])
    channel.shift()
    ledger.pressure.process([{ source: 'working-set', used: 1, limit: 1 }])
    await assert.rejects(channel.send(1), { code: 'LIMIT', retryable: true, message: /pressure/ })
  })
})

test('an aborted producer leaves at once, keeps its value back and leaves no listener', async () => {
  await withChannel(async (channel) => {
    const controller = new AbortController()
    channel.push(1)
    channel.push(2)
    const end = started(channel, 3, controller.signal)
    await setImmediate()
    assert.equal(listeners(controller.signal), 1)
    controller.abort()
    await setImmediate()
    assert.equal(end.end, 'CLOSED')
    assert.equal(listeners(controller.signal), 0)
    assert.equal(channel.shift(), 1)
    assert.equal(channel.shift(), 2)
    assert.equal(channel.size, 0)
    await assert.rejects(channel.send(4, controller.signal), { code: 'CLOSED' })
    assert.equal(channel.size, 0, 'an aborted producer adds nothing although there is room')
  })
})

test('an abort in the turn of a wake-up does not cost the next one its turn', async () => {
  await withChannel(async (channel) => {
    const controller = new AbortController()
    channel.push(1)
    channel.push(2)
    const first = started(channel, 3, controller.signal)
    const second = started(channel, 4)
    await setImmediate()
    controller.abort() // first leaves
    channel.shift() // and the wake-up must be for second
    await setImmediate()
    assert.deepEqual([first.end, second.end], ['CLOSED', 'sent'])
    const third = started(channel, 5, new AbortController().signal)
    await setImmediate()
    channel.shift() // wakes third, which is then aborted too late to matter
    await setImmediate()
    assert.equal(third.end, 'sent')
  })
})

test('one who comes in the turn of an abort does not stand behind who has left', async () => {
  await withChannel(async (channel) => {
    const controller = new AbortController()
    channel.push(5)
    const gone = started(channel, 6, controller.signal)
    controller.abort()
    channel.shift()
    const late = started(channel, 1)
    await setImmediate()
    assert.deepEqual([gone.end, late.end], ['CLOSED', 'sent'])
  })
})

test('in any order of sends, aborts, reads and ends nothing hangs, is lost or comes twice', async () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        call: fc.constant('send' as const),
        bytes: fc.integer({ min: 1, max: 11 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ call: fc.constant('shift' as const) }) },
    fc.record({ call: fc.constant('abort' as const), which: fc.nat(5) }),
    fc.record({ call: fc.constant('turn' as const) }),
  )
  const end = fc.constantFrom(
    'drain' as const,
    'close' as const,
    'dispose' as const,
    'fail' as const,
  )
  const run = async (
    steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
    ending: 'drain' | 'close' | 'dispose' | 'fail',
  ) => {
    await withLedger([waiting], async (ledger, scope) => {
      const account = ledger.require(waiting)
      const channel = scope.own(
        'channel',
        new Channel<{ id: number; bytes: number }>(account, {
          bytesOf: ({ bytes }) => bytes,
          waitersMax: 4,
        }),
      )
      const sends: { id: number; end: string | undefined; controller: AbortController }[] = []
      const got: number[] = []
      for (const each of steps) {
        if (each.call === 'send') {
          const controller = new AbortController()
          const send = { id: sends.length, end: undefined as string | undefined, controller }
          sends.push(send)
          channel.send({ id: send.id, bytes: each.bytes }, controller.signal).then(
            () => {
              send.end = 'sent'
            },
            (error) => {
              send.end = error.code
            },
          )
        } else if (each.call === 'shift') {
          const value = channel.shift()
          if (value) got.push(value.id)
        } else if (each.call === 'abort') sends.at(-1 - each.which)?.controller.abort()
        else await setImmediate()
        assert.ok(ledger.peakCostBytes <= ledger.plan.accountBytes)
      }
      if (ending === 'close') channel.close()
      else if (ending === 'fail') channel.fail(new Error('broken'))
      else if (ending === 'dispose') channel[Symbol.dispose]()
      for (let turn = 0; turn < 3 * sends.length + 3; turn++) {
        await setImmediate()
        const value = channel.shift()
        if (value) got.push(value.id)
      }
      await setImmediate()
      const sent = sends.filter((send) => send.end === 'sent').map((send) => send.id)
      for (const send of sends) {
        assert.ok(
          ['sent', 'CLOSED', 'LIMIT'].includes(send.end ?? 'hangs'),
          `send ${send.id} ${send.end}`,
        )
        assert.equal(listeners(send.controller.signal), 0)
      }
      assert.deepEqual(
        got,
        [...got].sort((a, b) => a - b),
        'in the order of the sends',
      )
      if (ending === 'dispose') assert.ok(got.every((id) => sent.includes(id)))
      else assert.deepEqual(got, sent)
      assert.equal(channel.size, 0)
      assert.equal(channel.lost, 0)
    })
  }
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 30 }), end, run), { numRuns: 1000 })
})

test('one who leaves lets those behind try, who may need less', async () => {
  await withChannel(async (channel) => {
    const controller = new AbortController()
    channel.push(8)
    const large = started(channel, 9, controller.signal)
    const small = started(channel, 2)
    await setImmediate()
    assert.deepEqual([large.end, small.end], [undefined, undefined])
    controller.abort()
    await setImmediate()
    assert.deepEqual([large.end, small.end], ['CLOSED', 'sent'])
  })
})

test('a push beside waiting producers is not delayed', async () => {
  await withChannel(async (channel) => {
    channel.push(4)
    channel.push(4)
    const end = started(channel, 9)
    channel.shift()
    assert.equal(channel.push(1), 'ok')
    await setImmediate()
    assert.equal(end.end, undefined)
    channel.shift()
    channel.shift()
    await setImmediate()
    assert.equal(end.end, 'sent')
  })
})

test('a queue that drops the oldest never makes a producer wait', async () => {
  const dropping = term({ ...waiting, overflow: 'drop-old' })
  await withLedger([dropping], async (ledger, scope) => {
    const channel = scope.own('channel', new Channel<number>(ledger.require(dropping)))
    for (let value = 0; value < 10; value++) await channel.send(value)
    assert.equal(channel.lost, 8)
    assert.equal((await channel.next()).value, 8)
  })
})

test('an onExit that throws does not keep producers and consumer waiting', async () => {
  await withLedger([waiting], async (ledger) => {
    let closed = false
    const channel = new Channel<number>(ledger.require(waiting), {
      onExit() {
        throw new Error('broken')
      },
      onClose() {
        closed = true
      },
    })
    channel.push(1)
    channel.push(2)
    const waits = started(channel, 3)
    assert.throws(() => channel[Symbol.dispose](), /broken/)
    await setImmediate()
    assert.equal(waits.end, 'CLOSED')
    assert.ok(closed)
  })
})

test('a closed channel, and one with a consumer that left, can be collected', async () => {
  await withLedger([waiting], async (ledger) => {
    const { signal } = new AbortController()
    const closed = async () => {
      const channel = new Channel<number>(ledger.require(waiting))
      channel.push(1)
      channel.push(2)
      const waits = started(channel, 3, signal)
      for await (const _ of channel) break
      await setImmediate()
      assert.equal(waits.end, 'CLOSED')
      return channel
    }
    assert.ok(await collectable(closed))
    assert.equal(listeners(signal), 0)
  })
})
