/**
 * Warnings at 70 and 90 % of a cap. A warning is taken back 10 points lower, so that a store which lives at a mark
 * does not write a line for each operation.
 */
import type { Counters, Logger } from '../runtime/index.ts'
import type { LogName } from './log-store.ts'

export type WarningLevel = 0 | 70 | 90

export interface StoreWarning {
  /** Which cap: of all logs together, of the number of logs, or of one pinned log. */
  readonly cap: 'operations' | 'bytes' | 'logs' | 'log'
  /** The log, for cap `log`. */
  readonly log: LogName | undefined
  /** 0 takes the warning back. */
  readonly level: WarningLevel
  readonly used: number
  readonly limit: number
}

const BACK = 0.1

export function nextWarning(level: WarningLevel, share: number): WarningLevel {
  if (share >= 0.9 || (level === 90 && share >= 0.9 - BACK)) return 90
  if (share >= 0.7 || (level >= 70 && share >= 0.7 - BACK)) return 70
  return 0
}

export interface StoreWarningsOptions {
  readonly log: Logger
  readonly counters: Counters
  /** Called when a cap is 70 or 90 % used, and with level 0 or 70 when that is over. */
  onWarning?(warning: StoreWarning): void
}

/** The warnings of one store: says each change once, to the log, a counter and the owner. */
export class StoreWarnings {
  readonly #options: StoreWarningsOptions
  #operations: WarningLevel = 0
  #bytes: WarningLevel = 0
  #logs: WarningLevel = 0

  constructor(options: StoreWarningsOptions) {
    this.#options = options
  }

  operations(used: number, limit: number): void {
    this.#operations = this.check('operations', undefined, this.#operations, used, limit)
  }

  bytes(used: number, limit: number): void {
    this.#bytes = this.check('bytes', undefined, this.#bytes, used, limit)
  }

  logs(used: number, limit: number): void {
    this.#logs = this.check('logs', undefined, this.#logs, used, limit)
  }

  /** @returns the level to remember. */
  check(
    cap: StoreWarning['cap'],
    log: LogName | undefined,
    before: WarningLevel,
    used: number,
    limit: number,
  ): WarningLevel {
    const level = nextWarning(before, used / limit)
    if (level === before) return level
    const { counters, log: logger } = this.#options
    if (level > before) {
      counters
        .counter('store_warnings_total', 'Times a cap of the store was 70 or 90 % used.')
        .add()
      logger.warn('the store fills up', { cap, percent: level, used, limit })
    } else logger.info('the store has room again', { cap, percent: level, used, limit })
    try {
      this.#options.onWarning?.({ cap, log, level, used, limit })
    } catch (error) {
      logger.error('the warning callback of the store failed', { error })
    }
    return level
  }
}
