/**
 * What an endpoint does with a datagram before a connection has it: finds the connection by its id, keeps the first
 * datagrams of who is not decided on, and answers the rest without keeping anything.
 *
 * One connection for one first destination id, whatever addresses its Initials come from: iroh sends them from all it
 * has. Retry, refusal and reset hold nothing.
 *
 * Memory: routes (`quic.routes`), first ids of clients (`quic.initials`), last packets (`quic.farewells`), reset tokens of
 * peers (`quic.reset-tokens`).
 */
import { type Account, BoundedMap, TokenBucket } from '../../bounds/index.ts'
import { copyBytes } from '../../codec/index.ts'
import type { Clock, Instant, Random } from '../../runtime/index.ts'
import type { IssuedId } from '../connection/connection-ids.ts'
import type { Remote } from '../connection/path.ts'
import { ErrorCode } from '../packet/errors.ts'
import { CID_BYTES, PacketHead, readHead, VERSION_1 } from '../packet/header.ts'
import { Cursor } from '../packet/varint.ts'
import type { QuicSecurity } from '../security.ts'
import { Farewells } from './farewells.ts'
import { ResetTokens } from './reset-tokens.ts'
import {
  isWholeInitial,
  RESET_TRIGGER_BYTES_MIN,
  resetToken,
  writeNegotiation,
  writeRefusal,
  writeReset,
  writeRetry,
} from './stateless.ts'
import { Tokens } from './tokens.ts'

const INITIAL_DATAGRAM_BYTES_MAX = 2_048
/** RFC 9000 section 10.3: the header, some random bits and the token. */
const RESET_BYTES_MIN = 21

/** Who takes the datagrams of a connection. */
export interface Target {
  receive(bytes: Uint8Array, remote: Remote): void
  /** Whether the datagram is a stateless reset of this connection; it ends it when it is. */
  takeReset(bytes: Uint8Array, remote: Remote): boolean
}

interface Waiting {
  readonly bytes: Uint8Array
  readonly remote: Remote
  next: Waiting | undefined
}

/** An Initial of somebody unknown, until it is decided on. */
export class Candidate {
  readonly key: string
  readonly remote: Remote
  /** The destination of its Initials. */
  readonly destination: Uint8Array
  readonly peerId: Uint8Array
  /** The first destination, before a Retry. */
  readonly originalDestination: Uint8Array
  readonly validated: boolean
  /** What has come, oldest first. */
  waiting: Waiting | undefined
  waitingBytes = 0
  waitingCount = 0
  /** What the shell keeps with it. */
  handle: unknown

  constructor(
    key: string,
    remote: Remote,
    destination: Uint8Array,
    peerId: Uint8Array,
    originalDestination: Uint8Array | undefined,
  ) {
    this.key = key
    this.remote = remote
    this.destination = destination
    this.peerId = peerId
    this.validated = originalDestination !== undefined
    this.originalDestination = originalDestination ?? destination
  }

  keep(bytes: Uint8Array, remote: Remote): void {
    const waiting: Waiting = { bytes: copyBytes(bytes), remote, next: undefined }
    if (!this.waiting) this.waiting = waiting
    else {
      let last = this.waiting
      while (last.next) last = last.next
      last.next = waiting
    }
    this.waitingBytes += bytes.length
    this.waitingCount++
  }

  forget(): void {
    this.waiting = undefined
  }
}

export interface EndpointEffects {
  /** The first `length` bytes of the buffer are a datagram. */
  send(bytes: Uint8Array, length: number, remote: Remote): void
  /** Somebody asks. @returns whether there is a place; it is refused when not. */
  candidate(candidate: Candidate): boolean
  /** Whether so many are undecided or not known yet that further ones have to prove their address first. */
  crowded(): boolean
  /** One more datagram of an undecided one. @returns whether there is room for it. */
  more(candidate: Candidate, bytes: number): boolean
}

export interface EndpointMachineOptions {
  readonly security: QuicSecurity
  readonly random: Random
  readonly clock: Clock
  /** Secrets of this endpoint; the first survives restarts, so that old connections can be reset. */
  readonly resetKey: Uint8Array
  readonly tokenKey: Uint8Array
  readonly buffer: Uint8Array
  readonly incomingDatagramsMax: number
  readonly accounts: {
    readonly routes: Account
    readonly initials: Account
    readonly farewells: Account
    readonly resetTokens: Account
  }
}

