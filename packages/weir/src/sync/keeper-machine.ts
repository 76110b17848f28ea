/**
 * Keeps a session with each wanted peer: dials when there is none, with a growing delay after failures.
 *
 * Memory: one entry of `sync.targets` per wanted peer.
 */
import { type Account, BoundedMap } from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import { idKey, type NodeId } from '../core/index.ts'
import { type Instant, NEVER, type Ticket } from '../machine/index.ts'
import { Backoff, msBetween, type Random } from '../runtime/index.ts'
import type { Shared } from './shared.ts'

/** How often a peer is dialled that is wanted for one re-sync only. */
const ONCE_ATTEMPTS_MAX = 3

/** A session that is lost sooner after it was live may be lost for what it is for: the next one comes later, not at once. */
const WORKED_MS = 5_000

interface Target {
  readonly peer: NodeId
  readonly backoff: Backoff
  dialling: Ticket | undefined
  nextAt: Instant
  /** When a session came to live mode, while there is one. */
  workedAt: Instant | undefined
  /** Only until one session has begun, and not for ever. */
  once: boolean
}

export class KeeperMachine implements Disposable {
  readonly #shared: Shared
  readonly #random: Random
  readonly #targets: BoundedMap<string, Target>
  readonly #served: (peer: NodeId) => boolean
  #nextAt: Instant = NEVER

  /**
   * @param account Of the term `sync.targets`; closed with the machine.
   * @param served Whether there is a session with a peer.
   */
  constructor(shared: Shared, account: Account, random: Random, served: (peer: NodeId) => boolean) {
    this.#shared = shared
    this.#random = random
    this.#targets = new BoundedMap(account)
    this.#served = served
  }

  get size(): number {
    return this.#targets.size
  }

  get wakeAt(): Instant {
    return this.#nextAt
  }

  wants(peer: NodeId): boolean {
    return this.#targets.has(idKey(peer))
  }

  /** @returns whether there was room. */
  want(peer: NodeId, once = false): boolean {
    const key = idKey(peer)
    const present = this.#targets.peek(key)
    if (present) {
      if (!once) present.once = false
      return true
    }
    const { retryFirstMs, retryMostMs } = this.#shared.limits
    const target: Target = {
      peer: copyBytes(peer) as NodeId,
      backoff: new Backoff(this.#random, { firstMs: retryFirstMs, mostMs: retryMostMs }),
      dialling: undefined,
      nextAt: this.#shared.now,
      workedAt: undefined,
      once,
    }
    if (this.#targets.set(key, target) !== 'ok') return false
    this.#due(target.nextAt)
    return true
  }

  unwant(peer: NodeId): void {
    this.#targets.delete(idKey(peer))
  }

  /** A session with the peer has begun. */
  begun(peer: NodeId): void {
    const target = this.#targets.peek(idKey(peer))
    if (!target) return
    target.dialling = undefined
    if (target.once) this.unwant(peer)
  }

  /** A session with the peer is in live mode. */
  worked(peer: NodeId): void {
    const target = this.#targets.peek(idKey(peer))
    if (target) target.workedAt ??= this.#shared.now
  }

  /**
   * The last session with the peer has ended. The next failure is a first one if it has worked: a store that is full
   * often refuses when the session is live already.
   *
   * @param orderly Nothing failed.
   */
  ended(peer: NodeId, orderly: boolean): void {
    const target = this.#targets.peek(idKey(peer))
    if (!target) return
    const { workedAt } = target
    target.workedAt = undefined
    if (workedAt !== undefined) {
      if (orderly || msBetween(workedAt, this.#shared.now) >= WORKED_MS) target.backoff.reset()
    }
    if (!target.dialling) this.#later(target)
  }

  /** @returns whether the ticket was of a dial that is still wanted. */
  failed(ticket: Ticket, code: string): boolean {
    for (const target of this.#targets.values()) {
      if (target.dialling !== ticket) continue
      target.dialling = undefined
      this.#shared.counters.retries.add()
      const retryMs = this.#later(target)
      this.#shared.fx.report({ type: 'dial-failed', peer: target.peer, code, retryMs })
      if (target.once && target.backoff.failures >= ONCE_ATTEMPTS_MAX) this.unwant(target.peer)
      return true
    }
    return false
  }

  /** Dials whom it is time to dial. */
  step(): void {
    const { now, tickets, fx } = this.#shared
    if (now < this.#nextAt) return
    this.#nextAt = NEVER
    for (const target of this.#targets.values()) {
      if (target.dialling || this.#served(target.peer)) continue
      if (target.nextAt > now) {
        this.#due(target.nextAt)
        continue
      }
      target.dialling = tickets.next()
      fx.dial(target.dialling, target.peer)
    }
    this.#shared.arm(this.#nextAt)
  }

  [Symbol.dispose](): void {
    this.#targets[Symbol.dispose]()
  }

  #later(target: Target): number {
    const delayMs = target.backoff.next()
    target.nextAt = this.#shared.after(delayMs)
    this.#due(target.nextAt)
    return delayMs
  }

  #due(at: Instant): void {
    if (at < this.#nextAt) this.#nextAt = at
    this.#shared.arm(at)
  }
}
