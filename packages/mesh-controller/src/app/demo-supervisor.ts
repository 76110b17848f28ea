/**
 * Watches the processes of a demo. A child that ends without being asked is named with its last words; while the story
 * is told that ends the demo, afterwards the child is started again, a few times.
 */
import { describeError, type Scope, WeirError } from 'weir-mesh/runtime'
import type { DemoChild } from './demo-child.ts'
import type { Ending } from './demo-ending.ts'
import type { DemoZone } from './demo-zone.ts'

const RESTARTS_MAX = 5
const RESTART_AFTER_MS = 500

export class Supervisor {
  /** From now on a child that crashed is started again. */
  restarts = false
  readonly #scope: Scope
  readonly #ending: Ending
  readonly #print: (line: string) => void
  #count = 0

  constructor(scope: Scope, ending: Ending, print: (line: string) => void) {
    this.#scope = scope
    this.#ending = ending
    this.#print = print
  }

  async startApi(zone: DemoZone, signal: AbortSignal): Promise<void> {
    this.#watch(await zone.startApi(signal), zone, 'api')
  }

  startController(zone: DemoZone): void {
    this.#watch(zone.startController(), zone, 'controller')
  }

  #watch(child: DemoChild, zone: DemoZone, part: 'api' | 'controller'): void {
    this.#scope.spawn(`watch over ${child.name}`, async () => {
      await child.ended
      if (child.asked || !(await this.#ending.isCrash())) return
      const crashed = new WeirError('DEMO_CHILD_ENDED', child.verdict)
      if (!this.restarts || ++this.#count > RESTARTS_MAX) return this.#ending.fail(crashed)
      this.#print(`${describeError(crashed)}\n  it is started again`)
      await this.#scope.sleep(RESTART_AFTER_MS)
      // What is started after the end has begun would be ended by nobody, and the demo would wait for it.
      if (this.#ending.signal.aborted) return
      try {
        if (part === 'api') await this.startApi(zone, this.#ending.signal)
        else this.startController(zone)
      } catch (error) {
        this.#ending.fail(error)
      }
    })
  }
}
