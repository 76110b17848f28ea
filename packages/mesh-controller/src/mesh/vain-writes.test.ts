/** Writes that never succeed: refused each time, or somebody is always faster. They are tried for ever, less and less. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instant } from 'weir-mesh/machine'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { until, WIDGETS, widget } from '../api-server/testing.ts'
import { item, named, setUp } from './machine.fixture.ts'
import { encodeDelete, encodePut } from './protocol.ts'
import type { Outcome } from './replication-machine.ts'

const TEN_MINUTES = 600_000
const FAILED: Outcome = Object.freeze({ type: 'failed' })
const CONFLICT: Outcome = Object.freeze({ type: 'conflict', observed: undefined })

/** A replica of zone-b that was edited here before this life began; every write of it ends like this. */
function vain(outcome: Outcome) {
  const world = setUp()
  world.begin(1)
  let version = 5
  const edit = () =>
    world.observed('w', { owner: 'zone-b', cluster: 'cb', version: `${++version}` }, version)
  edit()
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = world.machine.row('g/Widget default w')!
  const at: number[] = []
  /** @returns the gaps between the attempts up to then. */
  const run = (endMs: number, each: () => void): number[] => {
    at.length = 0
    for (; world.clock.ms < endMs; world.clock.ms += 50) {
      each()
      world.machine.wake(instant(world.clock.ms * 1000), world.effects)
      if (row.state !== 'busy') continue
      at.push(world.clock.ms)
      world.handle({ type: 'applied', row, outcome })
    }
    return at.slice(1).map((ms, index) => ms - at[index]!)
  }
  return { ...world, row, edit, run }
}

for (const [what, outcome] of [
  ['is refused', FAILED],
  ['meets somebody who was faster', CONFLICT],
] as const) {
  test(`a write that ${what} each time is tried after delays that grow to 30 s`, () => {
    const world = vain(outcome)
    const gaps = world.run(TEN_MINUTES, () => {})
    assert.deepEqual(gaps.slice(0, 9), [100, 250, 500, 1000, 2000, 5000, 10_000, 30_000, 30_000])
    assert.equal(gaps.length, 26)
    world.close()
  })

  // Each edit was a reason to try at once, as often as they came: 20 times a second here.
  test(`a write that ${what} each time is not hastened by edits of the object`, () => {
    const world = vain(outcome)
    const gaps = world.run(TEN_MINUTES, world.edit)
    assert.ok(gaps.length >= 24 && gaps.length < 32, `${gaps.length} times`)
    assert.equal(gaps.at(-1), 30_000)
    assert.equal(world.machine.retrying, 1)
    // What its owner says is a reason.
    world.operation(encodePut('zone-b', item('w', 2)))
    assert.equal(world.row.state, 'busy')
    world.handle({ type: 'applied', row: world.row, outcome })
    assert.equal(world.row.state, 'waiting')
    world.operation(encodeDelete('zone-b', named('w'), '9'))
    assert.equal(world.done.at(-1), 'delete w')
    world.row.state = 'idle'
    world.close()
  })
}

test('what is put right by somebody else while its write waits is not written', () => {
  const world = vain(FAILED)
  world.run(60_000, world.edit)
  assert.equal(world.machine.retrying, 1)
  const writes = world.done.length
  world.observed('w', { owner: 'zone-b', cluster: 'cb', version: '999999' }, 1)
  assert.equal(world.machine.pending, 0)
  assert.equal(world.done.length, writes)
  world.close()
})

test('a server that refuses each write of an object that is edited all the time is asked few times, and it is told', async () => {
  const mesh = await DirectMesh.open(2)
  try {
    const [a, b] = mesh.zones as [DirectZone, DirectZone]
    await until('both ready', () => !a.replication.problem && !b.replication.problem)
    await a.cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    await until('it is there', () => b.counters.value('mesh_applied_total') === 1)
    let refused = 0
    b.cluster.faults = ({ method, path }) => {
      if (method !== 'PATCH' || path.endsWith('/status')) return undefined
      refused++
      return { status: 403 }
    }
    await a.cluster.client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 2 } })
    for (let round = 0; round < 200; round++) {
      await b.cluster.client.patchStatus(WIDGETS, 'default', 'w', { count: round })
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    assert.ok(refused > 3 && refused <= 10, `${refused} times`)
    assert.equal(b.replication.status.retrying, 1)
    assert.match(b.replication.status.failing, /^Widget default\/w: KUBE_FORBIDDEN/)
    b.cluster.faults = undefined
    await a.cluster.client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 3 } })
    await until('the owner is heard', () => b.replication.status.pending === 0)
    assert.equal(b.replication.status.failing, '')
  } finally {
    await mesh.close()
  }
})
