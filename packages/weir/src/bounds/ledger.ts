/**
 * The read side of the contract: what every account holds, summed per term. Metrics, health, status, audit and the
 * leak tests read the ledger, the counters and the heartbeats, and nothing else.
 *
 * Memory: one state per term of the plan and one object per open account.
 */
import { assert, type Counters, type Logger, silentLogger, WeirError } from '../runtime/index.ts'
import { Account } from './account.ts'
import type { Plan } from './plan.ts'
import { Pressure } from './pressure.ts'
import type { Admission, Exit, Term } from './term.ts'

export interface LedgerOptions {
  readonly log?: Logger
  readonly counters?: Counters
  /** Throw when an account is closed that still holds something. Default: the environment's `WEIR_ASSERT`. */
  readonly assertLeaks?: boolean
}

export interface LedgerRow {
  readonly term: Term
  readonly instances: number
  readonly entries: number
  /** Variable bytes, of all instances together; a pool's row has those of its members too. */
  readonly bytes: number
  /** All that the term costs now, in the plan's measure. */
  readonly costBytes: number
  readonly peakCostBytes: number
  /** What the plan reserved. */
  readonly plannedBytes: number
  readonly refused: Readonly<Record<Exclude<Admission, 'ok'>, number>>
  readonly exits: Readonly<Record<Exit, number>>
}

export interface OpenOptions {
  /** For whom: shown with the heaviest holders, cut to 64 characters. */
  readonly label?: string
  readonly owner?: Account
}

export class Ledger {
  readonly plan: Plan
  readonly pressure: Pressure
  readonly assertLeaks: boolean
  readonly #log: Logger
  readonly #counters: Counters | undefined
  readonly #states: ReadonlyMap<Term, TermState>
  #costBytes = 0
  #peakCostBytes = 0

  constructor(plan: Plan, options: LedgerOptions = {}) {
    this.plan = plan
    this.#log = options.log ?? silentLogger
    this.#counters = options.counters
    this.assertLeaks = options.assertLeaks ?? process.env['WEIR_ASSERT'] === '1'
    this.pressure = new Pressure({
      accountBytesMax: plan.accountBytes,
      log: this.#log,
      ...(options.counters ? { counters: options.counters } : {}),
    })
    const states = new Map<Term, TermState>()
    for (const row of plan.rows) states.set(row.term, new TermState(this, row.term, row.bytes))
    for (const state of states.values()) {
      if (!state.term.pool) continue
      const pool = states.get(state.term.pool)!
      state.pool = pool
      // Who takes from the pool's own account shares it with its members.
      pool.pool = pool
    }
    this.#states = states
  }

  /** All that the accounts hold now, in the plan's measure; never above `plan.accountBytes`. */
  get costBytes(): number {
    return this.#costBytes
  }

  /** The most that the accounts have held at one time. */
  get peakCostBytes(): number {
    return this.#peakCostBytes
  }

  /**
   * Opens an account.
   *
   * @returns undefined when `instancesMax` accounts of the term are open.
   */
  open(term: Term, options: OpenOptions = {}): Account | undefined {
    return this.#state(term).open(shortLabel(options.label ?? ''), options.owner)
  }

  /** Opens an account where the plan guarantees one. @throws {WeirError} `LIMIT` when all are open. */
  require(term: Term, options: OpenOptions = {}): Account {
    const account = this.open(term, options)
    if (account) return account
    throw new WeirError('LIMIT', `all ${term.instancesMax} instances of ${term.name} are in use`, {
      retryable: true,
      limit: { scope: term.name, limit: term.instancesMax, used: term.instancesMax, wanted: 1 },
    })
  }

  /** Whether the plan has this term. */
  has(term: Term): boolean {
    return this.#states.has(term)
  }

  row(term: Term): LedgerRow {
    return this.#state(term).row()
  }

