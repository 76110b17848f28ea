/**
 * Connection ids of both sides (RFC 9000 section 5.1): those that we gave to the peer, and those that it gave to us.
 *
 * Memory: at most `LOCAL_IDS_MAX` and `REMOTE_IDS_MAX` small records. One of ours and `REMOTE_IDS_MIN` of the peer's, the
 * `RETIRED_MAX` numbers that are to be retired and the `SEEN_RANGES_MAX` ranges of numbers that have come are part of the
 * cost of a connection; further ids are charged, the peer's when they are advertised. Routes to us and reset tokens are
 * charged by the endpoint.
 */
import type { Account } from '../../bounds/index.ts'
import { asBuffer, copyBytes, equalBytes } from '../../codec/index.ts'
import { ErrorCode, type Violation, violation } from '../packet/errors.ts'
import { RangeSet } from '../recovery/range-set.ts'

export const LOCAL_IDS_MAX = 2
/** What we tell the peer as active_connection_id_limit, and what we must take in any case (RFC 9000 section 18.2). */
export const REMOTE_IDS_MAX = 4
export const REMOTE_IDS_MIN = 2
/** Ids of a connection that are charged, at most. */
export const EXTRA_IDS_MAX = LOCAL_IDS_MAX - 1 + REMOTE_IDS_MAX - REMOTE_IDS_MIN
const RETIRED_MAX = 8
const SEEN_RANGES_MAX = 8

export interface IssuedId {
  readonly bytes: Uint8Array
  readonly token: Uint8Array
}

/** Makes ids that lead to a connection, and forgets them. */
export interface IdRouter {
  /** Undefined when there is no place for one more. */
  issue(): IssuedId | undefined
  retire(bytes: Uint8Array): void
  /** A datagram that ends in this token, in Latin-1, is a reset of this connection from now on. */
  expectReset(token: string): void
  forgetReset(token: string): void
}

interface LocalId {
  readonly sequence: number
  readonly bytes: Uint8Array
  /** In Latin-1, because an array of 16 bytes costs 240. */
  readonly token: string
  due: boolean
  next: LocalId | undefined
}

export class LocalIds {
  readonly #router: IdRouter
  readonly #account: Account
  #head: LocalId | undefined
  #count = 0
  #nextSequence = 0
  /** The last one that the peer was told of. */
  #toldSequence = 0

  /** @param first the id that the handshake uses; the router knows it. */
  constructor(router: IdRouter, account: Account, first: IssuedId) {
    this.#router = router
    this.#account = account
    this.#add(first, false)
  }

