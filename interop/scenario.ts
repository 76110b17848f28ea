/** What the interop tests share: a ledger, a scope and a plan for one scenario, and what must hold after it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { Ledger } from 'weir-mesh/bounds'
import { idHex } from 'weir-mesh/core'
import type { Scope } from 'weir-mesh/runtime'
import type { SyncLimits } from 'weir-mesh/sync'
import { type LogLine, withLedger } from '../packages/weir/testing/index.ts'
import { type Counts, type RustPeer, SKIPPED } from './rust-peer.ts'
import { planWeir, until, type WeirPeer, type WeirPlan } from './weir-peer.ts'

/** A scenario that hangs ends with its name. */
const SCENARIO_MS = 90_000

export interface Scenario {
  readonly plan: WeirPlan
  readonly ledger: Ledger
  readonly scope: Scope
  readonly lines: readonly LogLine[]
}

/** A test against the Rust peer; skipped by name when that was not built. Afterwards the ledger is empty. */
export function scenario(
  name: string,
  run: (scenario: Scenario) => Promise<void>,
  limits?: Partial<SyncLimits>,
): void {
  test(name, { skip: SKIPPED, timeout: SCENARIO_MS }, async () => {
    const plan = planWeir(limits)
    await withLedger(plan.terms, (ledger, scope, { lines }) => run({ plan, ledger, scope, lines }))
  })
}

/** What a Rust peer counts when all that it got was right. */
export function assertSound(counts: Counts): void {
  const { bad_body, bad_log_id, gaps, refused, lagged, failed_sessions } = counts
  assert.deepEqual(
    { bad_body, bad_log_id, gaps, refused, lagged, failed_sessions },
    { bad_body: 0, bad_log_id: 0, gaps: 0, refused: 0, lagged: 0, failed_sessions: 0 },
  )
}

/** One operation each way, from here on: the two still work. */
export async function assertAlive(weir: WeirPeer, rust: RustPeer): Promise<void> {
  const taken = weir.next.get(rust.id) ?? 0
  rust.say('publish 1 100')
  await until(() => weir.next.get(rust.id) === taken + 1)
  const { seq } = weir
  await weir.publish(1, 100)
  await rust.line('operation', (line) => line['seq'] === seq && line['author'] === idHex(weir.id))
}
