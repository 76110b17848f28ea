/** What tests of all folders share. Not part of the published package. */
export { assertNoNewHandles, type Handles, instancesOf, openHandles } from './census.ts'
export { collectable } from './collectable.ts'
export { CountedClock } from './counted-clock.ts'
export { type Failpoint, failpointSweep, InjectedFailure } from './failpoint-sweep.ts'
export { type Point, type Trend, theilSen } from './theil-sen.ts'
export { type Bench, type LogLine, type WithLedgerOptions, withLedger } from './with-ledger.ts'
