/**
 * A scope owns everything that lives on its own: timers, listeners, tasks, sockets and other scopes. What is not
 * owned by a scope does not run.
 *
 * Closing goes through the items in reverse order, once, each within the deadline. An item that throws or does not
 * end is named in the log and counted, and the rest goes on. Tasks are told to end all at once, so they share one
 * deadline; a child scope keeps its own for each of its items, so that the item is named and not the child.
 *
 * Memory: one list node per owned item, removed when the item ends; the owner of the scope decides how many.
 */
import type { EventEmitter } from 'node:events'
import { type Clock, type Instant, msBetween, systemClock, type Timer } from './clock.ts'
import { Counters } from './counters.ts'
import { WeirError } from './errors.ts'
import { type Logger, silentLogger } from './log.ts'

export interface ScopeOptions {
  readonly clock?: Clock
  readonly log?: Logger
  readonly counters?: Counters
  /** How long an item, or all tasks together, may take before it is named and left behind. Default 5 000 ms. */
  readonly closeDeadlineMs?: number
}

/** An item that a scope owns; disposing it gives it up without closing it. */
export interface Owned extends Disposable {
  release(): void
}

/** A task that runs in a scope. */
export interface Task<T> {
  readonly name: string
  /** Settles with the task; a rejection was already logged and counted, so ignoring it is safe. */
  readonly result: Promise<T>
}

/** From when an item's deadline counts: its own close, the abort of the scope, or not at all. */
type Waiting = 'own' | 'abort' | 'unlimited'

interface Item {
  readonly name: string
  readonly close: () => unknown
  readonly waiting: Waiting
  previous: Item | undefined
  next: Item | undefined
  owned: boolean
}

export class Scope implements AsyncDisposable {
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  readonly counters: Counters
  readonly #closeDeadlineMs: number
  readonly #abort = new AbortController()
  #tail: Item | undefined
  #items = 0
  #closing: Promise<void> | undefined
  #abortedAt: Instant | undefined
  #detach: (() => void) | undefined

  constructor(name: string, options: ScopeOptions = {}) {
    this.name = name
    this.clock = options.clock ?? systemClock
    this.log = options.log ?? silentLogger
    this.counters = options.counters ?? new Counters()
    this.#closeDeadlineMs = options.closeDeadlineMs ?? 5_000
  }

  /** Aborted when closing begins; its reason is a `WeirError` with code `CLOSED`. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** How many items the scope owns now. */
  get size(): number {
    return this.#items
  }

