/**
 * Writes the log of this node on a topic, one operation after the other.
 *
 * p2panda accepts sequence number 0 only for an empty log: a node that has lost its head and begins anew forks itself
 * and is refused by everyone. So it writes only when the head is known: from a store that outlives the process, for a
 * key that never wrote, or after the own operations were fetched from a peer.
 *
 * Memory: one entry of `topics.publishes` per waiting call, with its body.
 */
import { type Account, limitError } from '../bounds/index.ts'
import { buildHeader, encodeNodeExtensions, type KeyPair, type LogId } from '../core/index.ts'
import { type Clock, WeirError } from '../runtime/index.ts'
import type { LogStore, StoredOperation } from '../store/index.ts'

/** Header and what stands around an operation in a frame of sync. */
const SPARE_BYTES = 4 * 1024

export interface OwnLogOptions {
  readonly key: KeyPair
  readonly logId: LogId
  readonly store: LogStore
  readonly clock: Clock
  /** Of `topics.publishes`; shared by all topics and closed by whoever opened it. */
  readonly account: Account
  readonly operationBytesMax: number
  /** The head is known although the store does not outlive the process: the key has never written here. */
  readonly fresh: boolean
  publish(operation: StoredOperation): Promise<void>
}

export interface PublishOptions {
  /** Everything before this operation in the own log may go. */
  readonly prune?: boolean
}

export class OwnLog {
  readonly #options: OwnLogOptions
  #known: boolean
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: OwnLogOptions) {
    this.#options = options
    this.#known = options.fresh || options.store.durable
  }

  get headKnown(): boolean {
    return this.#known
  }

  /** All that a peer had of the topic was kept. If it had our log, the head is known now. */
  async synced(): Promise<void> {
    if (this.#known) return
    const { key, logId, store } = this.#options
    if (await store.log({ author: key.id, logId })) this.#known = true
  }

  /**
   * Signs an operation and keeps it. Calls are served in their order.
   *
   * @throws {WeirError} `HEAD_UNKNOWN` (retryable), `BODY_TOO_LARGE`, `BODY_EMPTY`, `LIMIT` when too many calls wait, or
   *   what sync says. Nothing was written then, and the next call may follow.
   */
  async write(body: Uint8Array | undefined, options: PublishOptions): Promise<StoredOperation> {
    const { account, operationBytesMax } = this.#options
    if (!this.#known) throw headUnknown()
    const bytes = body?.length ?? 0
    const bytesMax = operationBytesMax - SPARE_BYTES
    if (bytes > bytesMax) {
      throw new WeirError('BODY_TOO_LARGE', `a body has at most ${bytesMax} bytes; split it`, {
        limit: { scope: 'topics.body', limit: bytesMax, used: 0, wanted: bytes },
      })
    }
    const admission = account.take(bytes, 1)
    if (admission !== 'ok') throw limitError(account, admission, bytes)
    const before = this.#last
    const written = before.then(() => this.#write(body, options))
    this.#last = written.catch(() => {})
    try {
      return await written
    } finally {
      account.give(bytes, 1)
    }
  }

  async #write(body: Uint8Array | undefined, options: PublishOptions): Promise<StoredOperation> {
    const { key, logId, store, clock } = this.#options
    const name = { author: key.id, logId }
    // Read each time: our own operations may also come back from a peer.
    const head = await store.log(name)
    const seq = head ? head.height + 1 : 0
    const prune = options.prune ?? false
    const header = buildHeader(key, {
      seq,
      backlink: head?.head,
      body,
      extensions: encodeNodeExtensions({
        logId,
        timestampMicros: clock.wallMs() * 1_000,
        prune,
      }),
    })
    const operation: StoredOperation = {
      ...name,
      id: header.id,
      seq,
      backlink: head?.head,
      header: header.bytes,
      body,
      payloadSize: header.payloadSize,
      prune,
    }
    await this.#options.publish(operation)
    return operation
  }
}

const headUnknown = (): WeirError =>
  new WeirError(
    'HEAD_UNKNOWN',
    'the last operation of this node on the topic is not known: use a store that outlives the process, or wait until a peer that has it was synced',
    { retryable: true },
  )
