/**
 * Hears the topic of connections that others dial, and hands each to whoever has that topic open.
 *
 * A topic that nobody has is answered as upstream does: the handshake goes through, then the connection is closed with
 * code 0 and no reason, so that a stranger cannot tell an unknown topic from an end.
 *
 * Memory: one entry of `sync.handshakes` per connection that has not yet said its topic, each within its time.
 */
import type { Account, Ledger } from '../bounds/index.ts'
import type { TopicId } from '../core/index.ts'
import { describeError, isWeirError, type Scope, WeirError } from '../runtime/index.ts'
import type { Connection } from '../transport/index.ts'
import { acceptTopic } from './handshake.ts'
import type { SyncLimits } from './limits.ts'
import type { SyncTerms } from './memory.ts'

export interface SyncAcceptorOptions {
  readonly ledger: Ledger
  readonly terms: SyncTerms
  readonly limits: SyncLimits
  readonly scope: Scope
  /** Who takes the connections of a topic; undefined when nobody has it open. */
  find(topic: TopicId, connection: Connection): { accept(connection: Connection): void } | undefined
}

export class SyncAcceptor implements AsyncDisposable {
  readonly #options: SyncAcceptorOptions
  readonly #scope: Scope
  readonly #account: Account

  constructor(options: SyncAcceptorOptions) {
    this.#options = options
    this.#account = options.ledger.require(options.terms.handshakes)
    this.#scope = options.scope.child('sync acceptor')
    this.#scope.defer('account', () => this.#account[Symbol.dispose]())
  }

  /** Connections that have not yet said their topic. */
  get pending(): number {
    return this.#account.entries
  }

  /** Takes a connection over; what becomes of it is logged. One too many is closed at once. */
  accept(connection: Connection): void {
    if (this.#scope.closed || this.#account.take(0, 1) !== 'ok') {
      connection.close(0, '')
      return
    }
    this.#scope.spawn('handshake', (signal) => this.#handshake(connection, signal))
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #handshake(connection: Connection, signal: AbortSignal): Promise<void> {
    const { limits, find } = this.#options
    try {
      const topic = await acceptTopic(connection, {
        clock: this.#scope.clock,
        signal,
        timeoutMs: limits.handshakeMs,
      })
      const taker = find(topic, connection)
      if (!taker) {
        connection.close(0, '')
        throw new WeirError('TOPIC_UNKNOWN', 'nobody here takes part in the topic')
      }
      taker.accept(connection)
    } catch (error) {
      connection.close(0, '')
      if (!isWeirError(error)) throw error
      this.#scope.counters
        .counter('sync_handshakes_failed_total', 'Connections that got no session.')
        .add()
      this.#scope.log.debug('no session', { error: describeError(error) })
    } finally {
      this.#account.give(0, 1)
    }
  }
}
