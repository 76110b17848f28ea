/** A store that fails for minutes: it is not asked all the time, and somebody hears of it once. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { ManualClock, WeirError } from '../runtime/index.ts'
import type { LogStore } from '../store/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'

/** A store of which one method fails while it is told to. */
function failing(store: LogStore, method: 'read' | 'logs') {
  const state = { fails: true, asked: 0 }
  const proxy = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...given: unknown[]) => {
        if (name === method) state.asked++
        if (name === method && state.fails) {
          return Promise.reject(new WeirError('STORE_FAILED', 'the disk is gone'))
        }
        return value.apply(target, given)
      }
    },
  })
  return { state, proxy }
}

for (const method of ['read', 'logs'] as const) {
  test(`a store whose '${method}' fails is told of when it begins and when it works again`, async () => {
    const clock = new ManualClock()
    const plan = planNodes({ nodes: 1 })
    await withLedger(
      plan.terms,
      async (ledger, scope, { lines }) => {
        const mesh = makeMesh(plan, ledger, scope)
        let store: ReturnType<typeof failing> | undefined
        const reports: string[] = []
        const options = {
          deliverFrom: () => 0,
          get store() {
            return store!.proxy
          },
          onReport: ({ type }: { type: string }) => void reports.push(type),
        }
        const opened = mesh.node(0, options, async (inner) => {
          await inner.append(TOPIC, makeLog({ key: keyOf(9), count: 5 }))
          store = failing(inner, method)
        })
        await until(() => reports.length > 0)
        for (let second = 0; second < 120; second++) await clock.advanceAsync(1_000)
        assert.deepEqual(reports, ['store-failed'])
        assert.ok(store!.state.asked < 200, `asked ${store!.state.asked} times in two minutes`)
        store!.state.fails = false
        for (let second = 0; second < 10; second++) await clock.advanceAsync(1_000)
        const { got } = await opened
        assert.equal(got.length, 5)
        assert.deepEqual(reports, ['store-failed', 'store-works'])
        const told = lines.filter(({ message }) => /store of a topic/.test(message))
        assert.deepEqual(
          told.map(({ level, error }) => [level, error]),
          [
            ['error', 'STORE_FAILED: the disk is gone'],
            ['info', undefined],
          ],
        )
      },
      { clock },
    )
  })
}
