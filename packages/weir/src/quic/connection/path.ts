/**
 * Where the peer is, and whether that was proved: an address that was not gets at most three times what came from it
 * (RFC 9000 section 8).
 *
 * Memory: two small records for each connection, the path in use and the one before.
 */
import type { Random } from '../../runtime/index.ts'

/** A socket address. */
export interface Remote {
  readonly host: string
  readonly port: number
}

export const sameRemote = (a: Remote, b: Remote): boolean => a.port === b.port && a.host === b.host

const AMPLIFICATION = 3

export class Path {
  readonly remote: Remote
  validated: boolean
  received = 0
  sent = 0
  /** What the peer has to send back from there. */
  readonly challenge: Uint8Array | undefined
  challengeDue: boolean
  /** When the proof must be there. */
  proveUntil = Number.POSITIVE_INFINITY

  constructor(remote: Remote, validated: boolean, challenge?: Uint8Array) {
    this.remote = remote
    this.validated = validated
    this.challenge = challenge
    this.challengeDue = challenge !== undefined
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
  #previous: Path | undefined
  readonly #random: Random
  /** How often the peer has moved. */
  moves = 0

  constructor(remote: Remote, validated: boolean, random: Random) {
    this.current = new Path(remote, validated)
    this.#random = random
  }

  /** The peer has moved: what it sends last comes from another address. */
  move(remote: Remote, bytes: number, proveUntil: number): void {
    const { current } = this
    this.moves++
    if (this.#previous && sameRemote(this.#previous.remote, remote)) {
      // Back where it was.
      this.#previous = current.validated ? current : undefined
      this.current = new Path(remote, true)
      return
    }
    if (current.validated) this.#previous = current
    this.current = new Path(remote, false, this.#random.bytes(8))
    this.current.received = bytes
    this.current.proveUntil = proveUntil
  }

  /** The answer to a challenge. */
  proved(data: Uint8Array): void {
    const { challenge } = this.current
    if (!challenge || this.current.validated) return
    for (let at = 0; at < 8; at++) if (challenge[at] !== data[at]) return
    this.current.validated = true
    this.current.challengeDue = false
    this.current.proveUntil = Number.POSITIVE_INFINITY
    this.#previous = undefined
  }

  /** No proof came in time: goes back, or says that there is no way. */
  expire(): boolean {
    if (!this.#previous) return false
    this.current = this.#previous
    this.#previous = undefined
    return true
  }
}
