/**
 * Collects garbage when there is nothing to do. V8 keeps what it has until its own limit asks for a collection, so after
 * a burst the process would look as large as at its peak for hours. One full collection after a quiet while, and only
 * when memory has grown since the last one, costs a pause of a few ten milliseconds at a moment when nobody waits.
 */
import { forceCollection } from 'weir-mesh/bounds'

export interface IdleCollectorOptions {
  /** Whether something is under way. */
  readonly busy: () => boolean
  /** Replaces the reading, for tests: heap and what is outside of it, in bytes. */
  readonly used?: () => number
  /** Replaces the collection, for tests. */
  readonly collect?: () => void
}

const QUIET_STEPS = 3
const GROWN_BYTES = 6 * 1024 * 1024

export class IdleCollector {
  readonly #options: IdleCollectorOptions
  #quiet = 0
  #after = 0

  constructor(options: IdleCollectorOptions) {
    this.#options = options
  }

  /** Called about once a second. */
  step(): void {
    this.#quiet = this.#options.busy() ? 0 : this.#quiet + 1
    if (this.#quiet < QUIET_STEPS) return
    const used = this.#options.used ?? readUsed
    if (used() < this.#after + GROWN_BYTES) return
    const collect = this.#options.collect ?? forceCollection
    collect()
    this.#after = used()
    this.#quiet = 0
  }
}

function readUsed(): number {
  const { heapTotal, external } = process.memoryUsage()
  return heapTotal + external
}
