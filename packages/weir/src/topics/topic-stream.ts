/**
 * The handle of a stream: publish, iterate, unsubscribe. Nothing in the indexes refers to it, so one that is forgotten
 * is collected, reported and cleaned up.
 */
import { idKey, type TopicId } from '../core/index.ts'
import { WeirError } from '../runtime/index.ts'
import type { StoredOperation } from '../store/index.ts'
import type { PublishOptions } from './own-log.ts'
import type { StreamEvent, StreamState } from './stream-state.ts'

/** What a handle needs of the streams it belongs to. */
export interface StreamHost {
  publish(
    topicKey: string,
    body: Uint8Array | undefined,
    options: PublishOptions,
  ): Promise<StoredOperation>
  headKnown(topicKey: string): boolean
  unsubscribe(id: number): Promise<void>
}

export class TopicStream implements AsyncIterable<StreamEvent>, AsyncDisposable {
  readonly topic: TopicId
  readonly #state: StreamState
  readonly #host: StreamHost

  /** @internal `TopicStreams.open` makes streams. */
  constructor(topic: TopicId, state: StreamState, host: StreamHost) {
    this.topic = topic
    this.#state = state
    this.#host = host
  }

  /** Never used again for another stream. */
  get id(): number {
    return this.#state.id
  }

  get closed(): boolean {
    return this.#state.closed
  }

  /** Operations that wait for the consumer. */
  get queued(): number {
    return this.#state.queued
  }

  /** Operations that the consumer never gets, with `slow: 'drop'`; gap events tell them. */
  get lost(): number {
    return this.#state.lost
  }

  /** Whether `publish` may write: see `HEAD_UNKNOWN`. */
  get headKnown(): boolean {
    return this.#host.headKnown(idKey(this.topic))
  }

  /**
   * Signs an operation with this body, keeps it in the store and sends it to the peers of the topic.
   *
   * @returns the operation, once the store has it.
   * @throws {WeirError} `HEAD_UNKNOWN`, `BODY_TOO_LARGE`, `BODY_EMPTY`, `LIMIT`, `STORE_FULL`, `STORE_FAILED`,
   *   `SYNC_BUSY`, `LOG_FORKED`, `CLOSED`. Nothing was written then.
   */
  publish(body: Uint8Array | undefined, options: PublishOptions = {}): Promise<StoredOperation> {
    this.#checkOpen()
    return this.#host.publish(this.#state.topicKey, body, options)
  }

  /**
   * The cursor of this stream moves on: this operation and all before it in its log do not come again after a restart.
   *
   * @throws {WeirError} `CURSOR_NONE` when the stream was opened without one; `LIMIT`, `STORE_FAILED`, `CLOSED`.
   */
  async ack(operation: StoredOperation): Promise<void> {
    this.#checkOpen()
    const { cursor } = this.#state
    if (!cursor) throw new WeirError('CURSOR_NONE', 'open the stream with `cursor` to acknowledge')
    await cursor.advance(operation, operation.seq)
  }

  /** One consumer at a time. Leaving the loop unsubscribes. */
  [Symbol.asyncIterator](): AsyncIterator<StreamEvent, undefined> {
    const leave = async (): Promise<IteratorResult<StreamEvent, undefined>> => {
      await this.unsubscribe()
      return { value: undefined, done: true }
    }
    return {
      next: () => this.#state.next(),
      return: leave,
      throw: async (error: unknown) => {
        await leave()
        throw error
      },
    }
  }

  /**
   * Leaves the topic: at once nothing more is delivered and no index knows the stream; the promise settles when the
   * sync of the topic has ended, if this was its last stream. Idempotent.
   */
  unsubscribe(): Promise<void> {
    return this.#host.unsubscribe(this.#state.id)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe()
  }

  #checkOpen(): void {
    if (this.closed) throw new WeirError('CLOSED', 'the stream was closed')
  }
}
