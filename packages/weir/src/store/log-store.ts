/**
 * What every store of append-only logs offers. A log is (author, log id); operations enter in ascending order of their
 * sequence number, already verified: a store checks room and order, never signatures.
 *
 * Calls are coarse (a batch, a page), so that a store in another thread costs one message each.
 */
import type { Hash, LogId, NodeId, TopicId } from '../core/index.ts'

export interface LogName {
  readonly author: NodeId
  readonly logId: LogId
}

/** An operation as it is kept: the received header bytes, and the body unless it was deleted. */
export interface StoredOperation {
  readonly id: Hash
  readonly author: NodeId
  readonly logId: LogId
  readonly seq: number
  readonly backlink: Hash | undefined
  readonly header: Uint8Array
  readonly body: Uint8Array | undefined
  /** What the header claims; the body may be gone. */
  readonly payloadSize: number
  /** Everything before this operation may be forgotten once it is kept. */
  readonly prune: boolean
}

/** How far a log goes and what of it is still here. */
export interface LogState extends LogName {
  /** Highest sequence number ever kept, including what was evicted since: what we tell peers that we have. */
  readonly height: number
  /** Id of the operation at `height`. */
  readonly head: Hash
  /** Lowest sequence number that can still be read; height + 1 when nothing can. */
  readonly from: number
  readonly operations: number
  readonly bytes: number
}

/**
 * What became of an operation.
 *
 * - `kept`
 * - `duplicate`: it is here, or it was and is pruned or evicted
 * - `gap`: operations between our head and this one are missing; send them first
 * - `fork`: another operation of this author stands at this sequence number or at its backlink; never kept, and asking
 *   again does not help
 * - `full`: no room now. The rest of this log in the batch answers `full` as well, for it would only be a gap
 */
export type Appended = 'kept' | 'duplicate' | 'gap' | 'fork' | 'full'

/** Operations of a page may share one buffer: who keeps one of them copies it. */
export interface Page {
  readonly operations: readonly StoredOperation[]
  /** Whether the range ends with this page. */
  readonly last: boolean
}

/**
 * Every call may fail with `CLOSED`, with `STORE_FAILED` when the medium fails, and with `LIMIT` when too many calls wait
 * for each other: the last two say whether to try again (`retryable`).
 */
export interface LogStore extends AsyncDisposable {
  /** Whether what was kept is still there after a restart: only then is the own head known at start. */
  readonly durable: boolean
  /**
   * Keeps operations of one topic in the given order, all in one transaction, and associates the logs of what was kept
   * with the topic. A prune flag removes what is before it in the same step, only when its sequence number is above
   * the height; it then needs neither backlink nor predecessor. Header and body are copied.
   *
   * @returns one answer per operation; nothing throws for what a peer sent.
   * @throws {WeirError} `STORE_FAILED` when the medium fails: then nothing of the batch was kept.
   */
  append(topic: TopicId, batch: readonly StoredOperation[]): Promise<Appended[]>
  /** The logs of a topic, sorted by author, then log id. */
  logs(topic: TopicId): Promise<LogState[]>
  log(name: LogName): Promise<LogState | undefined>
  /** Operations with `from` <= seq <= `until`, ascending, until `bytesMax` of headers and bodies (at least one). */
  read(name: LogName, from: number, until: number, bytesMax: number): Promise<Page>
  /** Sums over a range, without reading it: for PreSync. */
  measure(
    name: LogName,
    from: number,
    until: number,
  ): Promise<{ operations: number; bytes: number }>
  /** Removes operations with seq < `before`; height and head stay. @returns how many went. */
  prune(name: LogName, before: number): Promise<number>
  /** Removes the log, its frontier and its associations. @returns whether there was one. */
  deleteLog(name: LogName): Promise<boolean>
  /** A log that is never evicted: the one this node writes. */
  pin(name: LogName): void
  unpin(name: LogName): void
  /** A small value of the owner's: an incarnation, a cursor. */
  meta(key: string): Promise<Uint8Array | undefined>
  /** Sets a small value, or removes it with undefined. @throws {WeirError} `LIMIT` at the cap, `STORE_FAILED`. */
  setMeta(key: string, value: Uint8Array | undefined): Promise<void>
  /** Periodic clean-up: expiry, warnings. The caller's scope owns the timer. @returns how many operations went. */
  sweep(): Promise<number>
  close(): Promise<void>
}