  *rows(): IterableIterator<LedgerRow> {
    for (const state of this.#states.values()) yield state.row()
  }

  /** The accounts of a term that hold most, with what they own, heaviest first: whom to cut off. */
  holders(term: Term, most: number): Account[] {
    const weight = (account: Account) => account.heldBytes + account.entries * term.shellBytes
    const all = [...this.#state(term).accounts()]
    return all.sort((a, b) => weight(b) - weight(a)).slice(0, most)
  }

  /** Names of what is still held; empty after an orderly close. */
  held(): string[] {
    const held: string[] = []
    for (const row of this.rows()) {
      if (row.instances > 0 || row.entries > 0 || row.bytes > 0) {
        held.push(
          `${row.term.name}: ${row.instances} open, ${row.entries} entries, ${row.bytes} bytes`,
        )
      }
    }
    return held
  }

  /** @throws an assertion that names every account still open. */
  assertEmpty(): void {
    const held = this.held()
    assert(held.length === 0, `the ledger is not empty: ${held.join('; ')}`)
    assert(this.#costBytes === 0, `the ledger's sum is ${this.#costBytes} with nothing held`)
  }

  #state(term: Term): TermState {
    const state = this.#states.get(term)
    assert(state, `the plan has no term ${term.name}`)
    return state
  }

  /** @internal */
  adjust(bytes: number): void {
    this.#costBytes += bytes
    if (this.#costBytes > this.#peakCostBytes) this.#peakCostBytes = this.#costBytes
    this.pressure.accounts(this.#costBytes)
  }

  /** @internal */
  reportLeak(account: Account, bytes: number, entries: number): void {
    this.#counters
      ?.counter('ledger_leaks_total', 'Accounts that were closed while they still held something.')
      .add()
    const message = `${account.term.name} was closed with ${entries} entries and ${bytes} bytes`
    this.#log.error('leak', { term: account.term.name, label: account.label, bytes, entries })
    assert(!this.assertLeaks, message)
  }
}

const LABEL_CHARS_MAX = 64

function shortLabel(label: string): string {
  if (label.length <= LABEL_CHARS_MAX) return label
  // A copy: what `slice` returns would keep the whole text alive.
  return Buffer.from(label.slice(0, LABEL_CHARS_MAX)).toString()
}

/** @internal Sums of one term. */
export class TermState {
  readonly ledger: Ledger
  readonly term: Term
  readonly #plannedBytes: number
  /** Who pays the variable bytes; of a pool with members, the pool itself. */
  pool: TermState | undefined
  #head: Account | undefined
  #instances = 0
  #entries = 0
  #bytes = 0
  #pooledBytes = 0
  #costBytes = 0
  #peak = 0
  readonly #refused = { cap: 0, pool: 0, owner: 0, pressure: 0 }
  readonly #exits = { removed: 0, replaced: 0, evicted: 0, expired: 0, shed: 0, closed: 0 }

  constructor(ledger: Ledger, term: Term, plannedBytes: number) {
    this.ledger = ledger
    this.term = term
    this.#plannedBytes = plannedBytes
  }

  open(label: string, owner: Account | undefined): Account | undefined {
    if (this.#instances >= this.term.instancesMax) {
      this.#refused.cap++
      return undefined
    }
    this.#instances++
    const account = new Account(this, label, owner)
    account.next = this.#head
    if (this.#head) this.#head.previous = account
    this.#head = account
    return account
  }

  *accounts(): IterableIterator<Account> {
    for (let account = this.#head; account; account = account.next) yield account
  }

  reserve(tableBytes: number): void {
    this.#cost(tableBytes)
  }

  release(account: Account, tableBytes: number): void {
    this.#instances--
    this.#cost(-tableBytes)
    if (this.#head === account) this.#head = account.next
    if (account.previous) account.previous.next = account.next
    if (account.next) account.next.previous = account.previous
    account.previous = account.next = undefined
  }

  leaked(account: Account, bytes: number, entries: number): void {
    this.ledger.reportLeak(account, bytes, entries)
  }

  /** How many bytes the pool lacks for this many more; 0 without a pool. */
  poolShortBytes(bytes: number): number {
    const pool = this.pool
    if (!pool) return 0
    const freeBytes = pool.term.instancesMax * pool.term.payloadBytesMax - pool.heldBytes
    return Math.max(bytes - freeBytes, 0)
  }

  get heldBytes(): number {
    return this.#bytes + this.#pooledBytes
  }

  changed(bytes: number, entries: number): void {
    this.#bytes += bytes
    this.#entries += entries
    const shells = entries * this.term.shellBytes
    if (this.pool && this.pool !== this) {
      this.pool.#pooledBytes += bytes
      this.pool.#cost(bytes)
      if (shells !== 0) this.#cost(shells)
    } else this.#cost(bytes + shells)
  }

  refused(admission: Exclude<Admission, 'ok'>): void {
    this.#refused[admission]++
  }

  exited(why: Exit, entries: number): void {
    this.#exits[why] += entries
  }

  #cost(bytes: number): void {
    this.#costBytes += bytes
    if (this.#costBytes > this.#peak) this.#peak = this.#costBytes
    this.ledger.adjust(bytes)
  }

  row(): LedgerRow {
    return {
      term: this.term,
      instances: this.#instances,
      entries: this.#entries,
      bytes: this.heldBytes,
      costBytes: this.#costBytes,
      peakCostBytes: this.#peak,
      plannedBytes: this.#plannedBytes,
      refused: { ...this.#refused },
      exits: { ...this.#exits },
    }
  }
}
