import assert from 'node:assert/strict'
import test from 'node:test'
import { type Faults, World } from './simulation.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const SEEDS = Number(process.env['WEIR_QUIC_SEEDS'] ?? 40)
const CLEAN: Faults = { lost: 0, doubled: 0, damaged: 0, delayUs: 500, jitterUs: 0 }
const both = (world: World) => () => world.a.done && world.b.done

test('all streams arrive on a clean network', () => {
  const world = new World(1, CLEAN, toySecurity())
  world.run(both(world))
  world.close()
})

test('all streams arrive whatever the network does, for every seed', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const faults: Faults = {
      lost: (seed * 7) % 120,
      doubled: (seed * 5) % 60,
      damaged: (seed * 3) % 40,
      delayUs: 200 + ((seed * 977) % 40_000),
      jitterUs: (seed * 1_231) % 30_000,
    }
    const own = seed % 3 === 0 ? { keyUpdatePackets: 20 } : {}
    const world = new World(seed, faults, toySecurity(seed % 2 ? 0x1301 : 0x1303), own, 6)
    try {
      world.run(both(world))
    } catch (error) {
      throw new Error(`seed ${seed}: ${JSON.stringify(faults)}`, { cause: error })
    }
    assert.ok(!world.a.end && !world.b.end, `seed ${seed}: ${world.describe()}`)
    world.close()
  }
})

test('keys are updated both ways, again and again', () => {
  const world = new World(3, { ...CLEAN, lost: 20 }, toySecurity(), { keyUpdatePackets: 8 }, 120)
  world.run(both(world))
  assert.ok(world.a.machine.stats.keyUpdates >= 3, world.describe())
  assert.equal(world.a.machine.stats.forged, 0)
  world.close()
})

test('a client whose address changes is followed and proves it', () => {
  const world = new World(5, CLEAN, toySecurity(), {}, 20)
  world.run(() => world.a.up && world.b.up)
  world.run(() => world.b.received.size > 3)
  world.a.address = { host: '10.0.0.9', port: 77 }
  world.run(both(world))
  assert.equal(world.b.machine.stats.moves, 1)
  assert.deepEqual(world.b.machine.remote, world.a.address)
  world.close()
})

test('an idle connection lives on by keep-alive, and ends when the peer is gone', () => {
  const world = new World(6, CLEAN, toySecurity())
  world.run(both(world))
  const until = world.now + 60_000_000
  world.run(() => world.now >= until)
  assert.ok(!world.a.end && !world.b.end)
  // Nothing from b reaches a any more.
  world.a.address = { host: '10.9.9.9', port: 1 }
  world.b.address = { host: '10.9.9.8', port: 1 }
  world.run(() => world.a.end !== undefined && world.b.end !== undefined)
  assert.equal(world.a.end!.info.by, 'lost')
  world.close()
})

test('a close reaches the peer with code and reason', () => {
  const world = new World(8, CLEAN, toySecurity())
  world.run(() => world.a.up && world.b.up)
  world.a.machine.close(42, 'enough', world.now as never, world.a)
  world.run(() => world.b.end !== undefined)
  assert.deepEqual(world.b.end!.info, { code: 42, reason: 'enough', by: 'remote' })
  world.close()
})

test('equal seeds give equal runs', () => {
  const run = () => {
    const world = new World(9, { ...CLEAN, lost: 50, jitterUs: 2_000 }, toySecurity())
    world.run(both(world))
    const fold: number[] = []
    world.a.machine.digest((word) => fold.push(word))
    const result = [world.now, world.sent, ...fold]
    world.close()
    return result
  }
  assert.deepEqual(run(), run())
})
