import assert from 'node:assert/strict'
import test from 'node:test'
import { runSync } from './sync-scenario.ts'

const SEEDS = 1_000

test('log sync under 1 000 seeds of faults: nothing twice, nothing lost, accounts within the plan, and time passes', (t) => {
  let delivered = 0
  let resyncs = 0
  let overflow = 0
  let held = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      const outcome = runSync(seed)
      delivered += outcome.delivered
      resyncs += outcome.resyncs
      overflow += outcome.overflow
      held += outcome.held
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
  t.diagnostic(`${delivered} delivered, ${resyncs} re-syncs, ${overflow} overflows, ${held} gaps`)
  // The seeds are worth nothing if they never meet what they are for.
  assert.ok(delivered > (100 * SEEDS) / 2)
  assert.ok(resyncs > 0 && overflow > 0 && held > 0)
})

test('the same seed gives the same digest, another one another', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { digest } = runSync(seed)
    assert.equal(runSync(seed).digest, digest, `seed ${seed}`)
    assert.notEqual(runSync(seed + 1_000_000).digest, digest)
  }
})

test('each effect in turn fails once, and all still comes to an end', (t) => {
  let sweeps = 0
  for (const [seed, nodes, bodies] of [
    [1, 2, 'small'],
    [2, 3, 'small'],
    [3, 2, 'large'],
  ] as const) {
    const calm = { calm: true, nodes, bodies, operations: 24 }
    const { effects } = runSync(seed, calm)
    assert.ok(effects > 100, `only ${effects} effects`)
    for (let failAt = 0; failAt < effects; failAt++) {
      try {
        runSync(seed, { ...calm, failAt })
        sweeps++
      } catch (error) {
        throw new Error(`seed ${seed}, effect ${failAt}`, { cause: error })
      }
    }
  }
  t.diagnostic(`${sweeps} effects failed in turn`)
})
