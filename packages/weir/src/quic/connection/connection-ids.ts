/**
 * Connection ids of both sides (RFC 9000 section 5.1): those that we gave to the peer, and those that it gave to us.
 *
 * Memory: at most `LOCAL_IDS_MAX` and `REMOTE_IDS_MAX` small records, `RETIRED_MAX` numbers that are to be retired, and
 * `SEEN_RANGES_MAX` ranges of numbers that have come; all of it part of the cost of a connection. The routes to us are
 * charged by the endpoint.
 */
import { copyBytes, equalBytes } from '../../codec/index.ts'
import { ErrorCode, type Violation, violation } from '../packet/errors.ts'
import { RangeSet } from '../recovery/range-set.ts'

export const LOCAL_IDS_MAX = 2
/** What we tell the peer as active_connection_id_limit. */
export const REMOTE_IDS_MAX = 4
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
}

interface LocalId extends IssuedId {
  readonly sequence: number
  due: boolean
  next: LocalId | undefined
}

export class LocalIds {
  readonly #router: IdRouter
  #head: LocalId | undefined
  #count = 0
  #nextSequence = 0
  /** The last one that the peer was told of. */
  #toldSequence = 0

  /** @param first the id that the handshake uses; the router knows it. */
  constructor(router: IdRouter, first: IssuedId) {
    this.#router = router
    this.#add(first, false)
  }

  /** The peer takes up to `limit` ids. */
  fill(limit: number): void {
    const wanted = Math.min(limit, LOCAL_IDS_MAX)
    while (this.#count < wanted) {
      const issued = this.#router.issue()
      if (!issued) return
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
    this.#head = undefined
    this.#count = 0
  }

  #add(issued: IssuedId, due: boolean): void {
    const { bytes, token } = issued
    this.#head = { bytes, token, sequence: this.#nextSequence++, due, next: this.#head }
    this.#count++
  }
}

interface RemoteId {
  readonly sequence: number
  readonly bytes: Uint8Array
  token: Uint8Array | undefined
  next: RemoteId | undefined
}

interface Retired {
  readonly sequence: number
  due: boolean
  next: Retired | undefined
}

export class RemoteIds {
  current: RemoteId
  #spares: RemoteId | undefined
  #count = 1
  #retirePrior = 0
  #retired: Retired | undefined
  #retiredCount = 0
  /** Numbers that have come: one that is repeated after we have retired its id brings nothing back. */
  readonly #seen = new RangeSet(SEEN_RANGES_MAX)

  constructor(first: Uint8Array) {
    this.current = { sequence: 0, bytes: copyBytes(first), token: undefined, next: undefined }
    this.#seen.add(0, 1)
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
    const fault = this.#conflict(sequence, id, token)
    if (fault) return fault
    this.#retirePrior = Math.max(this.#retirePrior, retirePrior)
    if (!this.#seen.has(sequence)) {
      // So many gaps that two ranges become one: the ids between are never used, which is the peer's own loss.
      this.#seen.addCovering(sequence, sequence + 1)
      if (sequence < this.#retirePrior) {
        if (!this.#retire(sequence)) return tooManyRetired()
      } else {
        const bytes = copyBytes(id)
        this.#spares = { sequence, bytes, token: copyBytes(token), next: this.#spares }
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
    return this.#count > REMOTE_IDS_MAX
      ? violation(ErrorCode.connectionIdLimit, 'more connection ids than we take')
      : undefined
  }

  /** Uses another id from now on and retires the last one. @returns false when there is none. */
  switch(): boolean {
    const spare = this.#spares
    if (!spare || !this.#retire(this.current.sequence)) return false
    this.#spares = spare.next
    this.#count--
    this.current = spare
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

  /** Whether the datagram that ends at `end` ends in a reset token of the peer. */
  isReset(bytes: Uint8Array, end: number): boolean {
    if (isToken(this.current.token, bytes, end)) return true
    for (let spare = this.#spares; spare; spare = spare.next) {
      if (isToken(spare.token, bytes, end)) return true
    }
    return false
  }

  /** A number has one id and one token, and an id one number (RFC 9000 section 19.15). */
  #conflict(sequence: number, id: Uint8Array, token: Uint8Array): Violation | undefined {
    for (let each: RemoteId | undefined = this.current; each; each = this.#after(each)) {
      const sameId = equalBytes(each.bytes, id)
      if ((each.sequence === sequence) !== sameId) {
        return violation(ErrorCode.protocolViolation, 'two connection ids of one number')
      }
      if (sameId && each.token && !equalBytes(each.token, token)) {
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

function isToken(token: Uint8Array | undefined, bytes: Uint8Array, end: number): boolean {
  if (!token || end < 16) return false
  let difference = 0
  for (let at = 0; at < 16; at++) difference |= token[at]! ^ bytes[end - 16 + at]!
  return difference === 0
}
