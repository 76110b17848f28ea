import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReplicationWorld } from '../../testing/replication-world.ts'

const run = (seed: number, disturbances = 60): ReplicationWorld => {
  const world = new ReplicationWorld({ seed, zones: 3 })
  for (let count = 0; count < disturbances; count++) {
    world.disturb()
    const steps = world.random.below(30)
    for (let step = 0; step < steps; step++) world.step()
  }
  world.shrinkAll()
  world.settle()
  return world
}

test('whatever happens, all zones end with the objects of all zones, over 2 000 seeds', () => {
  for (let seed = 1; seed <= 2000; seed++) {
    const world = run(seed)
    assert.deepEqual(world.check(), [], `seed ${seed}`)
    world.close()
  }
})

test('replicas of what has grown too large stay as they are, and follow when it shrinks, over 300 seeds', () => {
  let grown = 0
  for (let seed = 1; seed <= 300; seed++) {
    const world = run(seed)
    const before = world.replicas()
    world.growAll()
    world.settle()
    assert.deepEqual(world.replicas(), before, `seed ${seed}`)
    for (const zone of world.zones) grown += [...zone.own('grown')].length
    world.shrinkAll()
    world.settle()
    assert.deepEqual(world.check(), [], `seed ${seed}`)
    assert.equal(world.zones.flatMap((zone) => [...zone.own('grown')]).length, 0)
    world.close()
  }
  assert.ok(grown > 1_000, `${grown} have grown`)
})

test('the same seed gives the same digest', () => {
  const [first, second, other] = [run(7), run(7), run(8)]
  assert.equal(first.digest(), second.digest())
  assert.notEqual(first.digest(), other.digest())
  for (const world of [first, second, other]) world.close()
})
