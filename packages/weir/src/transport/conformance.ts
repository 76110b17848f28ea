/**
 * What every backend must do, as tests: `conformance(transport, traits)` in a test file runs all of it.
 *
 * Each test ends with an empty ledger, no timer and no clean-up that failed; see `withLedger`.
 */
import { connectionConformance } from './conformance-connections.suite.ts'
import { checkOf, type Traits } from './conformance-pair.suite.ts'
import { streamConformance } from './conformance-streams.suite.ts'
import type { Transport } from './load.ts'

/** Runs the suite as tests named after the transport. */
export function conformance(transport: Transport, traits: Traits): void {
  const check = checkOf(transport)
  streamConformance(check, traits)
  connectionConformance(check, traits)
}