  /** Names of what is owned, newest first: for the log and for tests that look for what was left behind. */
  *names(): IterableIterator<string> {
    for (let item = this.#tail; item; item = item.previous) yield item.name
  }

  /** A scope that is closed with this one, and leaves it when it is closed earlier. */
  child(name: string, options: ScopeOptions = {}): Scope {
    const scope = new Scope(`${this.name}/${name}`, {
      clock: this.clock,
      log: this.log,
      counters: this.counters,
      closeDeadlineMs: this.#closeDeadlineMs,
      ...options,
    })
    if (this.#closing) throw this.#closedError()
    const item = this.#append(name, () => scope.close(), 'unlimited')
    scope.#detach = () => this.#unlink(item)
    return scope
  }

  /**
   * Owns a clean-up that runs when the scope closes.
   *
   * @throws {WeirError} `CLOSED` when the scope is closing; the clean-up was then run at once, so nothing leaks.
   */
  defer(name: string, close: () => unknown): Owned {
    if (this.#closing) {
      this.#runDetached(name, close)
      throw this.#closedError()
    }
    const item = this.#append(name, close, 'own')
    const release = () => this.#unlink(item)
    return { release, [Symbol.dispose]: release }
  }

  /** Owns a disposable resource and returns it. */
  own<T extends Disposable | AsyncDisposable>(name: string, resource: T): T {
    this.defer(name, () => closeResource(resource))
    return resource
  }

  /**
   * Calls `fire` once after `delayMs`, unless the timer is cancelled or the scope closes before. A promise that it
   * returns is a task of the scope.
   */
  timer(name: string, delayMs: number, fire: () => unknown): Timer {
    if (this.#closing) throw this.#closedError()
    const timer = this.clock.start(delayMs, () => {
      owned.release()
      void this.#guard(name, fire)
    })
    const owned = this.defer(name, () => timer.cancel())
    const cancel = () => {
      timer.cancel()
      owned.release()
    }
    return { cancel, [Symbol.dispose]: cancel }
  }

  /**
   * Calls `fire` every `intervalMs`, never two at once: the next interval starts when the last call has ended. A
   * promise that it returns is a task of the scope, which closing waits for.
   */
  every(name: string, intervalMs: number, fire: () => unknown): Timer {
    if (this.#closing) throw this.#closedError()
    let cancelled = false
    let timer: Timer | undefined
    const arm = () => {
      if (!cancelled) timer = this.clock.start(intervalMs, step)
    }
    const step = () => {
      const running = this.#guard(name, fire)
      if (running) void running.then(arm)
      else arm()
    }
    const owned = this.defer(name, () => {
      cancelled = true
      timer?.cancel()
    })
    arm()
    const cancel = () => {
      cancelled = true
      timer?.cancel()
      owned.release()
    }
    return { cancel, [Symbol.dispose]: cancel }
  }

  /**
   * Listens to an event of an emitter until released or closed. An error of the listener is logged and counted; a
   * promise that it returns is a task of the scope.
   */
  // biome-ignore lint/suspicious/noExplicitAny: emitters are untyped, and the listener states its own arguments.
  listen(emitter: EventEmitter, event: string, listener: (...args: any[]) => unknown): Owned {
    if (this.#closing) throw this.#closedError()
    const guarded = (...args: unknown[]) => void this.#guard(event, () => listener(...args))
    emitter.on(event, guarded)
    const owned = this.defer(`on ${event}`, () => emitter.off(event, guarded))
    const release = () => {
      emitter.off(event, guarded)
      owned.release()
    }
    return { release, [Symbol.dispose]: release }
  }

  /**
   * Runs an asynchronous task that the scope waits for. A failure other than by closing is logged at `error` with
   * task, scope and cause, and counted.
   */
  spawn<T>(name: string, run: (signal: AbortSignal) => Promise<T>): Task<T> {
    if (this.#closing) throw this.#closedError()
    // One turn later, so that a caller has stored what the task will look up.
    const result = Promise.resolve().then(() => run(this.#abort.signal))
    void this.#watch(name, result)
    return { name, result }
  }

  /** Waits; rejects with the scope's `CLOSED` error when it closes first. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closing) return reject(this.#closedError())
      const timer = this.clock.start(ms, () => {
        owned.release()
        resolve()
      })
      const owned = this.defer('sleep', () => {
        timer.cancel()
        reject(this.#closedError())
      })
    })
  }

  /**
   * Ends everything that is owned, newest first. Idempotent; never rejects. A task of this scope must not wait for
   * it, as it would wait for itself until the deadline.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #closeAll(): Promise<void> {
    await Promise.resolve() // so that #closing is set before any clean-up runs
    this.#abortedAt = this.clock.now()
    this.#abort.abort(this.#closedError())
    while (this.#tail) {
      const item = this.#tail
      this.#unlink(item)
      let result: unknown
      try {
        result = item.close()
      } catch (error) {
        this.#cleanupFailed(item.name, error)
        continue
      }
      if (isPromise(result)) await this.#withDeadline(item, result)
    }
    this.#detach?.()
  }

  async #withDeadline({ name, waiting }: Item, result: PromiseLike<unknown>): Promise<void> {
    // A child scope ends by the deadlines of its own items.
    if (waiting === 'unlimited') return void (await result)
    const goneMs = waiting === 'abort' ? msBetween(this.#abortedAt!, this.clock.now()) : 0
    let timer: Timer | undefined
    const late = new Promise<'late'>((resolve) => {
      timer = this.clock.start(this.#closeDeadlineMs - goneMs, () => resolve('late'))
    })
    try {
      const ended = await Promise.race([Promise.resolve(result).then(() => 'ended' as const), late])
      if (ended === 'late') {
        this.counters
          .counter('scope_close_overdue_total', 'Items that did not close within the deadline.')
          .add()
        this.log.error('did not close in time', {
          item: name,
          scope: this.name,
          deadlineMs: this.#closeDeadlineMs,
        })
      }
    } catch (error) {
      this.#cleanupFailed(name, error)
    } finally {
      timer?.cancel()
    }
  }

  #runDetached(name: string, close: () => unknown): void {
    try {
      const result = close()
      if (isPromise(result)) result.then(undefined, (error) => this.#cleanupFailed(name, error))
    } catch (error) {
      this.#cleanupFailed(name, error)
    }
  }

  #append(name: string, close: () => unknown, waiting: Waiting): Item {
    const item: Item = { name, close, waiting, previous: this.#tail, next: undefined, owned: true }
    if (this.#tail) this.#tail.next = item
    this.#tail = item
    this.#items++
    return item
  }

  #unlink(item: Item): void {
    if (!item.owned) return
    item.owned = false
    this.#items--
    if (this.#tail === item) this.#tail = item.previous
    if (item.previous) item.previous.next = item.next
    if (item.next) item.next.previous = item.previous
    item.previous = item.next = undefined
  }

  /** Runs a callback; an error is logged and counted. @returns what it left running, which the scope owns. */
  #guard(name: string, run: () => unknown): Promise<void> | undefined {
    try {
      const result = run()
      return isPromise(result) ? this.#watch(name, Promise.resolve(result)) : undefined
    } catch (error) {
      this.#failed(name, error)
      return undefined
    }
  }

  /** Owns a running promise until it settles; also while closing, which then waits for it. Never rejects. */
  #watch(name: string, result: Promise<unknown>): Promise<void> {
    const watched = result.then(
      () => this.#unlink(item),
      (error) => {
        this.#unlink(item)
        if (!(this.#abort.signal.aborted && isCloseError(error))) this.#failed(name, error)
      },
    )
    const item = this.#append(name, () => watched, 'abort')
    return watched
  }

  #failed(name: string, error: unknown): void {
    this.counters
      .counter('task_failures_total', 'Tasks, timers and listeners that ended with an error.')
      .add()
    this.log.error('task failed', { task: name, scope: this.name, error })
  }

  #cleanupFailed(name: string, error: unknown): void {
    this.counters
      .counter('cleanup_failures_total', 'Clean-ups that threw while a scope was closing.')
      .add()
    this.log.error('clean-up failed', { item: name, scope: this.name, error })
  }

  #closedError(): WeirError {
    return new WeirError('CLOSED', `${this.name} is closed`)
  }
}

/** Whether an error only says that something was closed or aborted, which is how a task is told to end. */
export function isCloseError(error: unknown): boolean {
  if (error instanceof WeirError) return error.code === 'CLOSED'
  return error instanceof Error && error.name === 'AbortError'
}

function closeResource(resource: Disposable | AsyncDisposable): unknown {
  if (Symbol.asyncDispose in resource) return resource[Symbol.asyncDispose]()
  return resource[Symbol.dispose]()
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
