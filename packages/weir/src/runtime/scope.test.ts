import assert from 'node:assert/strict'
import { EventEmitter, getEventListeners } from 'node:events'
import test from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { collectable } from '../../testing/index.ts'
import { Counters, createLogger, isCloseError, ManualClock, Scope, WeirError } from './index.ts'

interface Line {
  readonly level: string
  readonly message: string
  readonly item?: string
  readonly task?: string
  readonly scope?: string
  readonly error?: string
}

function bench(closeDeadlineMs = 100) {
  const clock = new ManualClock()
  const counters = new Counters()
  const lines: Line[] = []
  const log = createLogger({ write: (line) => lines.push(JSON.parse(line)) })
  const scope = new Scope('root', { clock, log, counters, closeDeadlineMs })
  return { clock, counters, lines, scope }
}

const never = new Promise<never>(() => {})

/** Closes while time goes on, as far as it has to. */
async function closeInTime(clock: ManualClock, scope: Scope): Promise<number> {
  let ended = false
  const closed = scope.close().then(() => {
    ended = true
  })
  let steps = 0
  for (; !ended && steps < 1_000; steps++) {
    await setImmediate()
    if (!ended) clock.advance(1)
  }
  await closed
  assert.equal(scope.size, 0)
  assert.equal(clock.timers, 0)
  return clock.now() / 1000
}

test('items are closed in reverse order, once, however often close is called', async () => {
  const { clock, scope } = bench()
  const order: string[] = []
  scope.defer('a', () => order.push('a'))
  scope.defer('b', async () => {
    await setImmediate()
    order.push('b')
  })
  scope.child('c').defer('c', () => order.push('c'))
  assert.deepEqual([...scope.names()], ['c', 'b', 'a'])
  const first = scope.close()
  assert.equal(scope.close(), first)
  assert.ok(scope.closed)
  await closeInTime(clock, scope)
  await scope[Symbol.asyncDispose]()
  assert.deepEqual(order, ['c', 'b', 'a'])
})

test('the signal is aborted before anything is closed', async () => {
  const { scope } = bench()
  let aborted = false
  scope.defer('look', () => {
    aborted = scope.signal.aborted
  })
  await scope.close()
  assert.ok(aborted)
  assert.ok(isCloseError(scope.signal.reason))
  assert.match(scope.signal.reason.message, /root/)
})

test('each clean-up in turn throws, rejects or hangs: it is named, counted, and the rest goes on', async () => {
  const ways = {
    throws: () => {
      throw new Error('broken')
    },
    rejects: () => Promise.reject(new Error('broken')),
    hangs: () => never,
  }
  const ITEMS = 6
  for (const [way, fail] of Object.entries(ways)) {
    for (let victim = 0; victim < ITEMS; victim++) {
      const { clock, counters, lines, scope } = bench()
      const closed: number[] = []
      const child = scope.child('child')
      for (let index = 0; index < ITEMS; index++) {
        // Half of them live in a child, so that failures are seen to stay where they are.
        const home = index % 2 === 0 ? scope : child
        home.defer(`item ${index}`, () => {
          closed.push(index)
          return index === victim ? fail() : index % 3 === 0 ? setImmediate() : undefined
        })
      }
      const ms = await closeInTime(clock, scope)
      assert.deepEqual(closed, [4, 2, 0, 5, 3, 1], `${way} ${victim}`)
      const errors = lines.filter((line) => line.level === 'error')
      assert.equal(errors.length, 1)
      assert.equal(errors[0]!.item, `item ${victim}`)
      assert.equal(errors[0]!.scope, victim % 2 === 0 ? 'root' : 'root/child')
      assert.equal(counters.value('cleanup_failures_total'), way === 'hangs' ? 0 : 1)
      assert.equal(counters.value('scope_close_overdue_total'), way === 'hangs' ? 1 : 0)
      assert.equal(ms >= 100, way === 'hangs', `${way} took ${ms}`)
      assert.ok(ms <= 120)
    }
  }
})

