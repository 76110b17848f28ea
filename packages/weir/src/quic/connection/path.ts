/**
 * Where the peer is, and whether that was proved: an address that was not gets at most three times what came from it
 * (RFC 9000 section 8). A peer that turns up elsewhere is asked to prove it there, and where it was (section 9.3.3).
 *
 * Memory: two small records for each connection, the path in use and the one before.
 */
import { copyBytes, equalBytes } from '../../codec/index.ts'
import type { Random } from '../../runtime/index.ts'

/** A socket address. */
export interface Remote {
  readonly host: string
  readonly port: number
}

export const sameRemote = (a: Remote, b: Remote): boolean => a.port === b.port && a.host === b.host

export const AMPLIFICATION = 3

export class Path {
  readonly remote: Remote
  validated: boolean
  received = 0
  sent = 0
  /** What the peer has to send back from there. */
  challenge: Uint8Array | undefined
  challengeDue = false
  /** When the challenge is sent again. */
  challengeAt = Number.POSITIVE_INFINITY
  /** When the proof must be there. */
  proveUntil = Number.POSITIVE_INFINITY
  /** It is not asked again before, or a peer that moves with each packet would be answered by a large one each time. */
  askAgainAt = 0
  /** The id of ours that the peer used there. */
  localId: Uint8Array | undefined

  constructor(remote: Remote, validated: boolean) {
    this.remote = remote
    this.validated = validated
  }

  ask(random: Random): void {
    this.challenge = random.bytes(8)
    this.challengeDue = true
  }

  /** How many bytes may be sent there now. */
  get allowance(): number {
    return this.validated
      ? Number.POSITIVE_INFINITY
      : Math.max(AMPLIFICATION * this.received - this.sent, 0)
  }
}

export class Paths {
  current: Path
  /** The last one that was proved, while the current one is not. */
  previous: Path | undefined
  readonly #random: Random
  /** How often the peer has moved. */
  moves = 0

  constructor(remote: Remote, validated: boolean, random: Random) {
    this.current = new Path(remote, validated)
    this.#random = random
  }

  /** Whether the peer used another id of ours before: it moves on purpose and is not merely behind a NAT. */
  usesOtherId(localId: Uint8Array): boolean {
    const before = this.current.localId
    return before !== undefined && !equalBytes(before, localId)
  }

  /** The peer has moved: what it sends last comes from another address. */
  move(remote: Remote, bytes: number, now: number, proveUntil: number, localId: Uint8Array): void {
    const { current, previous } = this
    this.moves++
    if (previous && sameRemote(previous.remote, remote)) {
      // Back where it was.
      this.current = previous
      this.previous = undefined
      return
    }
    if (current.validated) {
      this.previous = current
      if (now >= current.askAgainAt) {
        current.ask(this.#random)
        current.askAgainAt = proveUntil
      }
    }
    this.current = new Path(remote, false)
    this.current.ask(this.#random)
    this.current.received = bytes
    this.current.proveUntil = proveUntil
    this.current.localId = copyBytes(localId)
  }

  /**
   * The answer to a challenge.
   *
   * @returns whether the address was proved by it and is another host than before.
   */
  proved(data: Uint8Array): boolean {
    const { current, previous } = this
    if (!current.challenge || current.validated || !equalBytes(current.challenge, data))
      return false
    current.validated = true
    current.challengeDue = false
    current.challengeAt = current.proveUntil = Number.POSITIVE_INFINITY
    this.previous = undefined
    return previous === undefined || previous.remote.host !== current.remote.host
  }

  /** No proof came in time: goes back, or says that there is no way. */
  expire(): boolean {
    if (!this.previous) return false
    this.current = this.previous
    this.previous = undefined
    return true
  }
}
