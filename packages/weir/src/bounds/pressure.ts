/**
 * Four levels: normal, tight (70 %), severe (85 %), critical (95 %), each left 10 points lower. The worst source decides.
 *
 * The accounts are exact and count at once. Old space, array buffers and the working set lag and hold garbage: before
 * they may raise the level, one collection is forced and they are read again.
 */
import { type Counters, type Logger, silentLogger } from '../runtime/index.ts'
import type { Level } from './term.ts'

export interface PressureCause {
  readonly source: string
  readonly used: number
  readonly limit: number
}

export interface PressureOptions {
  readonly accountBytesMax: number
  readonly log?: Logger
  readonly counters?: Counters
}

export type PressureListener = (level: Level, previous: Level) => void

const ENTER = Object.freeze([0, 0.7, 0.85, 0.95])
const LEAVE_BELOW = 0.1
/** Listeners that shed and grow in turn must not keep each other busy for ever; the next change goes on from there. */
const SETTLE_ROUNDS_MAX = 8

interface ListenerNode {
  readonly listener: PressureListener
  next: ListenerNode | undefined
}

/**
 * Memory: one list node per listener, owned by whoever subscribed; a fixed number of sources.
 */
export class Pressure {
  readonly #log: Logger
  readonly #counters: Counters | undefined
  readonly #accountBytesMax: number
  #accountBytes = 0
  #accountLevel: Level = 0
  #raiseAt: number
  #lowerAt = -1
  #processLevel: Level = 0
  #processCauses: readonly PressureCause[] = Object.freeze([])
  #level: Level = 0
  #settling = false
  #listeners: ListenerNode | undefined

  constructor(options: PressureOptions) {
    this.#accountBytesMax = options.accountBytesMax
    this.#log = options.log ?? silentLogger
    this.#counters = options.counters
    this.#raiseAt = ENTER[1]! * this.#accountBytesMax
  }

  get level(): Level {
    return this.#level
  }

  /** What stands behind the level, the accounts first. */
  get causes(): readonly PressureCause[] {
    const accounts = {
      source: 'accounts',
      used: this.#accountBytes,
      limit: this.#accountBytesMax,
    }
    return [accounts, ...this.#processCauses]
  }

  /** Called for each change of level until disposed. A listener that throws is logged and does not stop the others. */
  subscribe(listener: PressureListener): Disposable {
    const node: ListenerNode = { listener, next: this.#listeners }
    this.#listeners = node
    return {
      [Symbol.dispose]: () => {
        if (this.#listeners === node) this.#listeners = node.next
        else {
          let before = this.#listeners
          while (before && before.next !== node) before = before.next
          if (before) before.next = node.next
        }
      },
    }
  }

  /** @internal The ledger's sum has changed. Two comparisons in the common case. */
  accounts(bytes: number): void {
    this.#accountBytes = bytes
    if (bytes < this.#raiseAt && bytes > this.#lowerAt) return
    const share = this.#accountBytesMax > 0 ? bytes / this.#accountBytesMax : 0
    this.#accountLevel = nextLevel(this.#accountLevel, share)
    const enter = ENTER[this.#accountLevel + 1]
    this.#raiseAt = enter === undefined ? Infinity : enter * this.#accountBytesMax
    this.#lowerAt =
      this.#accountLevel === 0
        ? -1
        : (ENTER[this.#accountLevel]! - LEAVE_BELOW) * this.#accountBytesMax
    this.#settle()
  }

  /** What the process was measured to use, after a collection when it asked for a rise; see `ProcessMemory`. */
  process(causes: readonly PressureCause[]): void {
    this.#processCauses = causes
    this.#processLevel = nextLevel(this.#processLevel, worstShare(causes))
    this.#settle()
  }

  /** Whether these readings would raise the level, so that a collection has to be forced before they count. */
  wouldRaise(causes: readonly PressureCause[]): boolean {
    return nextLevel(this.#processLevel, worstShare(causes)) > this.#processLevel
  }

  #settle(): void {
    // A listener that sheds changes the level while the others are still being told: they are told again, in order.
    if (this.#settling) return
    this.#settling = true
    try {
      for (let round = 0; round < SETTLE_ROUNDS_MAX; round++) {
        const level = Math.max(this.#accountLevel, this.#processLevel) as Level
        if (level === this.#level) return
        this.#change(level)
      }
    } finally {
      this.#settling = false
    }
  }

  #change(level: Level): void {
    const previous = this.#level
    this.#level = level
    this.#counters?.counter('pressure_changes_total', 'Changes of the memory pressure level.').add()
    const fields = Object.fromEntries(
      this.causes.map((cause) => [
        cause.source,
        `${Math.round((100 * cause.used) / cause.limit)}%`,
      ]),
    )
    this.#log[level > previous ? 'warn' : 'info']('memory pressure', { level, previous, ...fields })
    for (let node = this.#listeners; node; node = node.next) {
      try {
        node.listener(level, previous)
      } catch (error) {
        this.#log.error('a pressure listener failed', { error })
      }
    }
  }
}

const worstShare = (causes: readonly PressureCause[]): number =>
  causes.reduce((worst, cause) => Math.max(worst, cause.used / cause.limit), 0)

/** The level for a share of the limit, with the hysteresis of the level that is held. */
export function nextLevel(level: Level, share: number): Level {
  let next = level
  while (next < 3 && share >= ENTER[next + 1]!) next++
  while (next > 0 && share < ENTER[next]! - LEAVE_BELOW) next--
  return next as Level
}
