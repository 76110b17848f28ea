/**
 * Whether an object can be collected once its maker has let go of it: the proof that no index, listener or timer
 * holds it. It forces collections itself and needs no flag.
 */
import { setImmediate } from 'node:timers/promises'
import { forceCollection } from '../src/bounds/index.ts'

const ROUNDS_MAX = 20

/**
 * Makes an object and looks whether it goes away.
 *
 * @param make returns the object and keeps no reference to it; what it keeps alive on purpose it may store outside.
 */
export async function collectable(make: () => object | Promise<object>): Promise<boolean> {
  const reference = await weakly(make)
  for (let round = 0; round < ROUNDS_MAX; round++) {
    // A weak reference holds its target until the end of the job, and promise reactions hold theirs until they ran.
    await setImmediate()
    forceCollection()
    if (reference.deref() === undefined) return true
  }
  return false
}

/** A function of its own, so that no register of the caller's frame keeps the object. */
async function weakly(make: () => object | Promise<object>): Promise<WeakRef<object>> {
  return new WeakRef(await make())
}
