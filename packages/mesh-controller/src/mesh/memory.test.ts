import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair, type LogId, type NodeId } from 'weir-mesh/core'
import { Counters, Heartbeats, isWeirError, Scope, systemRandom } from 'weir-mesh/runtime'
import type { StoredOperation } from 'weir-mesh/store'
import { openCluster } from '../api-server/testing.ts'
import { Incoming } from './incoming.ts'
import { meshTerms } from './memory.ts'
import { meshTopic } from './names.ts'
import { OwnLog } from './own-log.ts'
import { Reporter } from './reporter.ts'
import { RowTable } from './row-table.ts'
import { BODY_BYTES_MAX } from './sizes.ts'

const terms = meshTerms({
  objectsMax: 8,
  zonesMax: 2,
  publishBytesMax: 3 << 20,
  logBytesMax: 1 << 24,
  appliesMax: 2,
  pendingMax: 4,
})
const open = () =>
  new Ledger(planMemory(Object.values(terms), { limitBytes: 2 ** 31 }), { assertLeaks: true })
const key = (at: number) => new Uint8Array(32).fill(at) as NodeId
const named = (at: number) => ({ resource: 'g/K', namespace: 'default', name: `w${at}` })

test('mesh.objects: one object more than planned is not remembered, and there is room again after one went', () => {
  const ledger = open()
  const rows = new RowTable(ledger.require(terms.objects))
  for (let at = 0; at < 8; at++) assert.ok(rows.findOrAdd(named(at)))
  assert.equal(rows.findOrAdd(named(8)), undefined)
  assert.equal(ledger.row(terms.objects).refused.cap, 1)
  rows.removeIfEmpty(rows.find(named(3))!)
  assert.ok(rows.findOrAdd(named(8)))
  rows[Symbol.dispose]()
  ledger.assertEmpty()
})

test('mesh.zones: one zone more than planned is not bound, nor is a name with two keys', () => {
  const ledger = open()
  const rows = new RowTable(ledger.require(terms.objects))
  const incoming = new Incoming('zone-a', meshTopic(key(0)), rows, ledger.require(terms.zones))
  assert.equal(incoming.bind('zone-b', key(1)), 'ok')
  assert.equal(incoming.bind('zone-b', key(1)), 'ok')
  assert.equal(incoming.bind('zone-b', key(2)), 'bound')
  assert.equal(incoming.bind('zone-a', key(2)), 'bound')
  assert.equal(incoming.bind('zone-c', key(2)), 'ok')
  assert.equal(incoming.bind('zone-d', key(3)), 'cap')
  incoming[Symbol.dispose]()
  rows[Symbol.dispose]()
  ledger.assertEmpty()
})

test('mesh.publish-queue: a full queue has no room, keeps its order, and has room again when it was written', async () => {
  const ledger = open()
  const scope = new Scope('test')
  const heartbeats = new Heartbeats(scope.clock)
  const written: number[] = []
  let let1: (() => void) | undefined
  const gate = new Promise<void>((resolve) => {
    let1 = resolve
  })
  const log = new OwnLog({
    scope,
    key: KeyPair.generate(systemRandom),
    logId: key(9) as Uint8Array as LogId,
    queue: ledger.require(terms.publish),
    heartbeat: heartbeats.register('own-log', { deadlineMs: 1000 }),
    publish: async (operation: StoredOperation) => {
      await gate
      written.push(operation.seq)
      return 'kept'
    },
    onFull: () => assert.fail('not full'),
  })
  assert.ok(log.hasRoom)
  log.append(0, new Uint8Array(BODY_BYTES_MAX), false)
  assert.ok(!log.hasRoom)
  const room = log.inRoom(() => {})
  assert.throws(() => log.append(1, new Uint8Array(3 << 20), false), /without room/)
  let1!()
  await room
  log.append(1, new Uint8Array(10), false)
  await log.close()
  assert.deepEqual(written.slice(0, 1), [0])
  ledger.assertEmpty()
  await scope.close()
})

test('mesh.snapshot-chunk and mesh.applies refuse what is above their caps', () => {
  const ledger = open()
  for (const term of [terms.chunk, terms.applies]) {
    const account = ledger.require(term)
    account.require(term.payloadBytesMax)
    assert.throws(
      () => account.require(1),
      (error) => isWeirError(error, 'LIMIT'),
    )
    account.give(term.payloadBytesMax)
    account[Symbol.dispose]()
  }
  const applies = ledger.require(terms.applies)
  applies.require(0, 2)
  assert.equal(applies.take(0, 1), 'cap')
  applies.give(0, 2)
  applies[Symbol.dispose]()
  ledger.assertEmpty()
})

test('mesh.too-large: the oldest name goes for one more, and nothing is left at the end', async () => {
  const cluster = await openCluster()
  const ledger = open()
  const scope = new Scope('test', { counters: new Counters() })
  const reporter = new Reporter(scope, cluster.client, ledger.require(terms.tooLarge))
  const most = terms.tooLarge.entriesMax
  const ref = { group: 'g', version: 'v1', kind: 'K', plural: 'ks', namespaced: true }
  for (let at = 0; at <= most; at++) reporter.tooLarge(named(at), ref, 'u', 2_000_000, 1_000_000)
  assert.equal([...reporter.oversized()].length, most)
  assert.ok(![...reporter.oversized()].some(({ object }) => object.endsWith(' w0')))
  assert.equal(scope.counters.value('mesh_too_large_total'), most + 1)
  reporter.fits(named(5))
  assert.equal([...reporter.oversized()].length, most - 1)
  reporter[Symbol.dispose]()
  await scope.close()
  ledger.assertEmpty()
  await cluster.close()
})
