/**
 * Writes the zone's own log: signs what was decided, keeps it in the store, hands it to sync. Strictly in order, one
 * batch at a time.
 *
 * When the store has no room, writing waits and asks for a snapshot, whose prune flag makes room. Nothing is dropped:
 * whoever produces changes asks `hasRoom` first and waits for `room`.
 *
 * Memory: the bodies in the queue, charged to `mesh.publish-queue`.
 */
import { type Account, RingQueue } from 'weir-mesh/bounds'
import {
  buildHeader,
  encodeNodeExtensions,
  type Hash,
  type KeyPair,
  type LogId,
  type TopicId,
} from 'weir-mesh/core'
import { assert, type Heartbeat, type Scope, WeirError } from 'weir-mesh/runtime'
import type { LogStore, StoredOperation } from 'weir-mesh/store'
import { BODY_BYTES_MAX, CHUNK_BYTES_MAX } from './protocol.ts'

interface Pending {
  readonly seq: number
  readonly body: Uint8Array
  readonly prune: boolean
}

export interface OwnLogOptions {
  readonly scope: Scope
  readonly key: KeyPair
  readonly topic: TopicId
  readonly logId: LogId
  readonly store: LogStore
  readonly queue: Account
  readonly heartbeat: Heartbeat
  /** Hands a stored operation to the peers. */
  readonly publish: (operation: StoredOperation) => void
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
const FULL_WAIT_MS = 200

export class OwnLog implements AsyncDisposable {
  readonly #options: OwnLogOptions
  readonly #scope: Scope
  readonly #queue: RingQueue<Pending>
  #head: Hash | undefined
  #writing = false
  #bytes = 0
  #failure: unknown
  #waiting: (() => void) | undefined
  #roomPromise: Promise<void> | undefined

  constructor(options: OwnLogOptions) {
    this.#options = options
    this.#scope = options.scope.child('own-log')
    this.#queue = new RingQueue(options.queue, { bytesOf: (pending) => pending.body.length })
    this.#scope.defer('queue', () => this.#queue[Symbol.dispose]())
    options.heartbeat.idle()
  }

  /** Bytes of bodies written since the last snapshot began. */
  get bytesSinceSnapshot(): number {
    return this.#bytes
  }

  get queued(): number {
    return this.#queue.size
  }

  /** Whether another event may be handled: what it can produce fits into the queue. */
  get hasRoom(): boolean {
    const { term, entries, freeBytes } = this.#options.queue
    return freeBytes >= ROOM_BYTES && term.entriesMax - entries >= ROOM_OPERATIONS
  }

  /** Settles when there is room again. @throws {WeirError} `OWN_LOG_FAILED` when the log cannot be written any more. */
  async room(): Promise<void> {
    while (!this.hasRoom) {
      if (this.#failure) throw this.#failure
      this.#roomPromise ??= new Promise((resolve) => {
        this.#waiting = resolve
      })
      await this.#roomPromise
    }
  }

  /** Queues an operation; `hasRoom` was true before the event that led to it. */
  append(seq: number, body: Uint8Array, prune: boolean): void {
    const admission = this.#queue.push({ seq, body, prune })
    assert(admission === 'ok', `an operation was decided without room for it: ${admission}`)
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
    const batch = this.#sign()
    const kept = await this.#store(batch)
    for (const operation of kept) {
      const pending = this.#queue.shift()
      assert(pending?.seq === operation.seq, 'the own log lost its order')
      this.#bytes = pending.prune ? pending.body.length : this.#bytes + pending.body.length
      this.#head = operation.id
      this.#options.publish(operation)
    }
    if (this.hasRoom) this.#wakeWaiting()
    if (kept.length === batch.length) return
    this.#options.onFull()
    await this.#scope.sleep(FULL_WAIT_MS)
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

  /** Keeps a batch; what did not fit stays in the queue and is signed again. */
  async #store(batch: readonly StoredOperation[]): Promise<StoredOperation[]> {
    const answers = await this.#options.store.append(this.#options.topic, batch)
    const kept: StoredOperation[] = []
    for (const [at, answer] of answers.entries()) {
      if (answer === 'full') break
      // Anything else means that somebody else writes this log: two processes with one key.
      if (answer !== 'kept') {
        throw new WeirError(
          'LOG_FORKED',
          `the store answered '${answer}' for our own operation ${batch[at]!.seq}; is another process running with the same key?`,
        )
      }
      kept.push(batch[at]!)
    }
    return kept
  }

  #wakeWaiting(): void {
    const wake = this.#waiting
    this.#waiting = this.#roomPromise = undefined
    wake?.()
  }
}
