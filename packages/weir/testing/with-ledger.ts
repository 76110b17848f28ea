/**
 * A ledger and a scope for one test, and the checks that must hold after each: every account closed, every charge
 * given back, no timer left, no clean-up that failed or came too late.
 */
import assert from 'node:assert/strict'
import { Ledger, planMemory, type Term, term, termBytes } from '../src/bounds/index.ts'
import {
  type Clock,
  Counters,
  createLogger,
  ManualClock,
  Scope,
  systemClock,
} from '../src/runtime/index.ts'
import { CountedClock } from './counted-clock.ts'

export interface WithLedgerOptions {
  /** Time of the scope. Default: the system's. A ManualClock is counted as well. */
  readonly clock?: Clock
  /**
   * Plan the given terms alone. By default an unused term as large as all others is planned beside them, so that a
   * full term is refused by its own cap and not by memory pressure.
   */
  readonly tight?: boolean
  /** Deadline of one item when the scope closes, in ms. Default 5 000. */
  readonly closeDeadlineMs?: number
  /** The test breaks a clean-up on purpose: neither their counters nor the ledger's leaks are checked. */
  readonly failuresExpected?: boolean
}

/** What a test may look at beside the ledger. */
export interface Bench {
  readonly clock: Clock
  readonly counters: Counters
  /** Every line that was logged, at each level, as parsed JSON. */
  readonly lines: readonly LogLine[]
}

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

/** Runs a test with a ledger over these terms and a scope; closes the scope; asserts that nothing is left. */
export async function withLedger(
  terms: Iterable<Term>,
  run: (ledger: Ledger, scope: Scope, bench: Bench) => unknown,
  options: WithLedgerOptions = {},
): Promise<void> {
  const planned = [...terms]
  if (!options.tight) planned.push(spare(planned))
  const lines: LogLine[] = []
  const counters = new Counters()
  const clock = new CountedClock(options.clock ?? systemClock)
  const log = createLogger({
    level: 'debug',
    write: (line) => lines.push(JSON.parse(line) as LogLine),
  })
  const plan = planMemory(planned, { limitBytes: Number.MAX_SAFE_INTEGER })
  const ledger = new Ledger(plan, { log, counters, assertLeaks: !options.failuresExpected })
  const scope = new Scope('test', {
    clock,
    log,
    counters,
    closeDeadlineMs: options.closeDeadlineMs ?? 5_000,
  })
  try {
    await run(ledger, scope, { clock, counters, lines })
    assert.ok(
      ledger.costBytes <= plan.accountBytes,
      `the accounts cost ${ledger.costBytes} bytes, the plan has ${plan.accountBytes}`,
    )
  } finally {
    await scope.close()
  }
  if (!options.failuresExpected) {
    for (const name of FAILURES) {
      const what = lines
        .filter((line) => line.level === 'error')
        .map((line) => JSON.stringify(line))
      assert.equal(counters.value(name), 0, `${name}: ${what.join('\n')}`)
    }
  }
  ledger.assertEmpty()
  assert.equal(clock.timers, 0, `timers left on the clock: ${clock.timers}`)
  if (options.clock instanceof ManualClock) {
    assert.equal(options.clock.timers, 0, `timers left on the manual clock`)
  }
}

const FAILURES = Object.freeze([
  'cleanup_failures_total',
  'scope_close_overdue_total',
  'ledger_leaks_total',
])

function spare(terms: readonly Term[]): Term {
  const pools = new Set<Term>()
  let bytes = 0
  for (const each of terms) {
    bytes += termBytes(each)
    if (each.pool && !terms.includes(each.pool)) pools.add(each.pool)
  }
  for (const each of pools) bytes += termBytes(each)
  return term({
    name: 'testing.spare',
    why: 'keeps the share of the plan in use, and so the pressure, low',
    payloadBytesMax: bytes,
  })
}
