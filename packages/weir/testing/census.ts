/** How many instances of a class live, and which handles are open: what a suite must leave as it found it. */
import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import { forceCollection } from '../src/bounds/index.ts'

/** Live instances of a class, and of classes that extend it, after a collection. */
export async function instancesOf(
  type: abstract new (...args: never[]) => object,
): Promise<number> {
  // Weak references and promise reactions let go when their job has ended.
  await setImmediate()
  forceCollection()
  return queryObjects(type as unknown as new () => object, { format: 'count' })
}

/** Open handles by kind: sockets, timers, files, workers. */
export type Handles = Readonly<Record<string, number>>

export function openHandles(): Handles {
  const kinds = Object.groupBy(process.getActiveResourcesInfo(), (kind) => kind)
  return Object.fromEntries(Object.entries(kinds).map(([kind, all]) => [kind, all!.length]))
}

/** Asserts that no kind of handle has become more; sockets need a turn or two after their close. */
export async function assertNoNewHandles(before: Handles): Promise<void> {
  let more: string[] = []
  for (let turn = 0; turn < 10; turn++) {
    await setImmediate()
    more = Object.entries(openHandles())
      // The immediate and the timer of this function and of the test runner are not the test's.
      .filter(([kind, count]) => kind !== 'Immediate' && count > (before[kind] ?? 0))
      .map(([kind, count]) => `${kind}: ${count}, before ${before[kind] ?? 0}`)
    if (more.length === 0) return
  }
  assert.fail(`handles are left open: ${more.join('; ')}`)
}
