/**
 * What the parts of a topic's machine share while an event is handled: time, effects, limits, the log table.
 *
 * `fx` and `now` belong to the event that is being handled; nothing keeps them.
 */
import type { IdSet, Ledger } from '../bounds/index.ts'
import type { NodeId, TopicId } from '../core/index.ts'
import type { Tickets } from '../machine/index.ts'
import { addMs, type Instant } from '../runtime/index.ts'
import type { TopicEffects } from './contract.ts'
import type { SyncCounters } from './counters.ts'
import type { SyncLimits } from './limits.ts'
import type { LogTable } from './log-table.ts'
import type { SyncTerms } from './memory.ts'
import type { LogPolicy } from './policy.ts'

export interface SharedOptions {
  readonly topic: TopicId
  readonly self: NodeId
  readonly policy: LogPolicy
  readonly limits: SyncLimits
  readonly terms: SyncTerms
  readonly ledger: Ledger
  readonly counters: SyncCounters
  readonly tickets: Tickets
  readonly table: LogTable
  readonly seen: IdSet
}

export class Shared {
  readonly topic: TopicId
  readonly self: NodeId
  readonly policy: LogPolicy
  readonly limits: SyncLimits
  readonly terms: SyncTerms
  readonly ledger: Ledger
  readonly counters: SyncCounters
  readonly tickets: Tickets
  readonly table: LogTable
  /** Ids of operations that are kept. */
  readonly seen: IdSet
  now!: Instant
  fx!: TopicEffects
  /** When the machine wants to be woken; only ever brought forward while an event is handled. */
  wakeAt: Instant = Number.POSITIVE_INFINITY as Instant

  constructor(options: SharedOptions) {
    this.topic = options.topic
    this.self = options.self
    this.policy = options.policy
    this.limits = options.limits
    this.terms = options.terms
    this.ledger = options.ledger
    this.counters = options.counters
    this.tickets = options.tickets
    this.table = options.table
    this.seen = options.seen
  }

  after(ms: number): Instant {
    return addMs(this.now, ms)
  }

  arm(at: Instant): void {
    if (at < this.wakeAt) this.wakeAt = at
  }
}
