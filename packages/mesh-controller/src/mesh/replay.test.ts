/** A zone that has replicas already reads the log of their owner from its begin. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instant, NEVER } from 'weir-mesh/machine'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { until, WIDGETS, widget } from '../api-server/testing.ts'
import { LONGEST_MS, REST_MS } from './catching-up.ts'
import { item, named, setUp, stranger } from './machine.fixture.ts'
import {
  encodeBegin,
  encodeChunk,
  encodeDelete,
  encodeEnd,
  encodeItem,
  encodePut,
} from './protocol.ts'

const made = (seq: number, incarnation = 1) => ({
  owner: 'zone-b',
  cluster: 'cb',
  made: { incarnation, seq },
})

/** The log begins with an empty snapshot: operations 0 and 1. */
function startedWorld(...replicas: [name: string, seq: number, value?: number][]) {
  const world = setUp()
  for (const [name, seq, value] of replicas) world.observed(name, made(seq), value)
  world.begin(1)
  world.operation(encodeEnd('zone-b', 1, 0))
  return world
}

/** Another zone joins and begins its log. @returns what its next operations are read with. */
function join(world: ReturnType<typeof setUp>, zone: string, height?: number) {
  const as = { author: stranger, zone }
  assert.equal(world.machine.bind(zone, stranger), 'ok')
  const begin = encodeBegin(zone, { incarnation: 1, snapshot: 1, cluster: 'cc', count: 0 })
  world.operation(begin, { ...as, seq: 0, ...(height === undefined ? {} : { height }) })
  return as
}

test('a replica is not deleted for a snapshot that is older than it is', () => {
  const world = startedWorld(['w', 3], ['last', 4])
  world.operation(encodePut('zone-b', item('other', 1)))
  world.operation(encodePut('zone-b', item('w', 1)))
  world.operation(encodePut('zone-b', item('last', 1)))
  assert.deepEqual(world.done, ['applied zone-b', 'create other'])
  world.close()
})

test('a replica is not turned back to what it was before, and one that was edited is put back', () => {
  const world = startedWorld(['w', 4, 3], ['edited', 5, 99])
  world.operation(encodePut('zone-b', item('w', 1)))
  world.operation(encodePut('zone-b', item('edited', 1)))
  world.operation(encodePut('zone-b', item('w', 3)))
  assert.deepEqual(world.done, ['applied zone-b'])
  world.operation(encodePut('zone-b', item('edited', 3)))
  world.operation(encodePut('zone-b', item('w', 4)))
  assert.deepEqual(world.done, ['applied zone-b', 'update edited', 'update w'])
  world.close()
})

test('a deletion by name counts for what was made before it', () => {
  const world = startedWorld(['anew', 4], ['gone', 2])
  world.operation(encodePut('zone-b', item('gone', 1)))
  world.operation(encodeDelete('zone-b', named('anew'), '9'))
  world.operation(encodePut('zone-b', item('anew', 1)))
  world.operation(encodeDelete('zone-b', named('gone'), '9'))
  assert.deepEqual(world.done, ['applied zone-b', 'delete gone'])
  world.close()
})

test('one whose deletion was read before the object was seen is deleted', () => {
  const world = startedWorld()
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = [...world.machine.rows()][0]!
  world.handle({ type: 'applied', row, outcome: { type: 'conflict', observed: undefined } })
  world.operation(encodeDelete('zone-b', named('w'), '9'))
  world.observed('w', made(2))
  assert.deepEqual(world.done, ['applied zone-b', 'create w', 'delete w'])
  world.close()
})

test('what a log said before it was made short is known by the end of its next snapshot', () => {
  const world = startedWorld(['kept', 3], ['gone', 4])
  world.begin(2, { seq: 8 })
  // Seen again: still nothing is known.
  world.observed('kept', { ...made(3), version: '6' })
  world.observed('gone', { ...made(4), version: '6' })
  assert.deepEqual(world.done, ['applied zone-b'])
  world.operation(encodeChunk('zone-b', 2, [encodeItem(item('kept', 1))]))
  world.operation(encodeEnd('zone-b', 2, 1))
  assert.deepEqual(world.done, ['applied zone-b', 'applied zone-b', 'delete gone'])
  world.close()
})

