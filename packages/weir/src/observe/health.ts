/**
 * Whether the program is alive and ready, from the heartbeats of its parts.
 *
 * Alive: it answers. Ready: no part is stalled or stopped, every condition holds, and the event loop did not stand
 * still lately. A part is found within its own deadline, and told once in the log and in a counter.
 *
 * Memory: `observe.problems`, one entry per part that has a problem.
 */
import { BoundedMap, type Ledger } from '../bounds/index.ts'
import type { Counter, Heartbeats, Scope } from '../runtime/index.ts'
import { LoopWatch } from './loop-watch.ts'
import type { ObserveTerms } from './memory.ts'

export interface Problem {
  readonly part: string
  readonly reason: string
}

/** Something that must hold beside the heartbeats. @returns why it does not, or undefined. */
export type Condition = () => string | undefined

export interface HealthOptions {
  /** Owns the timers; its clock, log and counters are used. */
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: Pick<ObserveTerms, 'problems'>
  readonly heartbeats: Heartbeats
  /** By name, for example `peers: () => ...`. */
  readonly conditions?: Readonly<Record<string, Condition>>
}

const CHECK_MS = 1_000

export class Health {
  readonly loop: LoopWatch
  readonly #scope: Scope
  readonly #heartbeats: Heartbeats
  readonly #conditions: readonly (readonly [string, Condition])[]
  readonly #known: BoundedMap<string, string>
  readonly #found: Counter

  constructor(options: HealthOptions) {
    const { scope, ledger, terms } = options
    this.#scope = scope
    this.#heartbeats = options.heartbeats
    this.#conditions = Object.freeze(Object.entries(options.conditions ?? {}))
    this.#known = scope.own('problems', new BoundedMap(ledger.require(terms.problems)))
    this.#found = scope.counters.counter(
      'part_problems_total',
      'Times that a part of the program was found stalled or stopped.',
    )
    this.loop = new LoopWatch(scope)
    scope.every('health check', CHECK_MS, () => this.#check())
  }

  /** Empty when the program is ready. */
  problems(): Problem[] {
    const problems: Problem[] = []
    const loop = this.loop.problem()
    if (loop) problems.push({ part: 'event-loop', reason: loop })
    for (const heartbeat of this.#heartbeats) {
      const reason = heartbeat.problem()
      if (reason) problems.push({ part: heartbeat.name, reason })
    }
    for (const [part, condition] of this.#conditions) {
      const reason = holds(condition)
      if (reason) problems.push({ part, reason })
    }
    return problems
  }

  get ready(): boolean {
    return this.problems().length === 0
  }

  #check(): void {
    const problems = this.problems()
    for (const part of this.#known.keys()) {
      if (problems.some((problem) => problem.part === part)) continue
      this.#known.delete(part)
      this.#scope.log.info('a part is well again', { part })
    }
    for (const { part, reason } of problems) {
      // The loop has told its stall itself.
      if (part === 'event-loop' || this.#known.has(part)) continue
      // One beyond the cap would be told each second; it is told when there is room for it.
      if (this.#known.set(part, reason) !== 'ok') continue
      this.#found.add()
      this.#scope.log.error('a part of the program has a problem', { part, reason })
    }
  }
}

function holds(condition: Condition): string | undefined {
  try {
    return condition()
  } catch (error) {
    return `the check failed: ${error instanceof Error ? error.message : String(error)}`
  }
}
