/**
 * A term declares one place that can hold memory. Plain data: it is printed at start, exported as a metric and listed
 * in docs/limits.md. Each module declares its terms in its `memory.ts`, as a function of its limits.
 */
import { assert } from '../runtime/index.ts'

export type Arena = 'heap' | 'buffers' | 'native'
/** normal, tight (70 %), severe (85 %), critical (95 %); each is left 10 points lower. */
export type Level = 0 | 1 | 2 | 3
/** What the container does at its cap. */
export type Overflow = 'refuse' | 'drop-new' | 'drop-old' | 'evict' | 'wait'
/** `ok`, or what stood in the way: the own cap, the pool, the owner's ceiling or the pressure level. */
export type Admission = 'ok' | 'cap' | 'pool' | 'owner' | 'pressure'
/** Why an entry left. */
export type Exit = 'removed' | 'replaced' | 'evicted' | 'expired' | 'shed' | 'closed'
/** Which structure carries the entries; it decides the table bytes of the plan. */
export type Table = 'map' | 'slab' | 'ring' | 'none'

export interface Term {
  /** Stable: the metric label, the health key, the name of its N+1 test. */
  readonly name: string
  /** The sentence of the plan table. */
  readonly why: string
  readonly arena: Arena
  /** How many accounts of this term may be open: 1, or for example `connectionsMax`. */
  readonly instancesMax: number
  /** Entries of one instance; rounded up to a power of two for `map` and `ring`. */
  readonly entriesMax: number
  readonly table: Table
  /** Fixed cost of an entry beside the table and the payload. */
  readonly shellBytes: number
  /** Variable bytes of one instance; with a pool this is a ceiling and not a part of the plan. */
  readonly payloadBytesMax: number
  /** Who pays the variable bytes when they are shared. */
  readonly pool: Term | undefined
  readonly overflow: Overflow
  /** Growth is refused from this pressure level on; `never` for what keeps the program controllable. */
  readonly shedAt: 1 | 2 | 3 | 'never'
}

export interface TermOptions {
  readonly name: string
  readonly why: string
  readonly arena?: Arena
  readonly instancesMax?: number
  readonly entriesMax?: number
  readonly table?: Table
  readonly shellBytes?: number
  readonly payloadBytesMax?: number
  readonly pool?: Term | undefined
  readonly overflow?: Overflow
  readonly shedAt?: 1 | 2 | 3 | 'never'
}

const NAME = /^[a-z][a-z0-9-]*(\.[a-z0-9-]+)*$/

/** Checks and completes a term. Defaults: heap, one instance, no entries, no table, overflow `refuse`, shed at 3. */
export function term(options: TermOptions): Term {
  assert(NAME.test(options.name), `the term name '${options.name}' is not of the form area.thing`)
  const complete: Term = {
    name: options.name,
    why: options.why,
    arena: options.arena ?? 'heap',
    instancesMax: options.instancesMax ?? 1,
    entriesMax: options.entriesMax ?? 0,
    table: options.table ?? 'none',
    shellBytes: options.shellBytes ?? 0,
    payloadBytesMax: options.payloadBytesMax ?? 0,
    pool: options.pool,
    overflow: options.overflow ?? 'refuse',
    shedAt: options.shedAt ?? 3,
  }
  for (const field of ['instancesMax', 'entriesMax', 'shellBytes', 'payloadBytesMax'] as const) {
    const value = complete[field]
    assert(Number.isSafeInteger(value) && value >= 0, `${complete.name}: ${field} is ${value}`)
  }
  assert(!complete.pool?.pool, `${complete.name}: a pool has no pool of its own`)
  return Object.freeze(complete)
}

/** A pool: bytes that several terms share. It has no entries of its own. */
export function pool(
  options: Pick<TermOptions, 'name' | 'why' | 'arena' | 'shedAt'> & {
    readonly payloadBytesMax: number
  },
): Term {
  return term(options)
}

/** The terms of a module, by a short name each. */
export type Terms<Names extends string> = { readonly [name in Names]: Term }
