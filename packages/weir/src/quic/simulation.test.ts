/**
 * The connection in simulation. `WEIR_QUIC_SEEDS` says how many seeds, `WEIR_QUIC_FIRST` where to start, and
 * `WEIR_QUIC_SECONDS` when to stop at the latest.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '../runtime/index.ts'
import { tlsSecurity } from './security.ts'
import { World, type WorldOptions } from './simulation.fixture.ts'
import type { Faults } from './simulation-network.fixture.ts'
import { type Outcome, scenarioOf, simulate } from './simulation-scenario.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const { env } = process
const SEEDS = Number(env['WEIR_QUIC_SEEDS'] ?? 300)
const FIRST_SEED = Number(env['WEIR_QUIC_FIRST'] ?? 1)
const SECONDS = Number(env['WEIR_QUIC_SECONDS'] ?? 25)
/** One seed of so many has the real TLS and real keys. */
const REAL_ONE_OF = 10
const CLEAN: Faults = { lost: 0, doubled: 0, damaged: 0, delayUs: 500, jitterUs: 0 }

const made = (options: Partial<WorldOptions> = {}) =>
  new World({ seed: 1, faults: CLEAN, security: toySecurity(), ...options })
const both = (world: World) => () => world.a.done && world.b.done

test('all streams arrive on a clean network, with toy keys and with real ones', () => {
  for (const security of [toySecurity(), tlsSecurity(), tlsSecurity({ suites: [0x1303] })]) {
    const world = made({ security })
    world.run(both(world))
    assert.equal(world.a.machine.stats.lost + world.b.machine.stats.lost, 0)
    world.close()
  }
})

test('whatever the network does, all that was sent arrives, once and in order, for every seed', (t) => {
  const until = Date.now() + SECONDS * 1_000
  const sum = {
    seeds: 0,
    datagrams: 0,
    lost: 0,
    blackHoles: 0,
    moves: 0,
    keyUpdates: 0,
    messages: 0,
    resets: 0,
  }
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS && Date.now() < until; seed++) {
    const outcome = run(seed)
    sum.seeds++
    sum.datagrams += outcome.datagrams
    sum.lost += outcome.lost
    sum.blackHoles += outcome.blackHoles
    sum.moves += outcome.moves
    sum.keyUpdates += outcome.keyUpdates
    sum.messages += outcome.messages
    sum.resets += outcome.reset ? 1 : 0
  }
  t.diagnostic(JSON.stringify(sum))
  // The time box is for slow machines; a run that does nothing proves nothing.
  assert.ok(sum.seeds >= Math.min(SEEDS, 20), `only ${sum.seeds} seeds in ${SECONDS} s`)
  for (const [name, count] of Object.entries(sum)) {
    assert.ok(count > 0 || SEEDS < 100, `no ${name} in ${sum.seeds} seeds`)
  }
})

function run(seed: number): Outcome {
  const scenario = scenarioOf(seed)
  const { suite } = scenario
  const security = seed % REAL_ONE_OF === 0 ? tlsSecurity({ suites: [suite] }) : toySecurity(suite)
  try {
    return simulate(scenario, security)
  } catch (error) {
    throw new Error(`seed ${seed}: ${JSON.stringify(scenario)}`, { cause: error })
  }
}

test('equal seeds give equal runs, with real keys too', () => {
  for (const seed of [3, 4, 10, 20]) assert.deepEqual(run(seed), run(seed), `seed ${seed}`)
})

test('keys are updated both ways, again and again', () => {
  const limits = { keyUpdatePackets: 8 }
  const world = made({ seed: 3, faults: { ...CLEAN, lost: 20 }, limits, streams: 120 })
  world.run(both(world))
  assert.ok(world.a.machine.stats.keyUpdates >= 3, world.describe())
  assert.equal(world.a.machine.stats.forged, 0)
  world.close()
})

test('a client whose address changes is followed and proves it', () => {
  const world = made({ seed: 5, streams: 20 })
  world.run(() => world.a.up && world.b.up)
  world.run(() => world.b.received.size > 3)
  world.a.address = { host: '10.0.0.9', port: 77 }
  world.run(both(world))
  assert.equal(world.b.machine.stats.moves, 1)
  assert.deepEqual(world.b.machine.remote, world.a.address)
  world.close()
})