test('tasks that do not end share one deadline, and each is named', async () => {
  const { clock, counters, lines, scope } = bench()
  for (let index = 0; index < 20; index++) scope.spawn(`stuck ${index}`, () => never)
  let closed = false
  scope.defer('socket', () => {
    closed = true
  })
  const ms = await closeInTime(clock, scope)
  assert.ok(closed)
  assert.ok(ms <= 120, `twenty stuck tasks took ${ms} ms`)
  assert.equal(counters.value('scope_close_overdue_total'), 20)
  assert.equal(new Set(lines.map((line) => line.item)).size, 20)
})

test('an item of a child that hangs is named, and its parent does not give the child up first', async () => {
  const { clock, lines, scope } = bench()
  const child = scope.child('child')
  child.defer('one', () => never)
  child.defer('two', () => never)
  let parentClosed = 0
  scope.defer('before', () => {})
  const order: string[] = []
  child.defer('last', () => order.push('child'))
  scope.spawn('watch', async (signal) => {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    parentClosed++
  })
  await closeInTime(clock, scope)
  assert.equal(parentClosed, 1)
  assert.deepEqual(
    lines.map((line) => [line.item, line.scope]),
    [
      ['two', 'root/child'],
      ['one', 'root/child'],
    ],
  )
})

test('a child leaves its parent when it is closed, and inherits clock, log and counters', async () => {
  const { clock, counters, scope } = bench()
  const child = scope.child('child')
  assert.equal(child.name, 'root/child')
  assert.equal(child.clock, clock)
  assert.equal(child.counters, counters)
  assert.equal(scope.size, 1)
  await child.close()
  assert.equal(scope.size, 0)
  assert.equal(scope.closed, false)
})

test('what is given to a closing scope is closed at once and refused', async () => {
  const { counters, scope } = bench()
  let closed = 0
  await scope.close()
  const resource = {
    [Symbol.dispose]() {
      closed++
    },
  }
  assert.throws(() => scope.own('late', resource), { code: 'CLOSED' })
  assert.throws(() => scope.defer('late', () => closed++), { code: 'CLOSED' })
  assert.equal(closed, 2)
  const fails = () => scope.defer('late', () => Promise.reject(new Error('x')))
  assert.throws(fails, { code: 'CLOSED' })
  await setImmediate()
  assert.equal(counters.value('cleanup_failures_total'), 1)
  assert.throws(() => scope.child('late'), { code: 'CLOSED' })
  assert.throws(() => scope.timer('late', 1, () => {}), { code: 'CLOSED' })
  assert.throws(() => scope.every('late', 1, () => {}), { code: 'CLOSED' })
  assert.throws(() => scope.spawn('late', async () => {}), { code: 'CLOSED' })
  const emitter = new EventEmitter()
  assert.throws(() => scope.listen(emitter, 'x', () => {}), { code: 'CLOSED' })
  assert.equal(emitter.listenerCount('x'), 0)
  await assert.rejects(scope.sleep(1), { code: 'CLOSED' })
  assert.equal(scope.size, 0)
})

test('own prefers the asynchronous disposal and gives the resource back', async () => {
  const { scope } = bench()
  const calls: string[] = []
  const both = {
    async [Symbol.asyncDispose]() {
      calls.push('async')
    },
    [Symbol.dispose]() {
      calls.push('sync')
    },
  }
  assert.equal(scope.own('both', both), both)
  await scope.close()
  assert.deepEqual(calls, ['async'])
})

test('a released item is not closed, and releasing twice takes nothing else away', async () => {
  const { scope } = bench()
  const closed: string[] = []
  const first = scope.defer('a', () => closed.push('a'))
  scope.defer('b', () => closed.push('b'))
  const third = scope.defer('c', () => closed.push('c'))
  first.release()
  first[Symbol.dispose]()
  third.release()
  assert.equal(scope.size, 1)
  await scope.close()
  assert.deepEqual(closed, ['b'])
})

