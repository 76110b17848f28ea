/**
 * Order of resource versions of one resource. They are decimal integers of any length, compared as strings: shorter
 * is older, and equal lengths compare by character. `Number` would lose the last digits (KEP-5504).
 */

/** Negative when `left` is older, 0 when equal, positive when newer. */
export function compareResourceVersions(left: string, right: string): number {
  if (left.length !== right.length) return left.length - right.length
  return left < right ? -1 : left > right ? 1 : 0
}
