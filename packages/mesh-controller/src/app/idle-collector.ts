/**
 * Makes the process small again when there is nothing to do. V8 keeps what it has until its own limit asks for a
 * collection, and the own log keeps what was superseded until it has grown for long; so after a burst the process would
 * look as large as at its peak for hours.
 *
 * After a quiet while the log is made short, which is work of its own, and after another one memory is given back: at
 * a moment when nobody waits, and only when it has grown since the last time, because it costs a pause: 50 ms of CPU with
 * 10 MB alive, 200 with 57.
 */
import { giveMemoryBack } from 'weir-mesh/bounds'

export interface IdleCollectorOptions {
  /** Whether something is under way. */
  readonly busy: () => boolean
  /** Drops what is kept for no use; it may become busy with that. */
  readonly tidy: () => void
  /** Replaces the reading, for tests: heap and what is outside of it, in bytes. */
  readonly used?: () => number
  /** Replaces the collection, for tests. */
  readonly collect?: () => void
}

const TIDY_STEPS = 2
const COLLECT_STEPS = 4
/** More than the young generation, which grows and shrinks by itself; and more with more alive, which has to be moved. */
const GROWN_BYTES = 3 * 1024 * 1024
const GROWN_SHARE = 0.125

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
    if (this.#quiet === TIDY_STEPS) this.#options.tidy()
    if (this.#quiet < COLLECT_STEPS) return
    const used = this.#options.used ?? readUsed
    if (used() < this.#after + Math.max(GROWN_BYTES, this.#after * GROWN_SHARE)) return
    const collect = this.#options.collect ?? giveMemoryBack
    collect()
    this.#after = used()
  }
}

function readUsed(): number {
  const { heapTotal, external } = process.memoryUsage()
  return heapTotal + external
}
