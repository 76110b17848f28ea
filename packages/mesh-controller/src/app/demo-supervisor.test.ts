import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, Scope } from 'weir-mesh/runtime'
import type { DemoChild } from './demo-child.ts'
import { Ending } from './demo-ending.ts'
import { Supervisor } from './demo-supervisor.ts'
import type { DemoZone } from './demo-zone.ts'

/** A zone whose controllers end when the test says so. */
class Zone {
  readonly ends: (() => void)[] = []

  startController(): DemoChild {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ends.push(resolve)
    return { name: 'a controller', ended: promise, asked: false, verdict: 'gone' } as DemoChild
  }
}

async function supervised(
  run: (parts: {
    readonly zone: Zone
    readonly ending: Ending
    readonly supervisor: Supervisor
    /** Moves the clock and lets everything run that waited for it. */
    readonly pass: (ms: number) => Promise<void>
  }) => Promise<void>,
): Promise<void> {
  const clock = new ManualClock()
  await using scope = new Scope('test', { clock })
  const ending = new Ending(scope, () => {})
  const supervisor = new Supervisor(scope, ending, () => {})
  supervisor.restarts = true
  const zone = new Zone()
  supervisor.startController(zone as unknown as DemoZone)
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const pass = async (ms: number) => {
    await turn()
    clock.advance(ms)
    await turn()
  }
  try {
    await run({ zone, ending, supervisor, pass })
  } finally {
    // Else a failed test would wait for children that never end.
    for (const end of zone.ends) end()
  }
}

test('a child that crashed is started again, five times, and then the demo fails', () =>
  supervised(async ({ zone, ending, pass }) => {
    for (let crash = 1; crash <= 5; crash++) {
      zone.ends.at(-1)!()
      await pass(300)
      assert.equal(zone.ends.length, crash)
      await pass(500)
      assert.equal(zone.ends.length, crash + 1)
    }
    zone.ends.at(-1)!()
    await pass(300)
    assert.equal(ending.signal.reason?.code, 'DEMO_CHILD_ENDED')
    await pass(500)
    assert.equal(zone.ends.length, 6)
  }))

test('nothing is started again once the end has begun', () =>
  supervised(async ({ zone, ending, pass }) => {
    zone.ends[0]!()
    await pass(300)
    ending.stop('somebody asked', 0)
    await pass(500)
    assert.equal(zone.ends.length, 1)
  }))

test('a child that ends with the demo is no crash', () =>
  supervised(async ({ zone, ending, pass }) => {
    zone.ends[0]!()
    await pass(200)
    ending.stop('somebody asked', 0)
    await pass(900)
    assert.equal(zone.ends.length, 1)
    assert.equal(ending.signal.reason?.code, 'DEMO_ENDED')
  }))
