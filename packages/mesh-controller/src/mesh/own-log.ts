/**
 * Writes the zone's own log: signs what was decided and gives it to sync, which keeps it in the store and offers it to
 * the peers. Strictly in order, one batch at a time.
 *
 * When the store has no room, a snapshot makes it: its begin carries the prune flag, and what was waiting before it is
 * left out, because the snapshot says it again; one that finds no room either is given up. Nothing else is dropped:
 * whoever produces changes waits for room, and acts in the turn in which it was there: one who acts later may find it
 * taken by another who waited too.
 *
 * Memory: the bodies in the queue, charged to `mesh.publish-queue`, and one signed batch of them.
 */
import { type Account, RingQueue } from 'weir-mesh/bounds'
import {
  buildHeader,
  encodeNodeExtensions,
  type Hash,
  type KeyPair,
  type LogId,
} from 'weir-mesh/core'
import {
  assert,
  type Heartbeat,
  onAbort,
  type Scope,
  throwIfAborted,
  WeirError,
} from 'weir-mesh/runtime'
import type { StoredOperation } from 'weir-mesh/store'
import type { Published } from 'weir-mesh/sync'
import { BODY_BYTES_MAX, CHUNK_BYTES_MAX } from './sizes.ts'

interface Pending {
  readonly seq: number
  readonly body: Uint8Array
  readonly prune: boolean
}

export interface OwnLogOptions {
  readonly scope: Scope
  readonly key: KeyPair
  readonly logId: LogId
  readonly queue: Account
  readonly heartbeat: Heartbeat
  /** Keeps an operation and offers it to the peers. */
  readonly publish: (operation: StoredOperation) => Promise<Published>
  /** The store is full: a snapshot would make room. */
  readonly onFull: () => void
  /** For tests: called before each batch. */
  readonly fault?: () => Promise<void> | void
}

const BATCH_OPERATIONS_MAX = 64
const BATCH_BYTES_MAX = 256 * 1024
/** What one event can produce: the chunk that was open, and the object itself. */
const ROOM_BYTES = 2 * BODY_BYTES_MAX + CHUNK_BYTES_MAX
const ROOM_OPERATIONS = 4
/** Kept free beside that, so that the begin of a snapshot always fits. */
const BEGIN_BYTES = 1024
/** What a store in memory keeps beside header and body. */
const STORED_BYTES = 92
const FULL_WAIT_MS = 50
/** So often a snapshot is refused before it is given up: other logs may be pruned meanwhile. */
const FULL_TRIES_MAX = 20

export class OwnLog implements AsyncDisposable {
  readonly #options: OwnLogOptions
  readonly #scope: Scope
  readonly #queue: RingQueue<Pending>
  #head: Hash | undefined
  #keptSeq = -1
  #writing = false
  #bytes = 0
  #failure: unknown
  #signed: readonly StoredOperation[] = Object.freeze([])
  #prunes = 0
  #givenUp = false
  #full = false
  /** Times in a row that nothing of a batch was taken. */
  #refusals = 0
  #waiting: (() => void) | undefined
  #roomPromise: Promise<void> | undefined

