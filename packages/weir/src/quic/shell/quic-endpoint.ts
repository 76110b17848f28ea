/**
 * An endpoint on UDP: dials and is dialled, decides nothing by itself.
 *
 * Memory: undecided incomings, ids and farewells of its machine, the datagram that is built; its connections.
 */
import { createHmac } from 'node:crypto'
import type { Ledger } from '../../bounds/index.ts'
import { equalBytes } from '../../codec/index.ts'
import { type NodeId, shortId } from '../../core/index.ts'
import {
  abortError,
  instant,
  onAbort,
  type Random,
  type Scope,
  systemRandom,
  throwIfAborted,
  WeirError,
} from '../../runtime/index.ts'
import {
  type Address,
  type Connection,
  type ConnectOptions,
  connectFailed,
  type Endpoint,
  formatAddress,
  type HostPort,
  type Incoming,
  IncomingQueue,
  type Pending,
  type Protocol,
  parseAddress,
  type TransportOptions,
} from '../../transport/index.ts'
import { type Remote, sameRemote } from '../connection/path.ts'
import {
  type Candidate,
  type EndpointEffects,
  EndpointMachine,
} from '../endpoint/endpoint-machine.ts'
import type { QuicLimits, QuicTerms } from '../memory.ts'
import { ErrorCode } from '../packet/errors.ts'
import type { QuicSecurity } from '../security.ts'
import { Connections, type Handshake, mayBeElsewhere, type NewConnection } from './connections.ts'
import { DIAL_ADDRESSES_MAX, Remotes } from './remotes.ts'
import { Sockets } from './socket.ts'

export interface QuicEndpointOptions extends TransportOptions {
  readonly terms: QuicTerms
  readonly limits: QuicLimits
  readonly security: QuicSecurity
  readonly random?: Random
}

/** @throws {WeirError} `ADDRESS_IN_USE`, `ADDRESS_INVALID` */
export async function openQuicEndpoint(options: QuicEndpointOptions): Promise<Endpoint> {
  const listen = parseAddress(options.listen ?? '127.0.0.1:0')
  const scope = options.scope.child('quic endpoint')
  try {
    const endpoint = new QuicEndpoint(options, scope)
    await endpoint.bind(listen)
    return endpoint
  } catch (error) {
    await scope.close()
    throw error
  }
}

export class QuicEndpoint implements Endpoint, EndpointEffects {
  readonly nodeId: NodeId
  readonly #options: QuicEndpointOptions
  readonly #scope: Scope
  readonly #ledger: Ledger
  readonly #buffer: Uint8Array
  readonly #machine: EndpointMachine
  readonly #queue: IncomingQueue
  readonly #connections: Connections
  #sockets: Sockets | undefined
  #addresses: readonly Address[] = Object.freeze([])

