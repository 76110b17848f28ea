/**
 * What one instance of a term holds now.
 *
 * Rules: the container charges, its caller never does. Charge before the value is kept, give back after it is gone. A
 * promise is a charge: credit that a peer may use is taken when it is advertised. A byte has one payer.
 *
 * Memory: one object per open instance, capped by `instancesMax` of its term.
 */
import { AssertionError, assert, WeirError } from '../runtime/index.ts'
import { tableBytes } from './costs.ts'
import type { TermState } from './ledger.ts'
import type { Admission, Exit, Term } from './term.ts'

export class Account implements Disposable {
  readonly term: Term
  readonly label: string
  readonly owner: Account | undefined
  readonly #state: TermState
  readonly #tableBytes: number
  #entries = 0
  #bytes = 0
  #heldBelow = 0
  #ceilingBytes = Number.POSITIVE_INFINITY
  #closed = false
  /** @internal links of the ledger's list of open accounts of this term */
  previous: Account | undefined
  /** @internal */
  next: Account | undefined

  /** @internal Accounts are made by a ledger. */
  constructor(state: TermState, label: string, owner: Account | undefined) {
    this.term = state.term
    this.label = label
    this.owner = owner
    this.#state = state
    this.#tableBytes = tableBytes(state.term.entriesMax, state.term.table)
    state.reserve(this.#tableBytes)
  }

  get entries(): number {
    return this.#entries
  }

  /** Variable bytes held now, without shells and table. */
  get bytes(): number {
    return this.#bytes
  }

  /** All that this instance costs: container and table, shells and, unless a pool pays them, the variable bytes. */
  get costBytes(): number {
    return (
      this.#tableBytes + this.#entries * this.term.shellBytes + (this.term.pool ? 0 : this.#bytes)
    )
  }

  /** Variable bytes of this account and of all accounts that it owns. */
  get heldBytes(): number {
    return this.#bytes + this.#heldBelow
  }

  /** Bytes that may still be taken before the own cap. */
  get freeBytes(): number {
    return this.term.payloadBytesMax - this.#bytes
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Limits what this account and the accounts it owns may hold together: the share of one peer, for example. */
  setCeiling(bytes: number): void {
    this.#ceilingBytes = bytes
  }

  /**
   * Charges bytes and entries to this account, its owners and its pool, or to none of them.
   *
   * @returns `ok`, or what stood in the way. Allocates nothing.
   */
  take(bytes: number, entries = 0): Admission {
    return this.#charge(bytes, entries, this.#pressure() ?? this.#admit(bytes, entries))
  }

  /**
   * As `take`, for a container that gave back at least as much a moment before: nothing grows, so memory pressure
   * does not refuse it.
   */
  retake(bytes: number, entries = 0): Admission {
    return this.#charge(bytes, entries, this.#admit(bytes, entries))
  }

  /** Gives back what was taken. Below zero is an assertion: somebody gave back twice. */
  give(bytes: number, entries = 0): void {
    if (!(bytes >= 0 && entries >= 0 && this.#bytes >= bytes && this.#entries >= entries)) {
      throw new AssertionError(
        `${this.term.name}: gave back ${bytes} bytes and ${entries} entries of ${this.#bytes} and ${this.#entries}`,
      )
    }
    this.#apply(-bytes, -entries)
  }

  /** As `take`, for callers that cannot go on without it. @throws {WeirError} `LIMIT` naming the term. */
  require(bytes: number, entries = 0): void {
    const admission = this.take(bytes, entries)
    if (admission !== 'ok') throw limitError(this, admission, bytes)
  }

  /**
   * Hands a charge on with the bytes that it stands for. What both accounts share, a pool or an owner, pays for it
   * before and after and does not refuse it.
   */
  move(bytes: number, to: Account, entries = 0): Admission {
    const admission = to.#pressure() ?? to.#admit(bytes, entries, this)
    // Given back first, or a full pool would hold the bytes twice for a moment.
    if (admission === 'ok') this.give(bytes, entries)
    return to.#charge(bytes, entries, admission)
  }

  /** How many bytes must be given back, here or elsewhere, before this many fit; 0 when they do. */
  shortBytes(bytes: number): number {
    let short = Math.max(this.#bytes + bytes - this.term.payloadBytesMax, 0)
    for (let owner: Account | undefined = this; owner; owner = owner.owner) {
      short = Math.max(short, owner.heldBytes + bytes - owner.#ceilingBytes)
    }
    return Math.max(short, this.#state.poolShortBytes(bytes))
  }

  /** Opens an account of another term that this one owns; undefined when its `instancesMax` is reached. */
  open(term: Term, label = this.label): Account | undefined {
    assert(!this.#closed, `${this.term.name}: open after close`)
    return this.#state.ledger.open(term, { label, owner: this })
  }

  /** Counts exits for the ledger; containers call it. */
  exit(why: Exit, entries = 1): void {
    this.#state.exited(why, entries)
  }

  /** Counts a refusal that a container decided on by a cap of its own, such as values per key. */
  refuse(): 'cap' {
    this.#state.refused('cap')
    return 'cap'
  }

  /**
   * Closes the account. One that still holds something is a leak: with `WEIR_ASSERT` it throws, in production it is
   * counted, named and given back.
   */
  [Symbol.dispose](): void {
    if (this.#closed) return
    const left = { bytes: this.#bytes, entries: this.#entries }
    if (left.bytes > 0 || left.entries > 0) this.#apply(-left.bytes, -left.entries)
    this.#closed = true
    this.#state.release(this, this.#tableBytes)
    if (left.bytes > 0 || left.entries > 0) this.#state.leaked(this, left.bytes, left.entries)
  }

  #pressure(): 'pressure' | undefined {
    const shedAt = this.term.shedAt
    return shedAt !== 'never' && this.#state.ledger.pressure.level >= shedAt
      ? 'pressure'
      : undefined
  }

  #admit(bytes: number, entries: number, from?: Account): Admission {
    // Fractions would add up to a remainder that is never given back.
    if (
      !(Number.isSafeInteger(bytes) && bytes >= 0 && Number.isSafeInteger(entries) && entries >= 0)
    ) {
      throw new AssertionError(`${this.term.name}: took ${bytes} bytes and ${entries} entries`)
    }
    const term = this.term
    if (this.#entries + entries > term.entriesMax || this.#bytes + bytes > term.payloadBytesMax) {
      return 'cap'
    }
    for (let owner: Account | undefined = this; owner; owner = owner.owner) {
      if (owner.heldBytes + bytes <= owner.#ceilingBytes) continue
      if (!from || !isBelow(from, owner)) return 'owner'
    }
    const samePool = from !== undefined && from.#state.pool === this.#state.pool
    if (bytes > 0 && !samePool && this.#state.poolShortBytes(bytes) > 0) return 'pool'
    return 'ok'
  }

  #charge(bytes: number, entries: number, admission: Admission): Admission {
    if (this.#closed) throw new AssertionError(`${this.term.name}: take after close`)
    if (admission === 'ok') this.#apply(bytes, entries)
    else this.#state.refused(admission)
    return admission
  }

  #apply(bytes: number, entries: number): void {
    this.#bytes += bytes
    this.#entries += entries
    for (let owner = this.owner; owner; owner = owner.owner) owner.#heldBelow += bytes
    this.#state.changed(bytes, entries)
  }
}

function isBelow(account: Account, owner: Account): boolean {
  for (let at: Account | undefined = account; at; at = at.owner) if (at === owner) return true
  return false
}

/** The error for an admission that was refused, with what to do. */
export function limitError(account: Account, admission: Admission, wanted: number): WeirError {
  const term = account.term
  const reason = {
    ok: 'is not full',
    cap: 'is full',
    pool: `cannot get more of the pool ${term.pool?.name ?? ''}`,
    owner: 'has reached the ceiling of its owner',
    pressure: 'does not grow under memory pressure',
  }[admission]
  return new WeirError('LIMIT', `${term.name} ${reason} (${term.why})`, {
    retryable: true,
    limit: { scope: term.name, limit: term.payloadBytesMax, used: account.bytes, wanted },
  })
}