  constructor(options: OwnLogOptions) {
    this.#options = options
    this.#scope = options.scope.child('own-log')
    this.#queue = new RingQueue(options.queue, { bytesOf: (pending) => pending.body.length })
    this.#scope.defer('queue', () => this.#queue[Symbol.dispose]())
    // With the abort of the scope above: its tasks that wait for room are waited for before it is this scope's turn.
    for (const { signal } of [options.scope, this.#scope]) {
      const aborted = onAbort(signal, () => this.#wakeWaiting())
      this.#scope.defer('room', () => aborted[Symbol.dispose]())
    }
    options.heartbeat.idle()
  }

  /** Bytes that the log has taken since the last snapshot began, with headers and what the store adds. */
  get bytesSinceSnapshot(): number {
    return this.#bytes
  }

  get queued(): number {
    return this.#queue.size
  }

  /** Whether another event may be handled: what it can produce fits into the queue. */
  get hasRoom(): boolean {
    const { term, entries, freeBytes } = this.#options.queue
    const freeEntries = term.entriesMax - entries
    return freeBytes >= ROOM_BYTES + BEGIN_BYTES && freeEntries > ROOM_OPERATIONS
  }

  /**
   * Acts as soon as there is room, in the same turn.
   *
   * @throws {WeirError} `OWN_LOG_FAILED` when the log cannot be written any more, `CLOSED`, and what `act` throws.
   */
  inRoom(act: () => void): Promise<void> {
    return this.#until(() => this.hasRoom, act)
  }

  /**
   * As `inRoom`, for the parts of a snapshot.
   *
   * @throws {WeirError} `OWN_LOG_FULL` when the store has no room for it: only another snapshot can make some, of what
   *   there is by then. What waits here holds up the news of what was deleted.
   */
  inRoomOfSnapshot(act: () => void): Promise<void> {
    return this.#until(() => this.hasRoom || this.#refuseFull(), act)
  }

  /** Settles when the store has an operation that was queued, of a snapshot. @throws as `inRoomOfSnapshot`. */
  kept(seq: number): Promise<void> {
    return this.#until(
      () => this.#keptSeq >= seq || this.#refuseFull(),
      () => {},
    )
  }

  /** As `inRoom`, for the begin of a snapshot: it may enter a full queue, because it makes the room that is missing. */
  inRoomOfBegin(act: () => void): Promise<void> {
    return this.#until(() => this.#prunes === 0 || this.hasRoom, act)
  }

  #refuseFull(): false {
    if (this.#refusals < FULL_TRIES_MAX || this.#prunes > 0) return false
    throw new WeirError(
      'OWN_LOG_FULL',
      'the objects of this zone do not fit into the store beside those of the others: give this program more memory, or delete some',
      { retryable: true },
    )
  }

  async #until(there: () => boolean, act: () => void): Promise<void> {
    while (!there()) {
      if (this.#failure) throw this.#failure
      throwIfAborted(this.#options.scope.signal)
      throwIfAborted(this.#scope.signal)
      this.#roomPromise ??= new Promise((resolve) => {
        this.#waiting = resolve
      })
      await this.#roomPromise
    }
    act()
  }

  /**
   * The store has no room for what waits. Until the next begin nothing is queued: its snapshot says all of it, and the
   * news of what was deleted, which makes room, does not wait meanwhile.
   */
  giveUp(): void {
    this.#givenUp = this.#prunes === 0
  }

  /** Queues an operation; `hasRoom` was true before the event that led to it. */
  append(seq: number, body: Uint8Array, prune: boolean): void {
    if (prune) this.#givenUp = false
    else if (this.#givenUp) return
    const admission = this.#queue.push({ seq, body, prune })
    assert(admission === 'ok', `an operation was decided without room for it: ${admission}`)
    if (prune) this.#prunes++
    if (this.#writing || this.#failure) return
    this.#writing = true
    this.#scope.spawn('write', (signal) => this.#write(signal))
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #write(signal: AbortSignal): Promise<void> {
    const { heartbeat } = this.#options
    try {
      while (this.#queue.size > 0 && !signal.aborted) {
        heartbeat.beat()
        await this.#options.fault?.()
        await this.#writeBatch()
      }
      heartbeat.idle()
    } catch (error) {
      if (signal.aborted) return
      this.#failure = new WeirError('OWN_LOG_FAILED', 'the own log cannot be written', {
        cause: error,
      })
      heartbeat.stop('the own log cannot be written')
      this.#wakeWaiting()
      throw this.#failure
    } finally {
      this.#writing = false
    }
  }

  async #writeBatch(): Promise<void> {
    if (this.#full || this.#givenUp) this.#leaveOutSuperseded()
    if (this.#queue.size === 0) return
    if (this.#signed.length === 0) this.#signed = this.#sign()
    const batch = this.#signed
    const answers = await Promise.all(batch.map((operation) => this.#options.publish(operation)))
    let kept = 0
    while (kept < batch.length && answers[kept] === 'kept') this.#written(batch[kept++]!)
    this.#signed = batch.slice(kept)
    this.#refusals = kept === 0 && answers[0] === 'full' ? this.#refusals + 1 : 0
    if (this.hasRoom || kept > 0 || this.#refusals === FULL_TRIES_MAX) this.#wakeWaiting()
    this.#full = kept < batch.length
    if (!this.#full) return
    this.#checkRefusal(answers[kept]!, batch[kept]!)
    // `busy` is room that comes back by itself; `full` is not.
    if (answers[kept] === 'full') this.#options.onFull()
    await this.#scope.sleep(FULL_WAIT_MS)
  }

  #written(operation: StoredOperation): void {
    const pending = this.#shift()
    assert(pending?.seq === operation.seq, 'the own log lost its order')
    const bytes = pending.body.length + operation.header.length + STORED_BYTES
    this.#bytes = pending.prune ? bytes : this.#bytes + bytes
    this.#head = operation.id
    this.#keptSeq = operation.seq
  }

  #shift(): Pending | undefined {
    const pending = this.#queue.shift()
    if (pending?.prune) this.#prunes--
    return pending
  }

  /** A snapshot that begins in the queue says all that waits before it once more. */
  #leaveOutSuperseded(): void {
    if (this.#prunes === 0 && !this.#givenUp) return
    while (this.#queue.size > 0 && !this.#queue.peek()!.prune) this.#shift()
    this.#signed = Object.freeze([])
    this.#full = false
    this.#wakeWaiting()
  }

  /** Anything but room means that somebody else writes this log: two processes with one key. */
  #checkRefusal(answer: Published, operation: StoredOperation): void {
    if (answer === 'full' || answer === 'busy' || answer === 'failed') return
    throw new WeirError(
      'LOG_FORKED',
      `the own operation ${operation.seq} was answered '${answer}'; is another process running with the same key?`,
    )
  }

  #sign(): StoredOperation[] {
    const { key, logId } = this.#options
    const timestampMicros = this.#scope.clock.wallMs() * 1000
    const batch: StoredOperation[] = []
    let backlink = this.#head
    let bytes = 0
    for (const { seq, body, prune } of this.#queue) {
      if (
        batch.length >= BATCH_OPERATIONS_MAX ||
        (bytes > 0 && bytes + body.length > BATCH_BYTES_MAX)
      )
        break
      const extensions = encodeNodeExtensions({ logId, timestampMicros, prune })
      const header = buildHeader(key, {
        seq,
        backlink: seq > 0 ? backlink : undefined,
        body,
        extensions,
      })
      batch.push({
        id: header.id,
        author: key.id,
        logId,
        seq,
        backlink: seq > 0 ? backlink : undefined,
        header: header.bytes,
        body,
        payloadSize: body.length,
        prune,
      })
      backlink = header.id
      bytes += body.length
    }
    return batch
  }

  #wakeWaiting(): void {
    const wake = this.#waiting
    this.#waiting = this.#roomPromise = undefined
    wake?.()
  }
}