test('a timer fires once and leaves; cancelled or closed it does not fire', async () => {
  const { clock, scope } = bench()
  let fired = 0
  scope.timer('one', 10, () => fired++)
  scope.timer('two', 10, () => assert.fail('cancelled')).cancel()
  assert.equal(scope.size, 1)
  clock.advance(10)
  assert.equal(fired, 1)
  assert.equal(scope.size, 0)
  scope.timer('three', 10, () => assert.fail('closed'))
  await closeInTime(clock, scope)
  clock.advance(100)
})

test('every never runs twice at once, goes on after a failure, and stops when cancelled', async () => {
  const { clock, counters, lines, scope } = bench()
  let running = 0
  let runs = 0
  let finish = () => {}
  const timer = scope.every('sweep', 10, async () => {
    assert.equal(++running, 1)
    runs++
    await new Promise<void>((resolve) => {
      finish = resolve
    })
    running--
    if (runs === 2) throw new Error('second run')
  })
  await clock.advanceAsync(50, 10)
  assert.equal(runs, 1, 'the interval starts when the last call has ended')
  finish()
  await setImmediate()
  await clock.advanceAsync(10)
  assert.equal(runs, 2)
  finish()
  await setImmediate()
  await clock.advanceAsync(10)
  assert.equal(runs, 3)
  assert.equal(counters.value('task_failures_total'), 1)
  assert.equal(lines[0]?.task, 'sweep')
  timer.cancel()
  finish()
  await setImmediate()
  await clock.advanceAsync(50, 10)
  assert.equal(runs, 3)
  assert.equal(scope.size, 0)
})

test('a synchronous every keeps going when its call throws', () => {
  const { clock, counters, scope } = bench()
  let runs = 0
  scope.every('sweep', 10, () => {
    runs++
    throw new Error('always')
  })
  clock.advance(35)
  assert.equal(runs, 3)
  assert.equal(counters.value('task_failures_total'), 3)
})

test('closing stops an every that waits for its next call, and leaves no timer', async () => {
  const { clock, scope } = bench()
  scope.every('sweep', 10, () => assert.fail('must not run'))
  scope.every('again', 1, () => {})
  clock.advance(5)
  await closeInTime(clock, scope)
  clock.advance(100)
})

test('closing waits for the running call of an every, a timer and a listener', async () => {
  const { clock, lines, scope } = bench()
  const emitter = new EventEmitter()
  const ended: string[] = []
  const work = (name: string) => async () => {
    await setImmediate()
    await setImmediate()
    ended.push(name)
  }
  scope.every('every', 10, work('every'))
  scope.timer('timer', 10, work('timer'))
  scope.listen(emitter, 'event', work('listener'))
  clock.advance(10)
  emitter.emit('event')
  await scope.close()
  assert.deepEqual(ended.sort(), ['every', 'listener', 'timer'])
  assert.equal(emitter.listenerCount('event'), 0)
  assert.deepEqual(lines, [])
})

test('what a clean-up sets off while closing is waited for as well', async () => {
  const { scope } = bench()
  const emitter = new EventEmitter()
  let ended = false
  scope.defer('socket', () => emitter.emit('close'))
  scope.listen(emitter, 'close', () => assert.fail('was taken off before'))
  scope.listen(emitter, 'end', async () => {
    await setImmediate()
    ended = true
  })
  scope.defer('stream', () => emitter.emit('end'))
  await scope.close()
  assert.ok(ended)
})

