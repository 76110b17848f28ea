/**
 * Holds operations that cannot be ingested yet: those ahead of their backlink, and live ones of an author whose
 * catch-up runs.
 *
 * An entry is keyed by topic and author. A lock is a disposable guard with a deadline. An entry dies with its last lock
 * and its last operation, so nothing is left of a topic or an author that went away (leak analysis, finding 2: the
 * counters of the reference stayed for ever). At a cap the newest operation is dropped, and its topic is told.
 *
 * Memory: the operations of `sync.held`, the entries of `sync.buffers`, the locks of `sync.locks`; lists, not arrays.
 */
import { type Account, BoundedMap } from '../bounds/index.ts'
import { idKey, type NodeId, type TopicId } from '../core/index.ts'
import { addMs, type Instant, NEVER } from '../runtime/index.ts'

/** What the buffer needs of an operation. */
export interface Holdable {
  /** Name of its log, as a key. */
  readonly logKey: string
  readonly seq: number
  /** Bytes that are charged for it. */
  readonly bytes: number
}

export interface GossipBufferOptions {
  /** Of the term `sync.held`; all three are closed with the buffer. */
  readonly held: Account
  /** Of the term `sync.buffers`. */
  readonly buffers: Account
  /** Of the term `sync.locks`. */
  readonly locks: Account
  /** How long an operation is held when no lock keeps it. */
  readonly holdMs: number
  /** Longest life of a lock. */
  readonly lockMs: number
  /** This operation was dropped: its topic must be synced again. Called after the state is settled. */
  onLost?(topic: TopicId, author: NodeId, why: 'full' | 'expired', operation: Holdable): void
  /** The last lock of an author ended, by its guard or by its deadline; its operations can be drained. */
  onUnlocked?(topic: TopicId, author: NodeId, why: 'released' | 'expired'): void
}

interface HeldNode<T> {
  readonly operation: T
  readonly bytes: number
  readonly expiresAt: Instant
  next: HeldNode<T> | undefined
}

interface Entry<T> {
  readonly key: string
  readonly topic: TopicId
  readonly author: NodeId
  locks: BufferLock | undefined
  /** Sorted by log and sequence number. */
  first: HeldNode<T> | undefined
}

/** Keeps the live operations of an author in the buffer until it is disposed or its deadline passes. */
export class BufferLock implements Disposable {
  readonly expiresAt: Instant
  readonly #release: (lock: BufferLock) => void
  /** @internal the next lock of the same entry */
  next: BufferLock | undefined

  /** @internal Made by `GossipBuffer.lock`. */
  constructor(expiresAt: Instant, release: (lock: BufferLock) => void) {
    this.expiresAt = expiresAt
    this.#release = release
  }

  /** Ends the lock; once it has ended, by whatever, this does nothing. */
  [Symbol.dispose](): void {
    this.#release(this)
  }
}

export class GossipBuffer<T extends Holdable> implements Disposable {
  readonly #options: GossipBufferOptions
  readonly #held: Account
  readonly #locks: Account
  readonly #entries: BoundedMap<string, Entry<T>>
  #nextSweep: Instant = NEVER
  #closed = false

  constructor(options: GossipBufferOptions) {
    this.#options = options
    this.#held = options.held
    this.#locks = options.locks
    this.#entries = new BoundedMap(options.buffers)
  }

  /** Authors with a lock or an operation. */
  get entries(): number {
    return this.#entries.size
  }

  /** Operations that are held. */
  get size(): number {
    return this.#held.entries
  }

  get bytes(): number {
    return this.#held.bytes
  }

  get locks(): number {
    return this.#locks.entries
  }

  /** When `sweep` is wanted at the latest. */
  get sweepAt(): Instant {
    return this.#nextSweep
  }

