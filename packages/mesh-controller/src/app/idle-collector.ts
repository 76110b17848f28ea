/**
 * Makes the process small again when there is nothing to do. V8 keeps what it has until its own limit asks for a
 * collection, and the own log keeps what was superseded until it has grown for long; so after a burst the process would
 * look as large as at its peak for hours.
 *
 * After a quiet while the log is made short, which is work of its own, and after another one memory is given back: at
 * a moment when nobody waits, and only what has grown since the last time. A collection costs a pause (50 ms of CPU with
 * 10 MB alive, 200 with 57); where only the native heap has grown, it is trimmed, in 2 to 11 ms.
 */
import { giveMemoryBack, trimNativeHeap } from 'weir-mesh/bounds'

/** In bytes. */
export interface MemoryUse {
  /** V8's heap, and the buffers that it owns. */
  readonly heap: number
  /** The rest of what is resident: native heap, code of the program, stacks. */
  readonly rest: number
}

export interface IdleCollectorOptions {
  /** Whether something is under way. */
  readonly busy: () => boolean
  /** Drops what is kept for no use; it may become busy with that. */
  readonly tidy: () => void
  /** Replaces the reading, for tests. */
  readonly used?: () => MemoryUse
  /** Replaces the collection, for tests. */
  readonly collect?: () => void
  /** Replaces the trimming, for tests. */
  readonly trim?: () => void
}

const TIDY_STEPS = 2
const COLLECT_STEPS = 4
/** More than the young generation, which grows and shrinks by itself; and more with more alive, which has to be moved. */
const GROWN_BYTES = 3 * 1024 * 1024
const GROWN_SHARE = 0.125

export class IdleCollector {
  readonly #options: IdleCollectorOptions
  #quiet = 0
  #after: MemoryUse = { heap: 0, rest: 0 }

  constructor(options: IdleCollectorOptions) {
    this.#options = options
  }

  /** Called about once a second. */
  step(): void {
    const { busy, tidy, used = readUsed } = this.#options
    this.#quiet = busy() ? 0 : this.#quiet + 1
    if (this.#quiet === TIDY_STEPS) tidy()
    if (this.#quiet < COLLECT_STEPS) return
    const { heap, rest } = used()
    if (heap >= this.#after.heap + Math.max(GROWN_BYTES, this.#after.heap * GROWN_SHARE)) {
      const { collect = giveMemoryBack } = this.#options
      collect()
    } else if (rest >= this.#after.rest + GROWN_BYTES) {
      const { trim = trimNativeHeap } = this.#options
      trim()
    } else {
      return
    }
    this.#after = used()
  }
}

function readUsed(): MemoryUse {
  const { heapTotal, external, rss } = process.memoryUsage()
  return { heap: heapTotal + external, rest: rss - heapTotal - external }
}
