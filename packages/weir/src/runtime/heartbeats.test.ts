import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { Heartbeats, ManualClock } from './index.ts'

test('a part is alive until it was silent for longer than its deadline', () => {
  const clock = new ManualClock()
  const beat = new Heartbeats(clock).register('watch', { deadlineMs: 100 })
  clock.advance(100)
  assert.equal(beat.problem(), undefined)
  clock.advance(1)
  assert.match(beat.problem() ?? '', /silent for 101 ms/)
  beat.beat()
  assert.equal(beat.problem(), undefined)
})

test('an idle part may be silent; the next beat arms the deadline again', () => {
  const clock = new ManualClock()
  const beat = new Heartbeats(clock).register('queue', { deadlineMs: 100 })
  beat.idle()
  clock.advance(10_000)
  assert.equal(beat.problem(), undefined)
  beat.beat()
  clock.advance(101)
  assert.match(beat.problem() ?? '', /silent/)
})

test('a part that stopped stays unhealthy whatever it does afterwards', () => {
  const clock = new ManualClock()
  const beat = new Heartbeats(clock).register('loop', { deadlineMs: 100 })
  beat.stop('the socket closed')
  beat.beat()
  beat.idle()
  assert.equal(beat.problem(), 'stopped: the socket closed')
})

test('the registry lists exactly the parts that were not disposed', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9)), (steps) => {
      const heartbeats = new Heartbeats(new ManualClock())
      let model: string[] = []
      const live: { name: string; dispose(): void }[] = []
      for (const [index, step] of steps.entries()) {
        if (step < 6) {
          const beat = heartbeats.register(`part ${index}`, { deadlineMs: 1 })
          live.push({ name: beat.name, dispose: () => beat[Symbol.dispose]() })
          model.push(beat.name)
        } else {
          const [gone] = live.splice(step % Math.max(live.length, 1), 1)
          gone?.dispose()
          gone?.dispose()
          model = model.filter((name) => name !== gone?.name)
        }
        assert.deepEqual([...heartbeats].map(({ name }) => name).sort(), [...model].sort())
      }
    }),
  )
})
