/**
 * How a session ends: a stable code for us, and what the peer gets to see of it.
 *
 * Upstream closes with code 0 in all cases and tells success by the reason; so do we where it looks at it.
 */
import { WeirError } from '../runtime/index.ts'

/** Application close codes of a connection; upstream knows only 0. */
const CLOSE_CODES = Object.freeze({
  /** Both sides are done with each other. */
  DONE: 0,
  /** Another session of the same two nodes carries the topic. */
  SURPLUS: 0,
  /** Nobody here takes part in the topic: upstream says it with an empty reason. */
  TOPIC_UNKNOWN: 0,
  HANDSHAKE_FAILED: 0,
  CLOSED: 0,
  SYNC_LOST: 0,
  CONNECT_TIMEOUT: 0,
  INCOMPATIBLE_PEER: 1,
  SYNC_PROTOCOL: 2,
  BAD_SIGNATURE: 3,
  BAD_HEADER: 4,
  FRAME_REFUSED: 5,
  HANDSHAKE_TIMEOUT: 6,
  SYNC_SILENT: 7,
  SEND_STALLED: 8,
  CLOSE_TIMEOUT: 9,
  STORE_FAILED: 10,
  STORE_FULL: 11,
  VERIFY_FAILED: 12,
  SYNC_LIMIT: 13,
  RESYNC: 14,
})

export type EndCode = keyof typeof CLOSE_CODES

/** Codes that are no failure: what was promised has been done, or somebody asked for the end. */
export const isOrderly = (code: EndCode): boolean =>
  code === 'DONE' || code === 'SURPLUS' || code === 'CLOSED'

/** Codes after which the same peer may be tried again at once rather than with patience. */
export interface Ending {
  readonly code: EndCode
  readonly message: string
}

export const ending = (code: EndCode, message: string): Ending => ({ code, message })

/** The application code and reason with which a connection is closed. */
export function closeOf(end: Ending, outbound: boolean): { code: number; reason: string } {
  if (end.code === 'DONE' || end.code === 'SURPLUS') {
    // These are upstream's words, by which it tells success.
    return { code: 0, reason: `sync protocol ${outbound ? 'initiate' : 'accept'} completed` }
  }
  const code = CLOSE_CODES[end.code]
  return { code, reason: code === 0 ? '' : end.code }
}

/** The reason that upstream and we give when a session ends well. */
export const isCompletion = (reason: string): boolean =>
  reason === 'sync protocol initiate completed' || reason === 'sync protocol accept completed'

/** The error for callers that wait for a session. */
export function endError(end: Ending): WeirError {
  return new WeirError(end.code, end.message, { retryable: end.code !== 'INCOMPATIBLE_PEER' })
}
