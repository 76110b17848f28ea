/** Own objects that cannot be sent: too large, too deep, too many values, no place. Nothing is deleted because of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { until, WIDGETS, widget } from '../api-server/testing.ts'
import type { JsonObject } from '../kube/index.ts'
import { contentHash } from './content.ts'
import { bytes, item, named, setUp, stranger } from './machine.fixture.ts'
import {
  encodeBegin,
  encodeChunk,
  encodeDelete,
  encodeEnd,
  encodeHeld,
  encodeItem,
  encodePut,
} from './protocol.ts'

/** As the snapshotter does it, with what could be listed. */
function snapshot(world: ReturnType<typeof setUp>, listed: readonly (readonly [string, string])[]) {
  world.published.length = 0
  world.handle({ type: 'snapshot-begin', cluster: 'ca', count: 0 })
  for (const [name, version] of listed) {
    const content = bytes(1)
    const hash = contentHash(content)
    world.handle({ type: 'snapshot-item', name: named(name), version, hash, content })
  }
  for (const name of world.machine.unsent()) world.handle({ type: 'snapshot-held', name })
  world.handle({ type: 'snapshot-end' })
  return world.published.map(({ kind, name }) => `${kind} ${name}`.trim())
}

test('a snapshot names an own object that it cannot send, and the object travels when it is as before', () => {
  const world = setUp()
  world.observed('w', { version: '4' })
  world.observed('x', { version: '5' })
  world.observed('theirs', { version: '5', owner: 'zone-b', cluster: 'cb' })
  assert.deepEqual(snapshot(world, [['w', '4'], ['x', '5']]), ['begin', 'chunk w x', 'end']) // biome-ignore format: one line
  world.handle({
    type: 'observed',
    name: named('w'),
    observed: { uid: 'u-w', version: '6', owner: '', cluster: '', hash: 'large' },
    content: undefined,
  })
  assert.deepEqual(snapshot(world, [['x', '5']]), ['begin', 'chunk x w', 'end'])
  assert.deepEqual(snapshot(world, [['x', '5']]), ['begin', 'chunk x w', 'end'])
  world.published.length = 0
  world.observed('w', { version: '7' })
  assert.deepEqual(
    world.published.map(({ kind, name }) => `${kind} ${name}`),
    ['put w'],
  )
  world.close()
})

test('an object that was never read, or found no place, is named too, and its deletion travels', () => {
  const world = setUp(2)
  world.handle({ type: 'unread', name: named('large') })
  // What another zone says of the name meanwhile does not make it forgotten.
  world.begin(1)
  world.operation(encodePut('zone-b', item('large', 1)))
  world.operation(encodeDelete('zone-b', named('large'), '2'))
  const row = world.machine.row('g/Widget default large')!
  world.handle({ type: 'applied', row, outcome: { type: 'missing' } })
  assert.deepEqual(world.done.splice(0), ['create large'])
  assert.deepEqual(snapshot(world, []), ['begin', 'chunk large', 'end'])
  world.observed('w', { version: '5' })
  world.observed('no-place', { version: '6' })
  assert.deepEqual(world.done, ['problem objects-full '])
  assert.deepEqual(snapshot(world, [['w', '5'], ['no-place', '6']]), ['begin', 'chunk w no-place large', 'end']) // biome-ignore format: one line
  world.handle({ type: 'gone', name: named('large'), version: '7' })
  assert.deepEqual(world.published.at(-1)?.kind, 'delete')
  assert.deepEqual(snapshot(world, [['w', '5']]), ['begin', 'chunk w', 'end'])
  world.close()
})

test('what is held stays where it is, is made nowhere, and goes with a deletion or an end that does not name it', () => {
  const world = setUp()
  for (const name of ['kept', 'deleted', 'left-out'])
    world.observed(name, { owner: 'zone-b', cluster: 'cb' })
  world.begin(1)
  const held = ['kept', 'deleted', 'left-out', 'nowhere'].map((name) => encodeHeld(named(name)))
  world.operation(encodeChunk('zone-b', 1, held))
  world.operation(encodeEnd('zone-b', 1, 4))
  assert.deepEqual(world.done, ['applied zone-b'])
  world.operation(encodeDelete('zone-b', named('deleted'), '9'))
  assert.deepEqual(world.done.slice(1), ['delete deleted'])
  world.begin(2)
  world.operation(encodeChunk('zone-b', 2, [encodeHeld(named('kept'))]))
  world.operation(encodeEnd('zone-b', 2, 1))
  assert.deepEqual(world.done.slice(2).sort(), ['applied zone-b', 'delete left-out'])
  for (const row of world.machine.rows()) row.state = 'idle'
  world.close()
})

