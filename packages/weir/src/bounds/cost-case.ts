/**
 * How a term is filled to its cap, for `npm run costs`: the tool fills it in a child process, measures what it takes
 * and holds it against the plan. A folder lists its cases in `memory.costs.ts` as `costs`.
 */
import type { Account } from './account.ts'
import type { Term } from './term.ts'

export interface CostCase {
  /** With limits as in production or smaller; its name is the name of the case. */
  readonly term: Term
  /** What is special about this filling, when a term has several cases. */
  readonly variant?: string
  /**
   * Fills one account of the term to its cap, as the module does at worst, and returns what keeps it alive.
   *
   * The account must end with all its entries, and with its payload within a twentieth of the cap: a filling that
   * holds less fails. Called many times, each time with an account of its own; `index` tells them apart, so that no
   * two fillings share a string or a buffer.
   */
  fill(account: Account, index: number): unknown
  /** How many accounts are filled. Default: as many as plan at least 8 MiB (resident: 32 MiB). */
  readonly instances?: number
  /**
   * Measures the resident set and not the heap with what it accounts for: the entries have a native part. Default: for
   * terms of the arena `native`.
   */
  readonly resident?: boolean
  /** How many fillings come before the measurement. Default: enough that code and free places of the allocator settle. */
  readonly warmUps?: number
  /** Builds what a filling holds of other terms; it is measured on its own and taken off. */
  readonly beside?: (index: number) => unknown
}
