/**
 * Fights: somebody else changes a replica again and again, and each time it is put back. The first times at once, as a
 * person's edit is; then after growing delays, or the two would go round at the speed of the API server for ever. So it is
 * with a write that does not succeed while somebody goes on to edit the object.
 *
 * Memory: two small numbers in the row.
 */
import type { Action } from './decide.ts'
import type { Row } from './row.ts'

/** Delay before the next attempt, by the number of failures or of put-backs, in ms. */
export const RETRY_MS = Object.freeze([100, 250, 500, 1000, 2000, 5000, 10_000, 30_000] as const)

/** So often it is put back at once. */
const AT_ONCE = 3
/** It is told when the next time waits this long, in steps of `RETRY_MS`. */
const TOLD_STEP = 4
const PUT_BACKS_MAX = 255
const TICK_MS = 100
/** After so long without one it begins anew. */
const QUIET_TICKS = 600

/** Whether a write only repeats what our server was given before. */
export function isPutBack(row: Row, action: Action): boolean {
  if (action.type !== 'create' && action.type !== 'update') return false
  return action.desired.hash === row.acceptedFor
}

/** Whether a write waits that did not succeed the first times either: the next edit here does not help it. */
export function failsOn(row: Row): boolean {
  return row.state === 'waiting' && row.failures > AT_ONCE
}

/** Which delay comes next. */
export function calmStep(row: Row): number {
  return Math.min(Math.max(row.putBacks - AT_ONCE, 0), RETRY_MS.length - 1)
}

/** Whether a write has to wait; one that is no put-back does not, and ends the fight. */
export function hasToCalm(row: Row, action: Action, nowMs: number): boolean {
  if (isPutBack(row, action)) return row.calmAt > tick(nowMs)
  row.putBacks = row.calmAt = 0
  return false
}

/** A put-back was written, or somebody was faster. @returns whether this is to be told: once in a fight. */
export function notePutBack(row: Row, nowMs: number): boolean {
  const now = tick(nowMs)
  if (now > row.calmAt + QUIET_TICKS) row.putBacks = 0
  if (row.putBacks < PUT_BACKS_MAX) row.putBacks++
  const waits = row.putBacks >= AT_ONCE ? Math.floor(RETRY_MS[calmStep(row)]! / TICK_MS) : 0
  row.calmAt = now + waits
  return row.putBacks === AT_ONCE + TOLD_STEP
}

const tick = (nowMs: number): number => Math.floor(nowMs / TICK_MS)