export class EndpointMachine implements Disposable {
  readonly #options: EndpointMachineOptions
  readonly #routes: BoundedMap<number, Target>
  readonly #initials: BoundedMap<string, Candidate | Target>
  readonly #farewells: Farewells
  readonly #tokens: Tokens
  readonly #resetTokens: ResetTokens<Target>
  /** The last two bytes of all ids of this endpoint. */
  readonly #tag: Uint8Array
  readonly #resets: TokenBucket
  readonly #refusals: TokenBucket
  readonly #retries: TokenBucket
  readonly head = new PacketHead()
  readonly #cursor = new Cursor()

  constructor(options: EndpointMachineOptions) {
    this.#options = options
    this.#routes = new BoundedMap(options.accounts.routes)
    this.#initials = new BoundedMap(options.accounts.initials)
    this.#farewells = new Farewells(options.accounts.farewells)
    this.#tokens = new Tokens(options.tokenKey)
    this.#resetTokens = new ResetTokens(options.accounts.resetTokens, options.random.bytes(32))
    this.#tag = options.random.bytes(2)
    this.#resets = new TokenBucket(options.clock, { burst: 16, perSecond: 50 })
    this.#refusals = new TokenBucket(options.clock, { burst: 128, perSecond: 200 })
    this.#retries = new TokenBucket(options.clock, { burst: 256, perSecond: 2_000 })
  }