test('a client at an address that swallows everything is found where it was again', () => {
  const world = made({ seed: 5, streams: 2 })
  world.run(both(world))
  const home = world.a.address
  // One packet comes from elsewhere, as if somebody had copied it.
  world.a.address = { host: '10.0.0.9', port: 77 }
  const { moves } = world.b.machine.stats
  world.run(() => world.b.machine.stats.moves > moves)
  world.a.address = home
  const until = world.now + 20_000_000
  world.run(() => world.now >= until)
  assert.deepEqual(world.b.machine.remote, home)
  assert.ok(!world.a.end && !world.b.end)
  world.close()
})

test('an idle connection lives on by keep-alive, and ends after the timeout when the peer is gone', () => {
  const world = made({ seed: 6 })
  world.run(both(world))
  const until = world.now + 60_000_000
  world.run(() => world.now >= until)
  assert.ok(!world.a.end && !world.b.end)
  // Nothing reaches the other any more.
  world.a.address = { host: '10.9.9.9', port: 1 }
  world.b.address = { host: '10.9.9.8', port: 1 }
  const from = world.now
  world.run(() => world.a.end !== undefined && world.b.end !== undefined)
  assert.equal(world.a.end!.info.by, 'lost')
  // The keep-alive that nobody answers is the last that counts as a sign of life.
  assert.ok(world.now - from <= 36_000_000, `${world.now - from} us`)
  world.close()
})

test('a close reaches the peer with code and reason', () => {
  const world = made({ seed: 8 })
  world.run(() => world.a.up && world.b.up)
  world.a.machine.close(42, 'enough', instant(world.now), world.a)
  world.run(() => world.b.end !== undefined)
  assert.deepEqual(world.b.end!.info, { code: 42, reason: 'enough', by: 'remote' })
  world.close()
})

test('a program that stands still for two seconds loses nothing and ends nothing', () => {
  for (const side of ['a', 'b'] as const) {
    const limits = { idleTimeoutMs: 1_000, keepAliveMs: 300 }
    // Only one of the two stands still: the other has a longer patience.
    const world = made({ seed: 9, streams: 10, streamBytesMax: 400_000, limits })
    world.run(() => world.a.up && world.b.up)
    world.run(() => world.b.received.size > 4)
    const { machine } = world[side]
    const before = machine.stats
    assert.equal(before.probes, 0)
    world.a.stalledUntil = world.b.stalledUntil = world.now + 2_000_000
    world.run(both(world))
    const after = machine.stats
    assert.ok(!world.a.end && !world.b.end, world.describe())
    assert.ok(after.stalledUs >= 1_900_000, `${after.stalledUs} us`)
    assert.equal(after.lost, before.lost)
    assert.equal(after.probes, 0, 'the answers lay in the socket')
    assert.ok(after.smoothedUs < 50_000, `a round trip of ${after.smoothedUs} us`)
    world.close()
  }
})

test('one that stands still while the other waits repeats nothing of its own', () => {
  const world = made({ seed: 11, streams: 10, streamBytesMax: 400_000 })
  world.run(() => world.a.up && world.b.up)
  world.run(() => world.b.received.size > 4)
  world.a.stalledUntil = world.now + 2_000_000
  world.run(both(world))
  assert.equal(world.a.machine.stats.lost, 0, world.describe())
  assert.ok(world.a.machine.stats.smoothedUs < 100_000)
  world.close()
})

test('datagrams grow to what the path takes, and shrink when it takes less', () => {
  const world = made({ seed: 12, streams: 200, streamBytesMax: 200_000, mtuMax: 9_000 })
  world.network.mtu = 4_000
  world.run(() => world.a.machine.stats.mtu > 3_960)
  assert.ok(world.a.machine.stats.mtu <= 4_000)
  assert.ok(!world.a.done, 'there is more to send')
  world.network.mtu = 1_300
  world.run(both(world))
  assert.equal(world.a.machine.stats.mtu, 1_200)
  assert.equal(world.a.machine.stats.blackHoles, 1)
  world.close()
})

test('messages arrive once or not at all, beside streams that take all there is', () => {
  const faults = { ...CLEAN, lost: 50, doubled: 50 }
  const world = made({ seed: 13, faults, streams: 10, streamBytesMax: 200_000, messages: 200 })
  world.run(both(world))
  const found = world.b.messages.size
  assert.ok(found > 100 && found < 200, `${found} of 200`)
  world.close()
})