  /** The peer takes up to `limit` ids. It has one less while there is no room for one more. */
  fill(limit: number): void {
    const wanted = Math.min(limit, LOCAL_IDS_MAX)
    while (this.#count < wanted) {
      const extra = this.#count > 0
      if (extra && this.#account.take(0, 1) !== 'ok') return
      const issued = this.#router.issue()
      if (!issued) {
        if (extra) this.#account.give(0, 1)
        return
      }
      this.#add(issued, true)
    }
  }

  /** One that the peer must be told of. */
  due(): LocalId | undefined {
    for (let id = this.#head; id; id = id.next) if (id.due) return id
    return undefined
  }

  /** The peer is told of it. */
  told(id: LocalId): void {
    id.due = false
    if (id.sequence > this.#toldSequence) this.#toldSequence = id.sequence
  }

  lost(sequence: number): void {
    for (let id = this.#head; id; id = id.next) if (id.sequence === sequence) id.due = true
  }

  retire(sequence: number, limit: number): Violation | undefined {
    // Each that is retired makes a new one: without this a single packet would retire any number of them.
    if (sequence > this.#toldSequence) {
      return violation(ErrorCode.protocolViolation, 'retires a connection id that we never gave')
    }
    let before: LocalId | undefined
    for (let id = this.#head; id; before = id, id = id.next) {
      if (id.sequence !== sequence) continue
      if (before) before.next = id.next
      else this.#head = id.next
      this.#count--
      if (this.#count > 0) this.#account.give(0, 1)
      this.#router.retire(id.bytes)
      this.fill(limit)
      return undefined
    }
    return undefined
  }

  *ids(): IterableIterator<Uint8Array> {
    for (let id = this.#head; id; id = id.next) yield id.bytes
  }

  /** The connection is over. */
  end(): void {
    for (let id = this.#head; id; id = id.next) this.#router.retire(id.bytes)
    if (this.#count > 1) this.#account.give(0, this.#count - 1)
    this.#head = undefined
    this.#count = 0
  }

  #add(issued: IssuedId, due: boolean): void {
    const { bytes } = issued
    const token = latin1(issued.token)
    this.#head = { bytes, token, sequence: this.#nextSequence++, due, next: this.#head }
    this.#count++
  }
}

interface RemoteId {
  readonly sequence: number
  readonly bytes: Uint8Array
  /** In Latin-1. */
  token: string | undefined
  next: RemoteId | undefined
}

interface Retired {
  readonly sequence: number
  due: boolean
  next: Retired | undefined
}

export class RemoteIds {
  readonly #router: IdRouter
  readonly #account: Account
  /** How many ids the peer may give us, itself told so. */
  readonly limit: number
  current: RemoteId
  #spares: RemoteId | undefined
  #count = 1
  #retirePrior = 0
  #retired: Retired | undefined
  #retiredCount = 0
  /** Numbers that have come: one that is repeated after we have retired its id brings nothing back. */
  readonly #seen = new RangeSet(SEEN_RANGES_MAX)

  constructor(router: IdRouter, account: Account, first: Uint8Array) {
    this.#router = router
    this.#account = account
    // What is advertised must be had.
    const extra = account.take(0, REMOTE_IDS_MAX - REMOTE_IDS_MIN) === 'ok'
    this.limit = extra ? REMOTE_IDS_MAX : REMOTE_IDS_MIN
    this.current = { sequence: 0, bytes: copyBytes(first), token: undefined, next: undefined }
    this.#seen.add(0, 1)
  }

  /** The token of a server's first id. */
  setToken(token: Uint8Array): void {
    this.#forgetReset()
    this.current.token = latin1(token)
    this.#router.expectReset(this.current.token)
  }

  /** The connection is over. */
  end(): void {
    this.#forgetReset()
    this.current.token = undefined
    this.#account.give(0, this.limit - REMOTE_IDS_MIN)
    this.#spares = this.#retired = undefined
  }

  /** A server's preferred address is not used: the id that comes with it, which has number 1, is retired. */
  refusePreferred(): void {
    this.#seen.add(1, 2)
    this.#retire(1)
  }

  /** The first id is known only with the first answer of a server. */
  setFirst(bytes: Uint8Array): void {
    this.current = { sequence: 0, bytes: copyBytes(bytes), token: undefined, next: undefined }
  }

  add(
    sequence: number,
    retirePrior: number,
    id: Uint8Array,
    token: Uint8Array,
  ): Violation | undefined {
    if (this.current.bytes.length === 0) {
      return violation(ErrorCode.protocolViolation, 'a connection id beside an empty one')
    }
    const text = latin1(token)
    const fault = this.#conflict(sequence, id, text)
    if (fault) return fault
    this.#retirePrior = Math.max(this.#retirePrior, retirePrior)
    if (!this.#seen.has(sequence)) {
      // So many gaps that two ranges become one: the ids between are never used, which is the peer's own loss.
      this.#seen.addCovering(sequence, sequence + 1)
      if (sequence < this.#retirePrior) {
        if (!this.#retire(sequence)) return tooManyRetired()
      } else {
        const bytes = copyBytes(id)
        this.#spares = { sequence, bytes, token: text, next: this.#spares }
        this.#count++
      }
    }
    while (this.current.sequence < this.#retirePrior) if (!this.switch()) return tooManyRetired()
    let before: RemoteId | undefined
    for (let spare = this.#spares; spare; spare = spare.next) {
      if (spare.sequence >= this.#retirePrior) {
        before = spare
        continue
      }
      if (before) before.next = spare.next
      else this.#spares = spare.next
      this.#count--
      if (!this.#retire(spare.sequence)) return tooManyRetired()
    }
    return this.#count > this.limit
      ? violation(ErrorCode.connectionIdLimit, 'more connection ids than we take')
      : undefined
  }

  /** Uses another id from now on and retires the last one. @returns false when there is none. */
  switch(): boolean {
    const spare = this.#spares
    if (!spare || !this.#retire(this.current.sequence)) return false
    this.#spares = spare.next
    this.#count--
    this.#forgetReset()
    this.current = spare
    if (spare.token !== undefined) this.#router.expectReset(spare.token)
    return true
  }

  /** The number of an id that the peer must be told is retired, -1 for none. */
  get retireDue(): number {
    for (let each = this.#retired; each; each = each.next) if (each.due) return each.sequence
    return -1
  }

  retireSent(sequence: number): void {
    this.#setDue(sequence, false)
  }

  retireLost(sequence: number): void {
    this.#setDue(sequence, true)
  }

  retireAcked(sequence: number): void {
    let before: Retired | undefined
    for (let each = this.#retired; each; before = each, each = each.next) {
      if (each.sequence !== sequence) continue
      if (before) before.next = each.next
      else this.#retired = each.next
      this.#retiredCount--
      return
    }
  }

  /**
   * Whether the datagram that ends at `end` ends in the peer's reset token of the id in use. Those of ids that are not
   * used yet, or no more, are none (RFC 9000 section 10.3.1).
   */
  isReset(bytes: Uint8Array, end: number): boolean {
    const { token } = this.current
    if (token === undefined || end < 16) return false
    let difference = 0
    for (let at = 0; at < 16; at++) difference |= token.charCodeAt(at) ^ bytes[end - 16 + at]!
    return difference === 0
  }

  #forgetReset(): void {
    if (this.current.token !== undefined) this.#router.forgetReset(this.current.token)
  }

  /** A number has one id and one token, and an id one number (RFC 9000 section 19.15). */
  #conflict(sequence: number, id: Uint8Array, token: string): Violation | undefined {
    for (let each: RemoteId | undefined = this.current; each; each = this.#after(each)) {
      const sameId = equalBytes(each.bytes, id)
      if ((each.sequence === sequence) !== sameId) {
        return violation(ErrorCode.protocolViolation, 'two connection ids of one number')
      }
      if (sameId && each.token !== undefined && each.token !== token) {
        return violation(ErrorCode.protocolViolation, 'two reset tokens of one connection id')
      }
    }
    return undefined
  }

  #after(each: RemoteId): RemoteId | undefined {
    return each === this.current ? this.#spares : each.next
  }

  #retire(sequence: number): boolean {
    for (let each = this.#retired; each; each = each.next)
      if (each.sequence === sequence) return true
    if (this.#retiredCount >= RETIRED_MAX) return false
    this.#retired = { sequence, due: true, next: this.#retired }
    this.#retiredCount++
    return true
  }

  #setDue(sequence: number, due: boolean): void {
    for (let each = this.#retired; each; each = each.next) {
      if (each.sequence === sequence) each.due = due
    }
  }
}

const tooManyRetired = () =>
  violation(ErrorCode.connectionIdLimit, 'more connection ids are retired than we remember')

const latin1 = (bytes: Uint8Array): string => asBuffer(bytes).toString('latin1')
