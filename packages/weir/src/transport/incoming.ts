/**
 * The undecided connections of an endpoint, for every backend.
 *
 * JavaScript has no drop, so each has a deadline at which it is refused; the finalizer of a forgotten handle only
 * reports. What waits with an incoming is given back at the moment it is decided, before the handshake goes on.
 *
 * Memory: at most the entries and bytes of `transport.incoming`; one timer each.
 */
import type { Account } from '../bounds/index.ts'
import { AssertionError, assert, type Scope, type Timer, WeirError } from '../runtime/index.ts'
import { TRACE_CHARS_MAX } from './memory.ts'
import type { Address, Connection, Incoming } from './transport.ts'

/** What a backend does when its incoming is decided. */
export interface Asked {
  readonly remote: Address
  readonly validated: boolean
  /** Bytes that wait with it, the first datagram for example. */
  readonly bytes: number
  accept(signal: AbortSignal | undefined): Promise<Connection>
  refuse(): void
  /** Absent when the backend cannot, or when the address is proved already. */
  readonly retry: (() => void) | undefined
  ignore(): void
}

type Decision = 'accepted' | 'refused' | 'retried' | 'ignored' | 'expired' | 'closed'

const HELP = Object.freeze({
  accepted: 'Incoming connections that were accepted.',
  refused: 'Incoming connections that were refused.',
  retried: 'Incoming connections whose peer was asked to prove its address.',
  ignored: 'Incoming connections that were forgotten without an answer.',
  expired: 'Incoming connections that nobody decided on before the deadline.',
  closed: 'Incoming connections that were undecided when the endpoint closed.',
  overflow: 'Incoming connections that were refused because too many were undecided.',
  dropped: 'Incoming handles that were collected undecided: a bug of the program.',
})

export interface IncomingQueueOptions {
  readonly scope: Scope
  /** An account of `transport.incoming`; the queue closes it. */
  readonly account: Account
  readonly deadlineMs: number
  /** Note where each was taken. */
  readonly traced: boolean
}

export class IncomingQueue implements AsyncIterable<Incoming>, Disposable {
  readonly #options: IncomingQueueOptions
  readonly #finalizers: FinalizationRegistry<Pending>
  readonly #asserted = process.env['WEIR_ASSERT'] === '1'
  #oldest: Pending | undefined
  #newest: Pending | undefined
  #consumer: { readonly deliver: () => void; readonly trace: string } | undefined
  #closed = false

  constructor(options: IncomingQueueOptions) {
    this.#options = options
    this.#finalizers = new FinalizationRegistry((pending) => this.#reportDropped(pending))
  }

  /** How many are undecided. */
  get size(): number {
    return this.#options.account.entries
  }

  get bytes(): number {
    return this.#options.account.bytes
  }

  /** @returns what stands for it until it is decided, or undefined when there is no room: the backend refuses it. */
  offer(asked: Asked): Pending | undefined {
    if (this.#closed) return undefined
    if (this.#options.account.take(asked.bytes, 1) !== 'ok') {
      this.#count('overflow')
      return undefined
    }
    const pending = new Pending(asked, this)
    pending.timer = this.#options.scope.timer('incoming', this.#options.deadlineMs, () =>
      this.#expire(pending),
    )
    pending.older = this.#newest
    if (this.#newest) this.#newest.newer = pending
    else this.#oldest = pending
    this.#newest = pending
    this.#check()
    this.#wake()
    return pending
  }

  /** More bytes wait with an undecided one. @returns whether there was room; the backend drops them when not. */
  grow(pending: Pending, bytes: number): boolean {
    if (pending.decided || this.#options.account.take(bytes) !== 'ok') return false
    pending.bytes += bytes
    this.#check()
    return true
  }

  /** @internal Takes it out and says so; false when it was decided before. */
  decide(pending: Pending, decision: Decision): boolean {
    if (pending.decided) return false
    pending.decided = true
    pending.timer?.cancel()
    if (pending.older) pending.older.newer = pending.newer
    else this.#oldest = pending.newer
    if (pending.newer) pending.newer.older = pending.older
    else this.#newest = pending.older
    pending.older = pending.newer = undefined
    this.#finalizers.unregister(pending)
    this.#options.account.give(pending.bytes, 1)
    this.#options.account.exit(decision === 'expired' ? 'expired' : 'removed')
    this.#count(decision)
    this.#check()
    return true
  }

  /** One consumer at a time; leaving the loop leaves the queue open, and what is undecided meets its deadline. */
  [Symbol.asyncIterator](): AsyncIterator<Incoming> {
    return {
      next: () => this.#next(),
      return: async () => {
        this.#consumer?.deliver()
        return { value: undefined, done: true }
      },
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    while (this.#oldest) {
      const pending = this.#oldest
      this.decide(pending, 'closed')
      pending.asked.refuse()
    }
    this.#options.account[Symbol.dispose]()
    this.#wake()
  }

  async #next(): Promise<IteratorResult<Incoming>> {
    assert(!this.#consumer, 'the incomings of an endpoint have one consumer')
    // Taken here, where the frame of the loop is still on the stack.
    const trace = this.#options.traced ? traceHere() : ''
    let pending = this.#unserved()
    if (!pending && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#consumer = { deliver: resolve, trace }
      })
      this.#consumer = undefined
      pending = this.#unserved()
    }
    if (!pending) return { value: undefined, done: true }
    pending.served = true
    pending.trace = trace
    const handle = new IncomingHandle(pending, this)
    this.#finalizers.register(handle, pending, pending)
    return { value: handle, done: false }
  }

  #unserved(): Pending | undefined {
    for (let each = this.#oldest; each; each = each.newer) if (!each.served) return each
    return undefined
  }

  #wake(): void {
    this.#consumer?.deliver()
  }

