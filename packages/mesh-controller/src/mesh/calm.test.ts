/** Another controller that changes a replica whenever it is put back: the two do not go round at the speed of the server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instant, NEVER } from 'weir-mesh/machine'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { until, WIDGETS, widget } from '../api-server/testing.ts'
import { contentHash } from './content.ts'
import { bytes, item, named, setUp } from './machine.fixture.ts'
import { encodeChunk, encodeDelete, encodeItem, encodePut } from './protocol.ts'
import type { Outcome } from './replication-machine.ts'

/** A replica of zone-b, an API server that takes each write at once, and somebody who edits after each. */
function fight() {
  const world = setUp()
  const { machine, done, clock } = world
  world.begin(1)
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = machine.row('g/Widget default w')!
  let version = 5
  const seen = (hash: string) => ({
    uid: 'u',
    version: String(++version),
    owner: 'zone-b',
    cluster: 'cb',
    hash,
  })
  const edit = () =>
    world.handle({
      type: 'observed',
      name: named('w'),
      observed: seen(`edited ${version}`),
      content: undefined,
    })
  const answer = (outcome?: Outcome) => {
    const sent = row.desired!
    world.handle({
      type: 'applied',
      row,
      outcome: outcome ?? { type: 'written', observed: seen(sent.hash), sent },
    })
  }
  /** Lets time pass up to the next timer. */
  const wait = () => {
    assert.notEqual(machine.wakeAt, NEVER)
    clock.ms = machine.wakeAt / 1000
    machine.wake(instant(clock.ms * 1000), world.effects)
  }
  answer() // of the create
  done.length = 0
  /** Edits and answers until then. */
  const until = (endMs: number) => {
    while (clock.ms < endMs) {
      edit()
      if (row.state === 'calming') wait()
      assert.equal(row.state, 'busy')
      answer()
    }
  }
  return { ...world, row, edit, answer, wait, until }
}

test('an edit is put back at once, three times, and then after delays that grow to 30 s', () => {
  const world = fight()
  const at: number[] = []
  for (let round = 0; round < 14; round++) {
    world.edit()
    if (world.row.state === 'calming') world.wait()
    at.push(world.clock.ms)
    world.answer()
  }
  const delays = at.slice(1).map((ms, index) => ms - at[index]!)
  assert.deepEqual(
    delays,
    [0, 0, 100, 250, 500, 1000, 2000, 5000, 10_000, 30_000, 30_000, 30_000, 30_000],
  )
  assert.deepEqual(
    world.done.filter((each) => each.startsWith('problem')),
    ['problem contested zone-b'],
  )
  world.close()
})

test('edits that go on while a put-back waits neither hasten nor put it off', () => {
  const world = fight()
  world.until(60_000)
  world.edit()
  const due = world.machine.wakeAt
  for (let round = 0; round < 100; round++) {
    world.clock.ms += 100
    world.edit()
    world.handle({ type: 'gone', name: named('other'), version: '1' })
  }
  assert.equal(world.machine.wakeAt, due)
  assert.deepEqual(
    [world.machine.contested, world.machine.retrying, world.machine.active, world.machine.pending],
    [1, 0, 0, 1],
  )
  world.wait()
  assert.equal(world.row.state, 'busy')
  world.answer()
  world.close()
})

test('somebody who is always faster does not keep it busy either', () => {
  const world = fight()
  let attempts = 0
  for (; world.clock.ms < 600_000; world.clock.ms += 100) {
    world.edit()
    world.machine.wake(instant(world.clock.ms * 1000), world.effects)
    if (world.row.state !== 'busy') continue
    world.answer({ type: 'conflict', observed: undefined })
    attempts++
  }
  assert.ok(attempts > 20 && attempts < 40, `${attempts} attempts`)
  world.close()
})

test('a newer version of the owner is written at once, and so is its deletion, and ends the delay', () => {
  const world = fight()
  world.until(60_000)
  world.edit()
  assert.equal(world.row.state, 'calming')
  // What the owner's snapshot says once more is nothing new.
  world.operation(encodeChunk('zone-b', 1, [encodeItem(item('w', 1))]))
  assert.equal(world.row.state, 'calming')
  world.operation(encodePut('zone-b', item('w', 2)))
  assert.equal(world.row.state, 'busy')
  world.answer()
  assert.equal(world.row.putBacks, 0)
  for (let round = 0; round < 3; round++) {
    world.edit()
    assert.equal(world.row.state, 'busy')
    world.answer()
  }
  world.edit()
  assert.equal(world.row.state, 'calming')
  world.operation(encodeDelete('zone-b', named('w'), '9'))
  assert.equal(world.done.at(-1), 'delete w')
  world.row.state = 'idle'
  world.close()
})

test('after a quiet time an edit is put back at once again, and a second fight is told too', () => {
  const world = fight()
  world.until(60_000)
  world.clock.ms += 95_000
  world.edit()
  assert.equal(world.row.state, 'busy')
  world.answer()
  assert.equal(world.row.putBacks, 1)
  world.until(world.clock.ms + 60_000)
  assert.equal(world.done.filter((each) => each === 'problem contested zone-b').length, 2)
  world.close()
})

test('what the other one puts right by itself is not written', () => {
  const world = fight()
  world.until(60_000)
  world.edit()
  assert.equal(world.row.state, 'calming')
  const writes = world.done.length
  world.handle({
    type: 'observed',
    name: named('w'),
    observed: { uid: 'u', version: '999999', owner: 'zone-b', cluster: 'cb', hash: contentHash(bytes(1)) }, // biome-ignore format: one line
    content: undefined,
  })
  assert.equal(world.machine.pending, 0)
  assert.equal(world.done.length, writes)
  world.close()
})

test('a controller that edits as fast as it can gets few answers, and it is told', async () => {
  const mesh = await DirectMesh.open(2)
  try {
    const [a, b] = mesh.zones as [DirectZone, DirectZone]
    await until('both ready', () => !a.replication.problem && !b.replication.problem)
    await a.cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    await until('it is there', () => b.counters.value('mesh_applied_total') === 1)
    const { client } = b.cluster
    await until('they fight', async () => {
      const { spec } = (await client.get(WIDGETS, 'default', 'w')) as never as { spec: { size: number } } // biome-ignore format: one line
      if (spec.size === 1) await client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 2 } })
      return b.counters.value('mesh_contested_total') === 1
    })
    assert.ok(b.counters.value('mesh_applied_total') < 12)
    assert.equal(b.lines.filter((line) => line.includes('again and again')).length, 1)
    await client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 3 } })
    await until('/status shows it', () => b.replication.status.contested === 1)
    await a.cluster.client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 4 } })
    await until('the owner is heard', () => b.replication.status.contested === 0)
  } finally {
    await mesh.close()
  }
})