test('a listener that throws is logged and counted, and does not reach the emitter', async () => {
  const { counters, scope } = bench()
  const emitter = new EventEmitter()
  const heard: unknown[] = []
  const owned = scope.listen(emitter, 'event', (...args) => {
    heard.push(args)
    throw new Error('broken')
  })
  emitter.emit('event', 1, 2)
  assert.deepEqual(heard, [[1, 2]])
  assert.equal(counters.value('task_failures_total'), 1)
  owned.release()
  assert.equal(emitter.listenerCount('event'), 0)
  assert.equal(scope.size, 0)
})

test('a task that fails is logged with task, scope and cause, and counted', async () => {
  const { counters, lines, scope } = bench()
  const task = scope.spawn('pull', async () => {
    throw new WeirError('TIMEOUT', 'no answer', { cause: new Error('silence') })
  })
  await assert.rejects(task.result, { code: 'TIMEOUT' })
  assert.equal(scope.size, 0)
  assert.equal(counters.value('task_failures_total'), 1)
  assert.partialDeepStrictEqual(lines[0], {
    level: 'error',
    task: 'pull',
    scope: 'root',
    error: 'TIMEOUT: no answer <- silence',
  })
})

test('a task that ends because of the close is no failure; CLOSED before the close is one', async () => {
  const { clock, counters, scope } = bench()
  scope.spawn('early', async () => {
    throw new WeirError('CLOSED', 'somebody else closed')
  })
  await setImmediate()
  assert.equal(counters.value('task_failures_total'), 1)
  scope.spawn('sleeper', () => scope.sleep(10_000))
  scope.spawn('fetcher', async (signal) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    signal.throwIfAborted()
  })
  scope.every('every', 10, () => scope.sleep(10_000))
  clock.advance(10)
  await closeInTime(clock, scope)
  assert.equal(counters.value('task_failures_total'), 1)
})

test('a task starts one turn later and its result can be ignored', async () => {
  const { scope } = bench()
  let started = false
  const task = scope.spawn('value', async () => {
    started = true
    return 5
  })
  assert.equal(started, false)
  assert.equal(await task.result, 5)
  scope.spawn('ignored', () => Promise.reject(new Error('x'))) // unhandled it would fail this file
  await setImmediate()
})

test('sleep wakes on time and leaves nothing behind', async () => {
  const { clock, scope } = bench()
  const slept = scope.sleep(10)
  clock.advance(10)
  await slept
  assert.equal(scope.size, 0)
})

test('a task that waits for its own scope is cut off by the deadline', async () => {
  const { clock, counters, scope } = bench()
  scope.spawn('suicide', () => scope.close())
  await setImmediate()
  await closeInTime(clock, scope)
  assert.equal(counters.value('scope_close_overdue_total'), 1)
})

test('a closed scope can be collected, and its items before it', async () => {
  const parent = new Scope('parent')
  const emitter = new EventEmitter()
  const closedChild = async () => {
    const child = parent.child('child')
    child.listen(emitter, 'event', () => child.size)
    child.timer('later', 60_000, () => child.size)
    await child.close()
    return child
  }
  assert.ok(await collectable(closedChild))
  const released = () => {
    const resource = { [Symbol.dispose]() {} }
    parent.defer('item', () => resource[Symbol.dispose]()).release()
    return resource
  }
  assert.ok(await collectable(released))
  const ended = async () => {
    const payload = { bytes: new Uint8Array(10) }
    await parent.spawn('task', async () => payload.bytes.length).result
    await setImmediate()
    return payload
  }
  assert.ok(await collectable(ended))
  assert.equal(getEventListeners(parent.signal, 'abort').length, 0)
  assert.ok(!(await collectable(() => parent.child('held'))), 'an open child is held')
  await parent.close()
})

test('isCloseError knows our code and the platform abort', () => {
  const controller = new AbortController()
  controller.abort()
  assert.ok(isCloseError(controller.signal.reason))
  assert.ok(isCloseError(new WeirError('CLOSED', '')))
  assert.ok(!isCloseError(new WeirError('LIMIT', '')))
  assert.ok(!isCloseError('CLOSED'))
})
