/**
 * Gives the operations of a topic to its consumer, one by one.
 *
 * Holds the one that the consumer has now.
 */
import { setImmediate } from 'node:timers/promises'
import type { Scope } from '../runtime/index.ts'
import type { StoredOperation } from '../store/index.ts'

/** Where the operations come from. */
export interface ConsumerSource {
  take(): StoredOperation | undefined
  /** Some were taken. */
  taken(): void
}

/**
 * After this many operations the source is told that there is room again, and others have a turn of the event loop: over
 * a store in memory a consumer that waits for nothing would work off any backlog before anybody else runs.
 */
const TAKEN_EVERY = 32

export class Consumer {
  readonly #source: ConsumerSource
  #wake: (() => void) | undefined

  constructor(source: ConsumerSource) {
    this.#source = source
  }

  /** There are operations. */
  wake(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** Runs until the scope closes. A consumer that fails is logged and counted, and gets the next one. */
  async run(
    scope: Scope,
    onOperation: (operation: StoredOperation) => void | Promise<void>,
  ): Promise<void> {
    const { signal } = scope
    let taken = 0
    let sinceTurn = 0
    signal.addEventListener('abort', () => this.wake(), { once: true })
    while (!signal.aborted) {
      const operation = this.#source.take()
      if (!operation) {
        if (taken > 0) {
          taken = 0
          this.#source.taken()
          continue
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        continue
      }
      try {
        const result = onOperation(operation)
        if (result) await result
      } catch (error) {
        scope.counters
          .counter('sync_consumer_failures_total', 'Operations whose consumer failed.')
          .add()
        scope.log.error('the consumer of a topic failed', { error })
      }
      if (++taken >= TAKEN_EVERY) {
        taken = 0
        this.#source.taken()
      }
      if (++sinceTurn >= TAKEN_EVERY) {
        sinceTurn = 0
        await setImmediate()
      }
    }
  }
}