  /** An id that leads to a connection; undefined when there is no place for one more. */
  issue(target: Target): IssuedId | undefined {
    const bytes = this.#options.random.bytes(CID_BYTES)
    bytes.set(this.#tag, CID_BYTES - 2)
    const key = idKey(bytes, 0)
    if (this.#routes.has(key) || this.#routes.set(key, target) !== 'ok') return undefined
    return { bytes, token: resetToken(this.#options.resetKey, bytes) }
  }

  retire(bytes: Uint8Array): void {
    this.#routes.delete(idKey(bytes, 0))
  }

  receive(bytes: Uint8Array, remote: Remote, now: Instant, effects: EndpointEffects): void {
    const cursor = this.#cursor.reset(bytes)
    const { head } = this
    const first = bytes[0]!
    if (!readHead(cursor, head)) {
      if (bytes.length > CID_BYTES && (first & 0x80) === 0)
        this.#unknown(bytes, remote, now, effects)
      return
    }
    if (head.destinationLength === CID_BYTES) {
      const target = this.#routes.peek(idKey(bytes, head.destinationAt))
      if (target) return target.receive(bytes, remote)
    }
    if (head.type === 'short') return this.#unknown(bytes, remote, now, effects)
    if (head.version !== VERSION_1) return this.#negotiate(bytes, remote, effects)
    if (head.type !== 'initial') return
    this.#initial(bytes, remote, now, effects)
  }

  /**
   * The connection of a candidate is made: its further Initials lead there, for as long as it lives. One that comes late,
   * over another of the addresses that its client dialled, would else ask for a second connection.
   */
  accepted(candidate: Candidate, target: Target): void {
    this.#initials.delete(candidate.key)
    candidate.forget()
    this.#initials.set(candidate.key, target)
  }

  /** Nothing more is known of a candidate. */
  forget(candidate: Candidate): void {
    this.#initials.delete(candidate.key)
    candidate.forget()
  }

  /** The connection of a candidate is over. */
  forgetInitials(key: string): void {
    this.#initials.delete(key)
  }

  refuse(candidate: Candidate, effects: EndpointEffects): void {
    this.forget(candidate)
    const { destination, peerId, remote } = candidate
    this.#refuse(destination, peerId, remote, ErrorCode.refused, effects)
  }

  retry(candidate: Candidate, effects: EndpointEffects): void {
    this.forget(candidate)
    this.#retry(candidate, effects)
  }

  /**
   * A connection is over; packets that still come are answered with its last one.
   *
   * @param initialKey of the client's first id, when we were dialled.
   */
  farewell(
    ids: Iterable<Uint8Array>,
    initialKey: string | undefined,
    packet: Uint8Array | undefined,
    until: number,
  ): void {
    const keys = function* () {
      for (const id of ids) yield idKey(id, 0)
      if (initialKey !== undefined) yield idKey(Buffer.from(initialKey, 'latin1'), 0)
    }
    this.#farewells.add(keys(), packet, until)
  }

  /** The peer of a connection resets it with this token, in Latin-1. */
  expectReset(token: string, target: Target): void {
    this.#resetTokens.add(token, target)
  }

  forgetReset(token: string, target: Target): void {
    this.#resetTokens.delete(token, target)
  }

  [Symbol.dispose](): void {
    this.#routes[Symbol.dispose]()
    this.#resetTokens[Symbol.dispose]()
    this.#initials[Symbol.dispose]()
    this.#farewells[Symbol.dispose]()
  }

  #initial(bytes: Uint8Array, remote: Remote, now: Instant, effects: EndpointEffects): void {
    const { head } = this
    // Shorter ones are a cheap way to make us answer (RFC 9000 section 14.1).
    if (!isWholeInitial(bytes.length)) return
    // No client needs longer ones, and a few of 64 KiB would take the bytes of all who are undecided.
    if (bytes.length > INITIAL_DATAGRAM_BYTES_MAX || head.destinationLength < 8) return
    const { destinationAt, sourceAt, tokenAt } = head
    const destination = copyBytes(bytes, destinationAt, destinationAt + head.destinationLength)
    const key = textKey(destination)
    const known = this.#initials.peek(key)
    if (known instanceof Candidate) {
      const room = known.waitingCount < this.#options.incomingDatagramsMax
      if (room && effects.more(known, bytes.length)) known.keep(bytes, remote)
      return
    }
    if (known) return known.receive(bytes, remote)
    // Of a connection that is over already; its last packet is for those who know its ids.
    if (this.#farewells.answer(idKey(destination, 0), now)) return
    const peerId = copyBytes(bytes, sourceAt, sourceAt + head.sourceLength)
    const token = bytes.subarray(tokenAt, tokenAt + head.tokenLength)
    const wallMs = this.#options.clock.wallMs()
    const read = this.#tokens.read(token, destination, remote, wallMs)
    if (read === 'expired') {
      return this.#refuse(destination, peerId, remote, ErrorCode.invalidToken, effects)
    }
    const candidate = new Candidate(key, remote, destination, peerId, read)
    if (!candidate.validated && effects.crowded()) {
      if (this.#retries.take()) this.#retry(candidate, effects)
      return
    }
    if (this.#initials.set(key, candidate) !== 'ok') {
      return this.#refuse(destination, peerId, remote, ErrorCode.refused, effects)
    }
    candidate.keep(bytes, remote)
    if (!effects.candidate(candidate)) this.refuse(candidate, effects)
  }

  #retry(candidate: Candidate, effects: EndpointEffects): void {
    const { security, random, buffer, clock } = this.#options
    const { destination, peerId, remote } = candidate
    const source = random.bytes(CID_BYTES)
    const token = this.#tokens.make(destination, source, remote, clock.wallMs())
    const tag = (original: Uint8Array, packet: Uint8Array) => security.retryTag(original, packet)
    const length = writeRetry(buffer, tag, destination, peerId, source, token)
    effects.send(buffer, length, remote)
  }

  #refuse(
    destination: Uint8Array,
    peerId: Uint8Array,
    remote: Remote,
    code: number,
    effects: EndpointEffects,
  ): void {
    // Each costs two keys: in a flood most are left to their timeout.
    if (!this.#refusals.take()) return
    const { security, random, buffer } = this.#options
    const source = random.bytes(CID_BYTES)
    const length = writeRefusal(buffer, security, destination, peerId, source, code)
    effects.send(buffer, length, remote)
  }

  #negotiate(bytes: Uint8Array, remote: Remote, effects: EndpointEffects): void {
    const { head } = this
    if (head.version === 0 || !isWholeInitial(bytes.length) || !this.#resets.take()) return
    const { buffer, random } = this.#options
    const destination = copyBytes(
      bytes,
      head.destinationAt,
      head.destinationAt + head.destinationLength,
    )
    const source = copyBytes(bytes, head.sourceAt, head.sourceAt + head.sourceLength)
    if (destination.length > 20 || source.length > 20) return
    const length = writeNegotiation(buffer, source, destination, random)
    effects.send(buffer, length, remote)
  }

  /** A short header that leads nowhere: a reset of ours by the peer, the rest of a connection that is over, or noise. */
  #unknown(bytes: Uint8Array, remote: Remote, now: Instant, effects: EndpointEffects): void {
    const { buffer, random, resetKey } = this.#options
    const id = copyBytes(bytes, 1, 1 + CID_BYTES)
    const last = this.#farewells.answer(idKey(id, 0), now)
    if (last) {
      if (last.length === 0) return
      buffer.set(last)
      return effects.send(buffer, last.length, remote)
    }
    if (bytes.length >= RESET_BYTES_MIN) {
      if (this.#resetTokens.find(bytes)?.takeReset(bytes, remote)) return
    }
    if (bytes.length < RESET_TRIGGER_BYTES_MIN || !this.#resets.take()) return
    const length = writeReset(buffer, resetToken(resetKey, id), bytes.length, random)
    effects.send(buffer, length, remote)
  }
}

/** The first six bytes of an id of ours as a number. */
export function idKey(bytes: Uint8Array, at: number): number {
  const high = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
  const low = (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!
  return high * 0x100_0000 + low
}

const textKey = (id: Uint8Array): string => Buffer.from(id).toString('latin1')
