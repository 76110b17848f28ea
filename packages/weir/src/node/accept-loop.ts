/**
 * Decides every incoming connection of an endpoint, and gives the accepted ones to whoever serves their protocol.
 *
 * Rules: an incoming is always decided; no peer waits for the handshake of another; who a peer is, is known only after
 * its handshake, so the policy is asked then, and one that is refused is closed before it can say a word.
 *
 * Memory: handshakes and peers up to the caps of `acceptTerms`, when they are given; else only the endpoint's own caps
 * hold, on connections and undecided incomings.
 */
import { type Account, BoundedMap, type Ledger, TokenBucket } from '../bounds/index.ts'
import { equalBytes } from '../codec/index.ts'
import { idKey, type NodeId, shortId } from '../core/index.ts'
import {
  describeError,
  type Heartbeat,
  isWeirError,
  onAbort,
  type Scope,
  TaskGroup,
} from '../runtime/index.ts'
import type { Connection, Endpoint, Incoming, Protocol } from '../transport/index.ts'
import type { AcceptTerms } from './memory.ts'

export interface ProtocolHandler {
  readonly protocol: Protocol
  /** Takes the connection over and closes it in the end. A throw closes it at once. */
  accept(connection: Connection): void
}

export interface AcceptCaps {
  readonly ledger: Ledger
  readonly terms: AcceptTerms
  /** Accepted connections that one peer may have at once. Default 4. */
  readonly perPeerMax?: number
}

export interface AcceptLoopOptions {
  /** Owns the loop; its log and counters are used. */
  readonly scope: Scope
  readonly endpoint: Endpoint
  readonly handlers: readonly ProtocolHandler[]
  /** Asked once per connection, with the proved key of the peer. It must not throw. */
  policy(node: NodeId): 'accept' | 'refuse'
  readonly caps?: AcceptCaps
  /** Idle while nobody dials; stopped when the loop ends although it should run. */
  readonly heartbeat?: Heartbeat
}

/** With which a peer that is not permitted is closed. */
export const REFUSED_CLOSE_CODE = 20
const HANDSHAKES_MAX = 16
const PER_PEER_MAX = 4
/** Lines about refused peers; the counters have all of them. */
const LOG_RATE = Object.freeze({ perSecond: 0.2, burst: 10 })

export class AcceptLoop implements AsyncDisposable {
  readonly #options: AcceptLoopOptions
  readonly #scope: Scope
  readonly #handshakes: TaskGroup
  readonly #peers: BoundedMap<string, number> | undefined
  readonly #perPeerMax: number
  readonly #lines: TokenBucket

  constructor(options: AcceptLoopOptions) {
    const { caps } = options
    this.#options = options
    this.#scope = options.scope.child('accept')
    this.#perPeerMax = caps?.perPeerMax ?? PER_PEER_MAX
    this.#lines = new TokenBucket(this.#scope.clock, LOG_RATE)
    if (caps) {
      this.#peers = this.#scope.own('peers', new BoundedMap(caps.ledger.require(caps.terms.peers)))
    }
    const handshakes = caps && this.#scope.own('room', caps.ledger.require(caps.terms.handshakes))
    this.#handshakes = new TaskGroup(this.#scope, 'handshakes', {
      tasksMax: handshakes?.term.entriesMax ?? HANDSHAKES_MAX,
    })
    this.#scope.spawn('loop', (signal) => this.#loop(signal, handshakes))
  }

  /** Accepted connections of a peer that are open; always 0 without caps. */
  connections(node: NodeId): number {
    return this.#peers?.peek(idKey(node)) ?? 0
  }

  /** Takes no more connections; those that were handed on are left to their handlers. */
  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #loop(signal: AbortSignal, room: Account | undefined): Promise<void> {
    const { endpoint, heartbeat } = this.#options
    const iterator = endpoint.incoming[Symbol.asyncIterator]()
    // The endpoint may live on; then nothing else would end the wait.
    using _stop = onAbort(signal, () => void iterator.return?.())
    heartbeat?.idle()
    try {
      while (!signal.aborted) {
        const { value: incoming, done } = await iterator.next()
        if (done) break
        heartbeat?.beat()
        if (signal.aborted) incoming.refuse()
        else this.#start(incoming, room)
        heartbeat?.idle()
      }
    } finally {
      if (!signal.aborted) heartbeat?.stop('no incoming connections are taken any more')
    }
  }

  #start(incoming: Incoming, room: Account | undefined): void {
    if (this.#handshakes.full || (room && room.take(0, 1) !== 'ok')) {
      this.#count('busy', 'Incoming connections that were refused because too many handshakes run.')
      incoming.refuse()
      return
    }
    this.#handshakes.run('handshake', (signal) =>
      this.#accept(incoming, signal).finally(() => room?.give(0, 1)),
    )
  }

  async #accept(incoming: Incoming, signal: AbortSignal): Promise<void> {
    let connection: Connection
    try {
      connection = await incoming.accept({ signal })
    } catch (error) {
      if (!isWeirError(error)) throw error
      this.#count('handshakes_failed', 'Incoming connections whose handshake failed.')
      this.#scope.log.debug('a handshake failed', {
        remote: incoming.remote,
        error: describeError(error),
      })
      return
    }
    try {
      this.#take(connection)
    } catch (error) {
      connection.close(0, '')
      if (!isWeirError(error)) throw error
      this.#count('failed', 'Connections that no handler took.')
      this.#warn('a connection was not taken', connection, { error: describeError(error) })
    }
  }

  #take(connection: Connection): void {
    const { handlers, policy } = this.#options
    const { nodeId } = connection
    if (policy(nodeId) !== 'accept') {
      this.#count('refused', 'Connections of peers that are not permitted.')
      this.#warn('a peer that is not permitted was refused', connection)
      connection.close(REFUSED_CLOSE_CODE, 'not permitted')
      return
    }
    const handler = handlers.find(({ protocol }) => equalBytes(protocol, connection.protocol))
    if (!handler) {
      connection.close(0, '')
      return
    }
    if (!this.#enter(connection)) {
      this.#count('over_cap', 'Connections beyond the caps of peers.')
      this.#warn('a peer has too many connections, or too many peers are connected', connection)
      connection.close(0, '')
      return
    }
    this.#count('accepted', 'Connections that were accepted.')
    handler.accept(connection)
  }

  /** Counts the connection to its peer, until it is closed. */
  #enter(connection: Connection): boolean {
    const peers = this.#peers
    if (!peers) return true
    const key = idKey(connection.nodeId)
    const open = peers.peek(key) ?? 0
    if (open >= this.#perPeerMax || peers.set(key, open + 1) !== 'ok') return false
    void connection.closed.then(() => {
      if (this.#scope.closed) return
      const left = (peers.peek(key) ?? 0) - 1
      if (left > 0) peers.set(key, left)
      else peers.delete(key)
    })
    return true
  }

  #warn(message: string, connection: Connection, fields: Record<string, unknown> = {}): void {
    if (!this.#lines.take()) return
    const { nodeId, remote } = connection
    this.#scope.log.warn(message, { peer: shortId(nodeId), remote, ...fields })
  }

  #count(what: string, help: string): void {
    this.#scope.counters.counter(`node_connections_${what}_total`, help).add()
  }
}
