import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair, type LogId } from 'weir-mesh/core'
import { Heartbeats, Scope, systemRandom } from 'weir-mesh/runtime'
import { meshTerms } from './memory.ts'
import { OwnLog, type OwnLogOptions } from './own-log.ts'
import { BODY_BYTES_MAX } from './sizes.ts'

const terms = meshTerms({
  objectsMax: 8,
  zonesMax: 2,
  publishBytesMax: 3 << 20,
  logBytesMax: 1 << 24,
  appliesMax: 2,
  pendingMax: 4,
})

/** An own log with one operation in its queue, which has no room for another then. */
function openFull(publish: OwnLogOptions['publish']) {
  const ledger = new Ledger(planMemory(Object.values(terms), { limitBytes: 2 ** 31 }), {
    assertLeaks: true,
  })
  const scope = new Scope('test')
  const log = new OwnLog({
    scope,
    key: KeyPair.generate(systemRandom),
    logId: new Uint8Array(32) as LogId,
    queue: ledger.require(terms.publish),
    heartbeat: new Heartbeats(scope.clock).register('own-log', { deadlineMs: 1000 }),
    publish,
    onFull: () => {},
  })
  let seq = 0
  const append = () => log.append(seq++, new Uint8Array(BODY_BYTES_MAX), false)
  append()
  assert.ok(!log.hasRoom)
  return { log, scope, ledger, append }
}

// All that waited were told of the same room: the third found none, and the log had a gap that it could not close.
test('of all that wait for room each finds it when it acts', async () => {
  const gate = Promise.withResolvers<void>()
  const { log, scope, ledger, append } = openFull(() => gate.promise.then(() => 'kept'))
  const waiting = [1, 2, 3, 4].map(() => log.inRoom(append))
  gate.resolve()
  await Promise.all(waiting)
  await log.kept(4)
  await scope.close()
  ledger.assertEmpty()
})

test('who waits for room when the log is closed is told, at the abort of the scope above', async () => {
  const { log, scope, ledger } = openFull(async () => 'busy')
  const waits = assert.rejects(
    log.inRoom(() => assert.fail('there is no room')),
    { code: 'CLOSED' },
  )
  // As the snapshot, it is waited for before it is the turn of the log.
  scope.spawn('snapshot', () => waits)
  await scope.close()
  assert.equal(scope.counters.value('scope_close_overdue_total'), 0)
  await waits
  ledger.assertEmpty()
})

// The news of what was deleted waited behind a snapshot for which there was no room, as long as it was not begun anew.
test('after it was given up nothing waits, and the next begin goes on', async () => {
  let full = true
  const kept: number[] = []
  const { log, scope, ledger, append } = openFull(async (operation) => {
    if (full && operation.seq > 0) return 'full'
    kept.push(operation.seq)
    return 'kept'
  })
  await log.inRoom(append)
  await assert.rejects(log.kept(1), { code: 'OWN_LOG_FULL' })
  log.giveUp()
  let there = 0
  await log.inRoom(() => void there++)
  for (let count = 0; count < 5; count++) append()
  assert.deepEqual([there, log.queued], [1, 0])
  full = false
  log.append(7, new Uint8Array(8), true)
  log.append(8, new Uint8Array(8), false)
  await log.kept(8)
  assert.deepEqual(kept, [0, 7, 8])
  await scope.close()
  ledger.assertEmpty()
})

test('a begin that waits when it is given up is written, with what follows it', async () => {
  const kept: number[] = []
  const { log, scope, ledger } = openFull(async ({ seq }) => {
    kept.push(seq)
    return 'kept'
  })
  log.append(1, new Uint8Array(8), true)
  log.giveUp()
  log.append(2, new Uint8Array(8), false)
  assert.equal(log.queued, 3)
  await log.kept(2)
  assert.deepEqual(kept, [0, 1, 2])
  await scope.close()
  ledger.assertEmpty()
})

test('what waits when it is given up is left out, also when there is room again', async () => {
  const gate = Promise.withResolvers<void>()
  const kept: number[] = []
  const { log, scope, ledger } = openFull(async ({ seq }) => {
    await gate.promise
    kept.push(seq)
    return 'kept'
  })
  await setImmediate() // the first one is on its way
  log.append(1, new Uint8Array(8), false)
  log.giveUp()
  gate.resolve()
  await setImmediate()
  log.append(2, new Uint8Array(8), true)
  await log.kept(2)
  assert.deepEqual(kept, [0, 2])
  await scope.close()
  ledger.assertEmpty()
})