test('a replica of an earlier life is deleted by the first snapshot of a later one, and updated before it', () => {
  const world = setUp()
  world.observed('gone', made(7, 1))
  world.observed('w', made(9, 1))
  world.begin(1, { incarnation: 2 })
  world.operation(encodePut('zone-b', item('w', 2)), { incarnation: 2 })
  assert.deepEqual(world.done, ['update w'])
  world.operation(encodeEnd('zone-b', 1, 0), { incarnation: 2 })
  assert.deepEqual(world.done, ['update w', 'applied zone-b', 'delete gone'])
  world.close()
})

test('a replica of a life that is not known yet stays', () => {
  const world = startedWorld()
  world.observed('w', made(0, 2))
  world.operation(encodePut('zone-b', item('w', 2)))
  assert.deepEqual(world.done, ['applied zone-b'])
  world.begin(1, { incarnation: 2 })
  world.operation(encodeEnd('zone-b', 1, 0), { incarnation: 2 })
  assert.deepEqual(
    world.done.slice(1).filter((each) => !each.startsWith('drop')),
    ['applied zone-b', 'delete w'],
  )
  world.close()
})

test('another zone takes the place of a replica when its owner is known to want it no more', () => {
  const world = setUp()
  world.observed('w', made(2))
  const third = join(world, 'zone-c')
  world.operation(encodePut('zone-c', item('w', 7)), third)
  world.operation(encodeEnd('zone-c', 1, 0), third)
  assert.deepEqual(world.done, ['applied zone-c'])
  world.begin(1, { seq: 0 })
  world.operation(encodeEnd('zone-b', 1, 0))
  assert.deepEqual(world.done, ['applied zone-c', 'applied zone-b'])
  world.operation(encodePut('zone-b', item('w', 1)))
  assert.deepEqual(world.done, ['applied zone-c', 'applied zone-b'])
  world.operation(encodeDelete('zone-b', named('w'), '9'))
  assert.deepEqual(world.done, ['applied zone-c', 'applied zone-b', 'update w'])
  world.close()
})

test('until the first snapshot of a later life ends, what the earlier one said is put back', () => {
  const world = startedWorld(['w', 2])
  world.operation(encodePut('zone-b', item('w', 1)))
  world.begin(1, { incarnation: 2 })
  world.observed('w', { ...made(2), version: '6' }, 99)
  assert.deepEqual(world.done, ['applied zone-b', 'update w'])
  world.close()
})

test('what was read of an earlier life says nothing of a later one', () => {
  const world = startedWorld()
  world.operation(encodeDelete('zone-b', named('other'), '9'))
  world.begin(1, { incarnation: 2, seq: 0 })
  world.observed('w', made(2, 2))
  const third = join(world, 'zone-c')
  world.operation(encodePut('zone-c', item('w', 7)), third)
  assert.deepEqual(world.done, ['applied zone-b'])
  world.close()
})

test('a zone with a smaller name takes the place at once', () => {
  const world = setUp()
  world.observed('w', made(2))
  const first = join(world, 'zone-aa')
  world.operation(encodePut('zone-aa', item('w', 7)), first)
  assert.deepEqual(world.done, ['update w'])
  world.close()
})

test('what was made and deleted again is not made, and what was edited is written once', () => {
  const world = setUp()
  world.begin(1, { height: 6 })
  world.operation(encodeEnd('zone-b', 1, 0))
  world.operation(encodePut('zone-b', item('gone', 1)))
  world.operation(encodePut('zone-b', item('w', 1)))
  world.operation(encodeDelete('zone-b', named('gone'), '9'))
  assert.deepEqual(world.done, ['applied zone-b'])
  world.operation(encodePut('zone-b', item('w', 2)))
  assert.deepEqual(world.done, ['applied zone-b', 'create w'])
  world.operation(encodePut('zone-b', item('live', 1)))
  assert.deepEqual(world.done, ['applied zone-b', 'create w', 'create live'])
  assert.equal(world.machine.wakeAt, NEVER)
  world.close()
})

