/**
 * Tasks of one kind with a cap on how many run at once. A task that does not fit is refused, never queued: whoever
 * wants to wait uses a Channel in front.
 *
 * Memory: at most `tasksMax` running tasks, owned by the scope.
 */
import { assert, WeirError } from './errors.ts'
import type { Scope, Task } from './scope.ts'

export interface TaskGroupOptions {
  /** How many tasks may run at the same time; at least 1. */
  readonly tasksMax: number
}

export class TaskGroup implements AsyncDisposable {
  readonly #scope: Scope
  readonly #tasksMax: number
  #running = 0

  constructor(parent: Scope, name: string, options: TaskGroupOptions) {
    assert(options.tasksMax >= 1, `the task group ${name} needs room for one task`)
    this.#scope = parent.child(name)
    this.#tasksMax = options.tasksMax
  }

  get running(): number {
    return this.#running
  }

  get full(): boolean {
    return this.#running >= this.#tasksMax
  }

  /** Aborted when the group closes. */
  get signal(): AbortSignal {
    return this.#scope.signal
  }

  /**
   * Starts a task.
   *
   * @throws {WeirError} `TASKS_FULL` when the group is full, `CLOSED` when it is closed.
   */
  run<T>(name: string, task: (signal: AbortSignal) => Promise<T>): Task<T> {
    if (this.full) {
      this.#scope.counters
        .counter('tasks_refused_total', 'Tasks that were refused because their group was full.')
        .add()
      throw new WeirError('TASKS_FULL', `${this.#scope.name} already runs ${this.#running} tasks`, {
        retryable: true,
        limit: { scope: this.#scope.name, limit: this.#tasksMax, used: this.#running, wanted: 1 },
      })
    }
    const started = this.#scope.spawn(name, async (signal) => {
      try {
        return await task(signal)
      } finally {
        this.#running--
      }
    })
    this.#running++
    return started
  }

  /** Aborts the tasks and waits for them, within the scope's deadline. */
  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
