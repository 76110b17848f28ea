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

test('the same seed gives the same digest', () => {
  const [first, second, other] = [run(7), run(7), run(8)]
  assert.equal(first.digest(), second.digest())
  assert.notEqual(first.digest(), other.digest())
  for (const world of [first, second, other]) world.close()
})
