/**
 * Warnings at 70 and 90 % of a cap. A warning is taken back 10 points lower, so that a store which lives at a mark
 * does not write a line for each operation.
 */
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