  #expire(pending: Pending): void {
    if (!this.decide(pending, 'expired')) return
    this.#options.scope.log.warn('an incoming connection was not decided in time and is refused', {
      remote: pending.asked.remote,
      taken: pending.served ? pending.trace || 'yes' : 'no: nobody iterates over incoming',
    })
    pending.asked.refuse()
  }

  #reportDropped(pending: Pending): void {
    if (pending.decided) return
    this.#count('dropped')
    this.#options.scope.log.warn(
      'an incoming connection was dropped undecided; its deadline ends it',
      {
        remote: pending.asked.remote,
        taken: pending.trace,
      },
    )
  }

  #count(what: keyof typeof HELP): void {
    this.#options.scope.counters.counter(`transport_incoming_${what}_total`, HELP[what]).add()
  }

  #check(): void {
    if (!this.#asserted) return
    let bytes = 0
    let entries = 0
    for (let each = this.#oldest; each; each = each.newer) {
      bytes += each.bytes
      entries++
    }
    const { account } = this.#options
    if (bytes !== account.bytes || entries !== account.entries) {
      throw new AssertionError(
        `${entries} incomings hold ${bytes} bytes, the account says ${account.entries} and ${account.bytes}`,
      )
    }
  }
}

/** An undecided incoming as the queue keeps it; the backend may let it grow. */
export class Pending {
  readonly asked: Asked
  readonly queue: IncomingQueue
  bytes: number
  decided = false
  served = false
  trace = ''
  timer: Timer | undefined
  older: Pending | undefined
  newer: Pending | undefined

  constructor(asked: Asked, queue: IncomingQueue) {
    this.asked = asked
    this.queue = queue
    this.bytes = asked.bytes
  }
}

/** What the program gets. The queue does not refer to it, so that a forgotten one can be collected and reported. */
class IncomingHandle implements Incoming {
  readonly #pending: Pending
  readonly #queue: IncomingQueue

  constructor(pending: Pending, queue: IncomingQueue) {
    this.#pending = pending
    this.#queue = queue
  }

  get remote(): Address {
    return this.#pending.asked.remote
  }

  get validated(): boolean {
    return this.#pending.asked.validated
  }

  get decided(): boolean {
    return this.#pending.decided
  }

  async accept(options: { readonly signal?: AbortSignal } = {}): Promise<Connection> {
    this.#decide('accepted')
    return this.#pending.asked.accept(options.signal)
  }

  refuse(): void {
    this.#decide('refused')
    this.#pending.asked.refuse()
  }

  retry(): boolean {
    if (this.#pending.decided) throw this.#late()
    const { retry } = this.#pending.asked
    if (!retry) return false
    this.#decide('retried')
    retry()
    return true
  }

  ignore(): void {
    this.#decide('ignored')
    this.#pending.asked.ignore()
  }

  [Symbol.dispose](): void {
    if (!this.#pending.decided) this.refuse()
  }

  #decide(decision: Decision): void {
    if (!this.#queue.decide(this.#pending, decision)) throw this.#late()
  }

  #late(): WeirError {
    return new WeirError(
      'INCOMING_DECIDED',
      'this incoming connection was decided before, or its deadline has passed',
    )
  }
}

function traceHere(): string {
  const stack = new Error('taken').stack ?? ''
  return stack
    .split('\n')
    .slice(1)
    .filter((line) => !/\/transport\/incoming\.[jt]s/.test(line))
    .map((line) => line.trim())
    .join(' ')
    .slice(0, TRACE_CHARS_MAX)
}