test('who claims more of a log than there is holds it up until it rests', () => {
  const world = setUp()
  world.begin(1, { height: 1_000_000 })
  world.operation(encodePut('zone-b', item('w', 1)))
  assert.deepEqual(world.done, [])
  assert.equal(world.machine.wakeAt, (world.clock.ms + REST_MS) * 1000)
  world.rest()
  assert.deepEqual(world.done, ['create w'])
  world.close()
})

test('a log that never rests is not waited for longer than some seconds', () => {
  const world = setUp()
  world.begin(1, { height: 1_000_000 })
  world.operation(encodePut('zone-b', item('w', 1)))
  let looks = 0
  for (let at = 0; world.done.length === 0; at++) {
    assert.ok(world.clock.ms < LONGEST_MS + 2 * REST_MS, 'it goes on for ever')
    world.clock.ms += REST_MS / 4
    const now = instant(world.clock.ms * 1000)
    if (world.machine.wakeAt <= now) {
      world.machine.wake(now, world.effects)
      looks++
    }
    world.operation(encodeDelete('zone-b', named(`other-${at}`), '9'))
  }
  assert.deepEqual(world.done, ['create w'])
  assert.ok(world.clock.ms >= LONGEST_MS)
  // The timer does not move with each operation.
  assert.ok(looks <= (1.5 * LONGEST_MS) / REST_MS, `${looks} looks`)
  assert.equal(world.machine.wakeAt, NEVER)
  world.close()
})

test('each zone comes to the present by itself', () => {
  const world = setUp()
  world.begin(1)
  const third = join(world, 'zone-c', 3)
  world.operation(encodePut('zone-c', item('theirs', 1)), third)
  world.operation(encodePut('zone-b', item('w', 1)), { seq: 1 })
  assert.deepEqual(world.done, ['create w'])
  world.operation(encodePut('zone-c', item('more', 1)), { ...third, seq: 2 })
  assert.deepEqual(world.done.sort(), ['create more', 'create theirs', 'create w'])
  world.close()
})

test('replicas outlive a restart of the zone that holds them, and one of their owner', async () => {
  const mesh = await DirectMesh.open(2)
  try {
    const [a, b] = mesh.zones as [DirectZone, DirectZone]
    const { client } = a.cluster
    await until('both ready', () => !a.replication.problem && !b.replication.problem)
    const names = Array.from({ length: 20 }, (_, at) => `w${at}`)
    for (const name of names) await client.create(WIDGETS, widget(name, { size: 1 }))
    for (const size of [2, 3]) {
      for (const name of names)
        await client.mergePatch(WIDGETS, 'default', name, { spec: { size } })
    }
    const list = async (zone: DirectZone) => {
      const { items } = await zone.cluster.client.list(WIDGETS, { namespace: 'default' })
      return items
    }
    const state = async () =>
      (await list(b)).map(
        ({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`,
      )
    const sameAsA = async () => {
      const sizes = async (zone: DirectZone) =>
        JSON.stringify((await list(zone)).map(({ spec }) => spec))
      return (await sizes(a)) === (await sizes(b))
    }
    const settled = () => {
      const { zones, pending, problem } = b.replication.status
      return zones[0]?.objects === 20 && !zones[0].catchingUp && pending === 0 && problem === ''
    }
    await until('there', async () => settled() && (await sameAsA()))
    const before = await state()
    await b.stop()
    b.restart()
    await until('all is known', settled)
    assert.deepEqual(await state(), before)
    assert.equal(b.counters.value('mesh_applied_total'), 0)
    await a.stop()
    a.restart()
    await client.mergePatch(WIDGETS, 'default', 'w0', { spec: { size: 4 } })
    await until('w0 follows', async () => settled() && (await sameAsA()))
    assert.deepEqual((await state()).slice(1), before.slice(1))
    assert.equal(b.counters.value('mesh_applied_total'), 1)
  } finally {
    await mesh.close()
  }
})
