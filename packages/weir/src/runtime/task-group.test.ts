import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Counters, ManualClock, Scope, TaskGroup } from './index.ts'

test('N tasks run, N+1 is refused with the limit and counted, and an end makes room', async () => {
  const counters = new Counters()
  const scope = new Scope('root', { counters })
  const group = new TaskGroup(scope, 'sessions', { tasksMax: 3 })
  let finish = () => {}
  const first = group.run('first', () => new Promise<void>((resolve) => (finish = resolve)))
  for (const name of ['second', 'third']) {
    group.run(name, (signal) => new Promise((resolve) => signal.addEventListener('abort', resolve)))
  }
  assert.ok(group.full)
  assert.throws(() => group.run('fourth', async () => assert.fail('must not start')), {
    code: 'TASKS_FULL',
    retryable: true,
    limit: { scope: 'root/sessions', limit: 3, used: 3, wanted: 1 },
  })
  assert.equal(counters.value('tasks_refused_total'), 1)
  await setImmediate()
  finish()
  await first.result
  assert.equal(group.running, 2)
  await group.run('fourth', async () => {}).result
  await scope.close()
  assert.equal(group.running, 0)
})

test('a task that fails gives its place back', async () => {
  const scope = new Scope('root')
  const group = new TaskGroup(scope, 'tasks', { tasksMax: 1 })
  await assert.rejects(group.run('bad', () => Promise.reject(new Error('x'))).result)
  await assert.rejects(
    group.run('throws', () => {
      throw new Error('y')
    }).result,
    /y/,
  )
  assert.equal(group.running, 0)
  await scope.close()
})

test('a closed group refuses and counts nothing as running', async () => {
  const scope = new Scope('root')
  const group = new TaskGroup(scope, 'tasks', { tasksMax: 2 })
  await group.close()
  assert.ok(group.signal.aborted)
  for (let attempt = 0; attempt < 5; attempt++) {
    assert.throws(() => group.run('late', async () => {}), { code: 'CLOSED' })
  }
  assert.equal(group.running, 0)
  assert.equal(scope.size, 0)
  await scope.close()
})

test('closing aborts the tasks and waits for them', async () => {
  const scope = new Scope('root', { clock: new ManualClock() })
  const group = new TaskGroup(scope, 'tasks', { tasksMax: 2 })
  let ended = 0
  for (const name of ['a', 'b']) {
    group.run(name, async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await setImmediate()
      ended++
    })
  }
  await group[Symbol.asyncDispose]()
  assert.equal(ended, 2)
  await scope.close()
})

test('a group without room for one task is a mistake', () => {
  assert.throws(() => new TaskGroup(new Scope('root'), 'none', { tasksMax: 0 }), /room for one/)
})