  constructor(options: QuicEndpointOptions, scope: Scope) {
    const { ledger, terms, limits, security, keyPair, random = systemRandom } = options
    this.#options = options
    this.#scope = scope
    this.#ledger = ledger
    this.#buffer = new Uint8Array(limits.datagramBytesMax)
    this.nodeId = keyPair.id
    this.#machine = scope.own(
      'ids',
      new EndpointMachine({
        security,
        random,
        clock: scope.clock,
        // From the secret of the node, so that a node that was restarted can tell its peers so.
        resetKey: createHmac('sha256', keyPair.seed()).update('weir quic reset 1').digest(),
        tokenKey: random.bytes(32),
        buffer: this.#buffer,
        incomingDatagramsMax: limits.incomingDatagramsMax,
        accounts: {
          routes: ledger.require(terms.routes),
          initials: ledger.require(terms.initials),
          farewells: ledger.require(terms.farewells),
          resetTokens: ledger.require(terms.resetTokens),
        },
      }),
    )
    this.#connections = new Connections({
      ...{ scope, ledger, terms, limits, security, random },
      machine: this.#machine,
      buffer: this.#buffer,
      send: (length, remote) => this.#sockets?.send(length, remote),
    })
    this.#queue = new IncomingQueue({
      scope,
      account: ledger.require(terms.incoming),
      deadlineMs: limits.incomingDeadlineMs,
      traced: limits.incomingTraced,
    })
    // For an endpoint that cannot be bound; one that was bound closes it before its sockets.
    scope.own('incoming', this.#queue)
  }

  /** @internal */
  async bind(listen: HostPort): Promise<void> {
    this.#sockets = await Sockets.open(
      {
        scope: this.#scope,
        account: this.#ledger.require(this.#options.terms.datagrams),
        buffer: this.#buffer,
        received: (bytes, remote) => this.#received(bytes, remote),
        unreachable: (remote, code) => this.#connections.unreachable(remote, code),
      },
      listen,
    )
    this.#addresses = this.#sockets.addresses
    // Closed in reverse: what is undecided, the connections, and then the sockets, which tell their peers.
    this.#scope.own('connections', this.#connections)
    this.#scope.own('incoming', this.#queue)
  }

  get localAddresses(): readonly Address[] {
    return this.#addresses
  }

  get incoming(): AsyncIterable<Incoming> {
    return this.#queue
  }

  /** How many connections and handshakes there are. */
  get size(): number {
    return this.#connections.size
  }

  async connect(
    node: NodeId,
    protocol: Protocol,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const { signal } = options
    throwIfAborted(signal)
    throwIfAborted(this.#scope.signal)
    const addresses = options.addresses ?? this.#options.lookup.addresses(node)
    if (addresses.length === 0) {
      throw new WeirError('ADDRESS_UNKNOWN', `no address is known of node ${shortId(node)}`)
    }
    if (equalBytes(node, this.nodeId)) throw connectFailed('a node does not dial itself')
    let remotes = await this.#reachable(addresses)
    const { clock } = this.#scope
    const until = clock.now() + this.#options.limits.connectTimeoutMs * 1000
    const { security, keyPair } = this.#options
    while (true) {
      throwIfAborted(signal)
      const dialled = new Remotes(remotes)
      const { handshake } = this.#open({
        remotes: dialled,
        candidate: undefined,
        label: shortId(node),
        tls: (parameters) => security.client({ keyPair, expected: node, protocol, parameters }),
      })
      const leftMs = Math.ceil(Math.max(until - clock.now(), 0) / 1000)
      try {
        return await this.#settled(handshake, dialled, leftMs, signal)
      } catch (error) {
        // Somebody else lives at the address that answered first; the node may be at the others.
        remotes = remotes.filter((each) => !sameRemote(each, dialled.current))
        const elsewhere = dialled.settled && handshake.end && mayBeElsewhere(handshake.end)
        if (!elsewhere || remotes.length === 0 || clock.now() >= until) throw error
      }
    }
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // Effects of the machine.

  /** @internal */
  send(_bytes: Uint8Array, length: number, remote: Remote): void {
    this.#sockets?.send(length, remote)
  }

  /** @internal */
  candidate(candidate: Candidate): boolean {
    const pending = this.#queue.offer({
      remote: formatAddress(candidate.remote),
      validated: candidate.validated,
      bytes: candidate.waitingBytes,
      accept: (signal) => this.#accept(candidate, signal),
      refuse: () => this.#machine.refuse(candidate, this),
      retry: candidate.validated ? undefined : () => this.#machine.retry(candidate, this),
      ignore: () => this.#machine.forget(candidate),
    })
    candidate.handle = pending
    return pending !== undefined
  }

  /** @internal */
  crowded(): boolean {
    const { incomingMax, handshakesMax } = this.#options.limits
    return 2 * this.#queue.size > incomingMax || 2 * this.#connections.strangers > handshakesMax
  }

  /** @internal */
  more(candidate: Candidate, bytes: number): boolean {
    const pending = candidate.handle as Pending | undefined
    return pending !== undefined && this.#queue.grow(pending, bytes)
  }

  #received(bytes: Uint8Array, remote: Remote): void {
    this.#machine.receive(bytes, remote, instant(this.#scope.clock.now()), this)
  }

  /** The addresses for which there is a socket, each once. */
  async #reachable(addresses: readonly Address[]): Promise<Remote[]> {
    const remotes: Remote[] = []
    let failed: unknown = connectFailed('no address of the node has a port')
    for (const address of addresses) {
      const remote = parseAddress(address)
      if (remote.port === 0 || remotes.some((each) => sameRemote(each, remote))) continue
      if (remotes.length === DIAL_ADDRESSES_MAX) break
      try {
        await this.#sockets!.reach(remote)
        remotes.push(remote)
      } catch (error) {
        failed = error
      }
    }
    if (remotes.length === 0) throw failed
    return remotes
  }

  #open(wanted: NewConnection) {
    const opened = this.#connections.open(wanted)
    if (!wanted.candidate) opened.connection.start()
    return opened
  }

  async #accept(candidate: Candidate, signal: AbortSignal | undefined): Promise<Connection> {
    const { security, keyPair, protocols, limits } = this.#options
    const remotes = new Remotes([candidate.remote])
    let opened: ReturnType<Connections['open']>
    try {
      throwIfAborted(signal)
      opened = this.#open({
        remotes,
        candidate,
        label: formatAddress(candidate.remote),
        tls: (parameters) => security.server({ keyPair, protocols, parameters }),
      })
    } catch (error) {
      this.#machine.refuse(candidate, this)
      throw error
    }
    const { connection, handshake } = opened
    const { waiting } = candidate
    this.#machine.accepted(candidate, connection)
    const settled = this.#settled(handshake, remotes, limits.connectTimeoutMs, signal)
    for (let each = waiting; each; each = each.next) connection.receive(each.bytes, each.remote)
    return settled
  }

  /** Waits for a handshake, no longer than it may take. */
  async #settled(
    handshake: Handshake,
    remotes: Remotes,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    const giveUp = (error: Error, why: string) => {
      handshake.result.reject(error)
      handshake.abandon(ErrorCode.none, why)
    }
    const timer = this.#scope.timer('handshake', timeoutMs, () => {
      const where = formatAddress(remotes.current)
      const late = connectFailed(`${where} did not answer within ${timeoutMs} ms`)
      giveUp(late, 'the handshake took too long')
    })
    const listener = onAbort(signal, () => giveUp(abortError(signal!), 'given up'))
    try {
      return await handshake.result.promise
    } finally {
      timer.cancel()
      listener[Symbol.dispose]()
    }
  }
}