test('an object that is held after its deletion, by one of the same name, does not keep the former', () => {
  const world = setUp()
  world.observed('w', { owner: 'zone-b', cluster: 'cb' })
  world.begin(1)
  world.operation(encodeDelete('zone-b', named('w'), '9'))
  const row = world.machine.row('g/Widget default w')!
  world.operation(encodeChunk('zone-b', 1, [encodeHeld(named('w'))]))
  world.handle({ type: 'applied', row, outcome: { type: 'failed' } })
  world.operation(encodeEnd('zone-b', 1, 1))
  world.machine.wake(60_000_000 as never, world.effects)
  assert.deepEqual(world.done, ['delete w', 'applied zone-b', 'delete w'])
  row.state = 'idle'
  world.close()
})

test('what is held is no conflict of owners, because its zone may not have seen whose it is', () => {
  const world = setUp()
  world.observed('w', { version: '5' })
  world.begin(1)
  world.operation(encodeChunk('zone-b', 1, [encodeHeld(named('w'))]))
  assert.deepEqual(world.done, [])
  world.operation(encodePut('zone-b', item('w', 2)))
  assert.deepEqual(world.done, ['conflict w zone-b'])
  world.close()
})

test('another zone has its turn where the one that holds has no replica', () => {
  const world = setUp()
  world.machine.bind('zone-c', stranger)
  const fromC = { author: stranger, zone: 'zone-c' }
  world.observed('here', { owner: 'zone-b', cluster: 'cb' })
  const begin = { incarnation: 1, snapshot: 1, cluster: 'cc', count: 0 }
  world.operation(encodeBegin('zone-c', begin), fromC)
  world.begin(1)
  world.operation(encodeChunk('zone-b', 1, [named('here'), named('there')].map(encodeHeld)))
  const items = ['here', 'there'].map((name) => encodeItem(item(name, 2)))
  world.operation(encodeChunk('zone-c', 1, items), fromC)
  world.operation(encodeEnd('zone-b', 1, 2))
  assert.deepEqual(world.done.splice(0), ['create there', 'applied zone-b'])
  world.operation(encodeDelete('zone-b', named('here'), '9'))
  assert.deepEqual(world.done, ['update here'])
  for (const row of world.machine.rows()) row.state = 'idle'
  world.close()
})

function deep(levels: number): JsonObject {
  let tree: JsonObject = {}
  for (let level = 0; level < levels; level++) tree = { deep: tree }
  return tree
}

for (const [why, extra] of [
  ['too large to travel', { text: 'x'.repeat(1_100_000) }],
  ['too large to be read', { text: 'x'.repeat(1_600_000) }],
  ['nested too deeply', deep(140)],
  ['of too many values', { many: Array.from({ length: 20_000 }, () => 0) }],
] as const) {
  test(`an object that has become ${why} keeps its replicas, and travels again when it shrinks`, async () => {
    const mesh = await DirectMesh.open(2, { storeBytesMax: 32 * 1024 * 1024 })
    try {
      const [a, b] = mesh.zones as [DirectZone, DirectZone]
      await until('both ready', () => !a.replication.problem && !b.replication.problem)
      const { client } = a.cluster
      const replicas = async () => {
        const { items } = await b.cluster.client.list(WIDGETS, { namespace: 'default' })
        return items.map(
          ({ metadata, ...rest }) => `${metadata.name} ${JSON.stringify(rest['spec'])}`,
        )
      }
      await client.create(WIDGETS, widget('w', { size: 1 }))
      await client.create(WIDGETS, widget('gone', { size: 1 }))
      await until('both are there', async () => (await replicas()).length === 2)
      for (const name of ['w', 'gone']) {
        // An answer with it may be too large for this client as well.
        await client.mergePatch(WIDGETS, 'default', name, { spec: { extra } }).catch(() => {})
      }
      await until('it is told', () => a.replication.status.tooLarge.length === 2)
      for (let life = 2; life <= 3; life++) {
        await a.stop()
        a.restart()
        await until('the snapshot has come', () => {
          const zone = b.replication.status.zones[0]
          return zone?.incarnation === life && zone.complete && b.replication.status.pending === 0
        })
      }
      assert.deepEqual((await replicas()).length, 2)
      assert.equal(a.replication.status.tooLarge.length, 2)
      await client.delete(WIDGETS, 'default', 'gone')
      await until('a deletion comes all the same', async () => (await replicas()).length === 1)
      const before = a.replication.status.ownSequence
      await client.mergePatch(WIDGETS, 'default', 'w', { spec: { extra: null } })
      await until('it is put', () => a.replication.status.ownSequence > before)
      await client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 2 } })
      await until('it travels', async () => (await replicas())[0]?.includes('"size":2') ?? false)
    } finally {
      await mesh.close()
    }
  })
}