  /** @returns undefined when there is no room for a lock: the caller goes on without one. */
  lock(topic: TopicId, author: NodeId, now: Instant): BufferLock | undefined {
    const entry = this.#entry(topic, author)
    if (!entry) return undefined
    if (this.#locks.take(0, 1) !== 'ok') {
      this.#settle(entry)
      return undefined
    }
    const lock = new BufferLock(addMs(now, this.#options.lockMs), (ended) => {
      if (this.#unlock(entry, ended)) this.#unlocked(entry, 'released')
    })
    lock.next = entry.locks
    entry.locks = lock
    this.#sweepBy(lock.expiresAt)
    return lock
  }

  locked(topic: TopicId, author: NodeId): boolean {
    return this.#entries.peek(bufferKey(topic, author))?.locks !== undefined
  }

  /** Holds an operation. `held`; `duplicate` when its place is taken; `dropped` when there is no room. */
  hold(
    topic: TopicId,
    author: NodeId,
    operation: T,
    now: Instant,
  ): 'held' | 'duplicate' | 'dropped' {
    const entry = this.#entry(topic, author)
    if (!entry) {
      this.#options.onLost?.(topic, author, 'full', operation)
      return 'dropped'
    }
    let before: HeldNode<T> | undefined
    let after = entry.first
    while (after && compare(after.operation, operation) < 0) {
      before = after
      after = after.next
    }
    if (after && compare(after.operation, operation) === 0) return 'duplicate'
    const { bytes } = operation
    if (this.#held.take(bytes, 1) !== 'ok') {
      this.#held.exit('evicted')
      this.#settle(entry)
      this.#options.onLost?.(topic, author, 'full', operation)
      return 'dropped'
    }
    const expiresAt = addMs(now, this.#options.holdMs)
    const node: HeldNode<T> = { operation, bytes, expiresAt, next: after }
    if (before) before.next = node
    else entry.first = node
    this.#sweepBy(expiresAt)
    return 'held'
  }

  /** Takes the operation at this place of a log, if it is held. */
  take(topic: TopicId, author: NodeId, logKey: string, seq: number): T | undefined {
    const entry = this.#entries.peek(bufferKey(topic, author))
    if (!entry) return undefined
    let before: HeldNode<T> | undefined
    for (let node = entry.first; node; before = node, node = node.next) {
      if (node.operation.seq !== seq || node.operation.logKey !== logKey) continue
      this.#remove(entry, before, node, 'removed')
      this.#settle(entry)
      return node.operation
    }
    return undefined
  }

  /** Takes all operations of an author, sorted by log and sequence number. With no lock left, the entry is gone. */
  *drain(topic: TopicId, author: NodeId): IterableIterator<T> {
    const entry = this.#entries.peek(bufferKey(topic, author))
    while (entry?.first) {
      const node = entry.first
      this.#remove(entry, undefined, node, 'removed')
      this.#settle(entry)
      yield node.operation
    }
  }

  /** Ends overdue locks, and drops operations that waited too long without one. @returns how many of both. */
  sweep(now: Instant): number {
    let ended = 0
    this.#nextSweep = NEVER
    for (const entry of this.#entries.values()) {
      const wasLocked = entry.locks !== undefined
      for (let lock = entry.locks; lock; lock = lock.next) {
        if (lock.expiresAt > now) this.#sweepBy(lock.expiresAt)
        else if (this.#unlock(entry, lock)) ended++
        else ended++
      }
      if (wasLocked && !entry.locks) this.#unlocked(entry, 'expired')
      if (!entry.locks) ended += this.#expire(entry, now)
      else if (entry.first) this.#sweepBy(entry.locks.expiresAt)
    }
    return ended
  }

  /** Forgets a topic: its locks and its operations. */
  forget(topic: TopicId): void {
    const key = idKey(topic)
    for (const entry of this.#entries.values()) if (entry.key.startsWith(key)) this.#clear(entry)
  }

  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    for (const entry of this.#entries.values()) this.#clear(entry)
    this.#entries[Symbol.dispose]()
    this.#held[Symbol.dispose]()
    this.#locks[Symbol.dispose]()
  }

  #entry(topic: TopicId, author: NodeId): Entry<T> | undefined {
    const key = bufferKey(topic, author)
    const present = this.#entries.peek(key)
    if (present) return present
    const entry: Entry<T> = { key, topic, author, locks: undefined, first: undefined }
    return this.#entries.set(key, entry) === 'ok' ? entry : undefined
  }

  /** An entry lives as long as it has a lock or an operation. */
  #settle(entry: Entry<T>): void {
    if (!entry.locks && !entry.first) this.#entries.delete(entry.key)
  }

  /** Takes a lock out. @returns whether it was the last one of its entry. */
  #unlock(entry: Entry<T>, lock: BufferLock): boolean {
    let before: BufferLock | undefined
    for (let each = entry.locks; each; before = each, each = each.next) {
      if (each !== lock) continue
      if (before) before.next = each.next
      else entry.locks = each.next
      this.#locks.give(0, 1)
      this.#settle(entry)
      return !entry.locks
    }
    return false
  }

  #unlocked(entry: Entry<T>, why: 'released' | 'expired'): void {
    this.#options.onUnlocked?.(entry.topic, entry.author, why)
  }

  #expire(entry: Entry<T>, now: Instant): number {
    let ended = 0
    let before: HeldNode<T> | undefined
    for (let node = entry.first; node; node = node.next) {
      if (node.expiresAt > now) {
        this.#sweepBy(node.expiresAt)
        before = node
        continue
      }
      this.#remove(entry, before, node, 'expired')
      ended++
      this.#options.onLost?.(entry.topic, entry.author, 'expired', node.operation)
    }
    this.#settle(entry)
    return ended
  }

  #remove(
    entry: Entry<T>,
    before: HeldNode<T> | undefined,
    node: HeldNode<T>,
    why: 'removed' | 'expired' | 'closed',
  ): void {
    if (before) before.next = node.next
    else entry.first = node.next
    this.#held.give(node.bytes, 1)
    this.#held.exit(why)
  }

  #clear(entry: Entry<T>): void {
    while (entry.first) this.#remove(entry, undefined, entry.first, 'closed')
    while (entry.locks) this.#unlock(entry, entry.locks)
    this.#settle(entry)
  }

  #sweepBy(at: Instant): void {
    if (at < this.#nextSweep) this.#nextSweep = at
  }
}

const bufferKey = (topic: TopicId, author: NodeId): string => idKey(topic) + idKey(author)

function compare(left: Holdable, right: Holdable): number {
  if (left.logKey !== right.logKey) return left.logKey < right.logKey ? -1 : 1
  return left.seq - right.seq
}
