/**
 * Decides on the connections that others ask for: accepts them within limits, asks the policy who may stay, and hands
 * each to the protocol that it was made for.
 *
 * A node that may not stay is closed with `PEER_REFUSED`. Nothing is left undecided: an incoming that finds no room is
 * refused at once.
 *
 * Memory: at most `handshakesMax` handshakes at a time; connections are charged by the transport.
 */
import { equalBytes } from '../codec/index.ts'
import { type NodeId, shortId } from '../core/index.ts'
import {
  describeError,
  type Heartbeat,
  isWeirError,
  type Scope,
  TaskGroup,
} from '../runtime/index.ts'
import type { Connection, Endpoint, Incoming, Protocol } from '../transport/index.ts'

/** Application close code for a node that may not take part. */
export const CLOSE_REFUSED = 403

export interface ProtocolHandler {
  readonly protocol: Protocol
  /** Takes a connection over; what becomes of it is the handler's matter. */
  accept(connection: Connection): void
}

export interface AcceptLoopOptions {
  readonly scope: Scope
  readonly endpoint: Endpoint
  readonly handlers: readonly ProtocolHandler[]
  /** Whether a node may stay; asked once its key is proved. */
  policy(node: NodeId): 'accept' | 'refuse'
  /** Handshakes at once. Default 16. */
  readonly handshakesMax?: number
  /** Beats when the loop ends although it should run. */
  readonly heartbeat?: Heartbeat
}

export class AcceptLoop implements AsyncDisposable {
  readonly #options: AcceptLoopOptions
  readonly #scope: Scope
  readonly #tasks: TaskGroup

  constructor(options: AcceptLoopOptions) {
    this.#options = options
    this.#scope = options.scope.child('accept')
    this.#tasks = new TaskGroup(this.#scope, 'handshakes', {
      tasksMax: options.handshakesMax ?? 16,
    })
    this.#scope.spawn('loop', (signal) => this.#run(signal))
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { endpoint, heartbeat } = this.#options
    heartbeat?.idle()
    try {
      for await (const incoming of endpoint.incoming) {
        if (signal.aborted) incoming.refuse()
        else this.#decide(incoming)
      }
    } finally {
      if (!signal.aborted) heartbeat?.stop('no more connections are accepted')
    }
  }

  #decide(incoming: Incoming): void {
    if (this.#tasks.full) {
      this.#count('accept_full_total', 'Connections refused because too many shake hands.')
      incoming.refuse()
      return
    }
    this.#tasks.run('handshake', async (signal) => {
      using decided = incoming
      try {
        this.#accepted(await decided.accept({ signal }))
      } catch (error) {
        if (!isWeirError(error)) throw error
        this.#count('accept_failed_total', 'Handshakes that others began and that failed.')
        this.#scope.log.debug('a handshake failed', { error: describeError(error) })
      }
    })
  }

  #accepted(connection: Connection): void {
    const { handlers, policy } = this.#options
    if (policy(connection.nodeId) === 'refuse') {
      this.#count('accept_refused_total', 'Connections of nodes that may not take part.')
      this.#scope.log.warn('a node that is not a peer was refused', {
        code: 'PEER_REFUSED',
        node: shortId(connection.nodeId),
        remote: connection.remote,
      })
      connection.close(CLOSE_REFUSED, 'PEER_REFUSED')
      return
    }
    const handler = handlers.find((each) => equalBytes(each.protocol, connection.protocol))
    if (handler) handler.accept(connection)
    else connection.close(0, '')
  }

  #count(name: string, help: string): void {
    this.#scope.counters.counter(name, help).add()
  }
}
