/**
 * An endpoint on UDP: dials and is dialled, gives each connection its turn, decides nothing by itself.
 *
 * Memory: its connections and dials (`transport.connections`), undecided incomings, handshakes, and what each
 * connection holds.
 */
import { createHmac } from 'node:crypto'
import { type Account, BoundedMap, type Ledger, limitError } from '../../bounds/index.ts'
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
  type Incoming,
  IncomingQueue,
  type Pending,
  type Protocol,
  parseAddress,
  protocolRefused,
  type TransportOptions,
} from '../../transport/index.ts'
import type { ConnectionEnd } from '../connection/connection-options.ts'
import type { Remote } from '../connection/path.ts'
import { ConnectionMachine } from '../connection-machine.ts'
import {
  type Candidate,
  type EndpointEffects,
  EndpointMachine,
  type Target,
} from '../endpoint/endpoint-machine.ts'
import { DATAGRAM_BUFFER_BYTES, type QuicLimits, type QuicTerms } from '../memory.ts'
import { ErrorCode } from '../packet/errors.ts'
import type { QuicSecurity } from '../security.ts'
import { QuicConnection, type ShellAccounts } from './quic-connection.ts'
import { Sockets } from './socket.ts'

export interface QuicEndpointOptions extends TransportOptions {
  readonly terms: QuicTerms
  readonly limits: QuicLimits
  readonly security: QuicSecurity
  readonly random?: Random
}

const ALERT_NO_PROTOCOL = ErrorCode.crypto + 120

/** A connection, or a handshake that runs. */
interface Slot {
  readonly connection: QuicConnection
  candidate: Candidate | undefined
  /** Settles when the handshake is through or fails. */
  readonly ready: PromiseWithResolvers<QuicConnection>
  handshaking: boolean
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
  readonly #random: Random
  readonly #buffer = new Uint8Array(DATAGRAM_BUFFER_BYTES)
  readonly #machine: EndpointMachine
  readonly #queue: IncomingQueue
  readonly #slots: BoundedMap<QuicConnection, Slot>
  readonly #handshakes: Account
  readonly #keys: Account
  #sockets: Sockets | undefined
  #addresses: readonly Address[] = Object.freeze([])
  #scheduled: QuicConnection | undefined
  #lastScheduled: QuicConnection | undefined
  #turn: NodeJS.Immediate | undefined

  constructor(options: QuicEndpointOptions, scope: Scope) {
    const { ledger, terms, limits, security, keyPair } = options
    this.#options = options
    this.#scope = scope
    this.#ledger = ledger
    this.#random = options.random ?? systemRandom
    this.nodeId = keyPair.id
    this.#machine = scope.own(
      'ids',
      new EndpointMachine({
        security,
        random: this.#random,
        clock: scope.clock,
        // From the secret of the node, so that a node that was restarted can tell its peers so.
        resetKey: createHmac('sha256', keyPair.seed()).update('weir quic reset 1').digest(),
        tokenKey: this.#random.bytes(32),
        buffer: this.#buffer,
        incomingDatagramsMax: limits.incomingDatagramsMax,
        accounts: {
          routes: ledger.require(terms.routes),
          initials: ledger.require(terms.initials),
          farewells: ledger.require(terms.farewells),
        },
      }),
    )
    this.#handshakes = scope.own('handshakes', ledger.require(terms.handshakes))
    this.#keys = scope.own('keys', ledger.require(terms.keys))
    this.#slots = new BoundedMap<QuicConnection, Slot>(ledger.require(terms.connections))
    scope.defer('slots', () => this.#slots[Symbol.dispose]())
    this.#queue = new IncomingQueue({
      scope,
      account: ledger.require(terms.incoming),
      deadlineMs: limits.incomingDeadlineMs,
      traced: limits.incomingTraced,
    })
  }

  /** @internal */
  async bind(listen: { readonly host: string; readonly port: number }): Promise<void> {
    const account = this.#ledger.require(this.#options.terms.datagrams)
    this.#sockets = await Sockets.open(this.#scope, account, listen, (bytes, remote) =>
      this.#received(bytes, remote),
    )
    this.#addresses = this.#sockets.addresses
    // Closed in reverse: what is undecided, the connections, and then the socket that tells their peers.
    this.#scope.defer('connections', () => this.#closeAll())
    this.#scope.own('incoming', this.#queue)
  }

  get localAddresses(): readonly Address[] {
    return this.#addresses
  }

  get incoming(): AsyncIterable<Incoming> {
    return this.#queue
  }

  async connect(
    node: NodeId,
    protocol: Protocol,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    throwIfAborted(options.signal)
    throwIfAborted(this.#scope.signal)
    const addresses = options.addresses ?? this.#options.lookup.addresses(node)
    if (addresses.length === 0) {
      throw new WeirError('ADDRESS_UNKNOWN', `no address is known of node ${shortId(node)}`)
    }
    if (equalBytes(node, this.nodeId)) throw connectFailed('a node does not dial itself')
    const remotes = addresses.map((address) => parseAddress(address))
    const timeoutMs = Math.ceil(this.#options.limits.connectTimeoutMs / remotes.length)
    let failed: unknown
    for (const remote of remotes) {
      try {
        return await this.#dial(node, protocol, remote, timeoutMs, options.signal)
      } catch (error) {
        if (!(error instanceof WeirError && error.code === 'CONNECT_FAILED')) throw error
        failed = error
      }
    }
    throw failed
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** How many connections and handshakes there are. */
  get size(): number {
    return this.#slots.size
  }

  // Effects of the machine.

  /** @internal */
  send(bytes: Uint8Array, length: number, remote: Remote): void {
    this.#sockets?.send(bytes, length, remote)
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
  more(candidate: Candidate, bytes: number): boolean {
    const pending = candidate.handle as Pending | undefined
    return pending !== undefined && this.#queue.grow(pending, bytes)
  }

  /** @internal */
  connections(): Iterable<Target> {
    return this.#slots.keys()
  }

  #received(bytes: Uint8Array, remote: Remote): void {
    this.#machine.receive(bytes, remote, instant(this.#scope.clock.now()), this)
  }

  async #dial(
    node: NodeId,
    protocol: Protocol,
    remote: Remote,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    await this.#sockets!.reach(remote)
    throwIfAborted(signal)
    throwIfAborted(this.#scope.signal)
    const { security, keyPair } = this.#options
    const slot = this.#connection(remote, undefined, shortId(node), (parameters) =>
      security.client({ keyPair, expected: node, protocol, parameters }),
    )
    slot.connection.start()
    return this.#handshake(slot, remote, timeoutMs, signal)
  }

  async #accept(candidate: Candidate, signal: AbortSignal | undefined): Promise<Connection> {
    const { security, keyPair, protocols, limits } = this.#options
    const { remote } = candidate
    let slot: Slot
    try {
      throwIfAborted(signal)
      slot = this.#connection(remote, candidate, formatAddress(remote), (parameters) =>
        security.server({ keyPair, protocols, parameters }),
      )
    } catch (error) {
      this.#machine.refuse(candidate, this)
      throw error
    }
    const { waiting } = candidate
    this.#machine.accepted(candidate, slot.connection)
    const handshake = this.#handshake(slot, remote, limits.connectTimeoutMs, signal)
    for (let each = waiting; each; each = each.next) {
      slot.connection.receive(each.bytes, each.remote)
    }
    return handshake
  }

  async #handshake(
    slot: Slot,
    remote: Remote,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    const { connection, ready } = slot
    const late = connectFailed(`${formatAddress(remote)} did not answer within ${timeoutMs} ms`)
    const timer = this.#scope.timer('handshake', timeoutMs, () => {
      ready.reject(late)
      connection.abandon(ErrorCode.none, 'the handshake took too long')
    })
    const listener = onAbort(signal, () => {
      ready.reject(abortError(signal!))
      connection.abandon(ErrorCode.none, 'given up')
    })
    try {
      return await ready.promise
    } finally {
      timer.cancel()
      listener[Symbol.dispose]()
    }
  }

  #connection(
    remote: Remote,
    candidate: Candidate | undefined,
    label: string,
    tls: (parameters: Uint8Array) => ReturnType<QuicSecurity['client']>,
  ): Slot {
    throwIfAborted(this.#scope.signal)
    const { limits, security } = this.#options
    const outbound = candidate === undefined
    const admission = this.#admitHandshake(outbound)
    if (admission) throw admission
    const accounts = this.#accounts(label)
    const connection: QuicConnection = new QuicConnection({
      clock: this.#scope.clock,
      outbound,
      remote,
      windowBytesMax: limits.windowBytesMax,
      accounts,
      send: (bytes, length, to) => this.send(bytes, length, to),
      schedule: (each) => this.#schedule(each),
      up: (each) => this.#up(each),
      ended: (each, end) => this.#ended(each, end),
    })
    const router = this.#machine.router(connection)
    const localId = router.issue()
    try {
      if (!localId)
        throw new WeirError('LIMIT', 'no place for a connection id', { retryable: true })
      connection.machine = new ConnectionMachine(
        {
          role: outbound ? 'client' : 'server',
          security,
          tls,
          random: this.#random,
          remote,
          validated: candidate?.validated ?? false,
          router,
          localId,
          originalDestination: candidate?.originalDestination ?? this.#random.bytes(16),
          ...(candidate ? { peerId: candidate.peerId } : {}),
          ...(candidate?.validated ? { retrySource: candidate.destination } : {}),
          limits: { ...limits, congestionWindowBytesMax: limits.connectionSendBytesMax },
          accounts,
          buffer: this.#buffer,
        },
        instant(this.#scope.clock.now()),
        this.#machine.head,
      )
    } catch (error) {
      if (localId) router.retire(localId.bytes)
      for (const account of Object.values(accounts)) account[Symbol.dispose]()
      this.#handshakes.give(0, 1)
      this.#keys.give(0, 1)
      throw error
    }
    const slot: Slot = {
      connection,
      candidate,
      ready: Promise.withResolvers(),
      handshaking: true,
    }
    slot.ready.promise.catch(() => {})
    this.#slots.set(connection, slot)
    return slot
  }

  /** Takes the places of a handshake and of a connection. */
  #admitHandshake(outbound: boolean): WeirError | undefined {
    const { limits } = this.#options
    const slots = this.#slots.account
    if (slots.entries >= slots.term.entriesMax) return limitError(slots, 'cap', 1)
    // Strangers get half of the places at most until they are known; our own dials get what is there.
    if (!outbound && this.#handshakes.entries >= limits.handshakesMax) {
      return limitError(this.#handshakes, 'cap', 1)
    }
    const admission = this.#handshakes.take(0, 1)
    if (admission !== 'ok') return limitError(this.#handshakes, admission, 1)
    this.#keys.require(0, 1)
    return undefined
  }

  #accounts(label: string): ShellAccounts {
    const { terms } = this.#options
    const termOf = {
      streams: terms.streams,
      opens: terms.opens,
      acceptsUni: terms.accepts,
      acceptsBi: terms.accepts,
      receive: terms.receive,
      send: terms.send,
      records: terms.records,
    } as const
    const opened: Partial<Record<keyof ShellAccounts, Account>> = {}
    try {
      for (const name of Object.keys(termOf) as (keyof ShellAccounts)[]) {
        opened[name] = this.#ledger.require(termOf[name], { label })
      }
      return opened as unknown as ShellAccounts
    } catch (error) {
      for (const account of Object.values(opened)) account[Symbol.dispose]()
      this.#handshakes.give(0, 1)
      this.#keys.give(0, 1)
      throw error
    }
  }

  #up(connection: QuicConnection): void {
    const slot = this.#slots.peek(connection)!
    this.#handshakeDone(slot)
    slot.ready.resolve(connection)
  }

  #handshakeDone(slot: Slot): void {
    if (!slot.handshaking) return
    slot.handshaking = false
    this.#handshakes.give(0, 1)
    if (slot.candidate) this.#machine.forget(slot.candidate)
    slot.candidate = undefined
  }

  #ended(connection: QuicConnection, end: ConnectionEnd): void {
    const slot = this.#slots.peek(connection)
    if (!slot) return
    this.#handshakeDone(slot)
    this.#slots.delete(connection)
    this.#keys.give(0, 1)
    const until = this.#scope.clock.now() + end.lingerUs
    this.#machine.farewell(end.ids, end.farewell, until)
    slot.ready.reject(handshakeError(end))
  }

  #schedule(connection: QuicConnection): void {
    connection.scheduled = true
    if (this.#lastScheduled) this.#lastScheduled.nextScheduled = connection
    else this.#scheduled = connection
    this.#lastScheduled = connection
    // After the sockets were read: one acknowledgement then stands for all that has come.
    this.#turn ??= setImmediate(() => this.#turns())
  }

  #turns(): void {
    this.#turn = undefined
    let next = this.#scheduled
    this.#scheduled = this.#lastScheduled = undefined
    while (next) {
      const connection: QuicConnection = next
      next = connection.nextScheduled
      connection.nextScheduled = undefined
      connection.scheduled = false
      connection.turn()
    }
  }

  #closeAll(): void {
    for (const connection of this.#slots.keys()) {
      const slot = this.#slots.peek(connection)!
      slot.ready.reject(abortError(this.#scope.signal))
      if (slot.handshaking) connection.abandon(ErrorCode.none, 'the endpoint was closed')
      else connection.close(0, 'the endpoint was closed')
    }
    if (this.#turn) clearImmediate(this.#turn)
    this.#turn = undefined
  }
}

function handshakeError(end: ConnectionEnd): WeirError {
  if (end.transportCode === ALERT_NO_PROTOCOL) return protocolRefused()
  const where = formatAddress(end.remote)
  if (end.transportCode === ErrorCode.refused)
    return connectFailed(`${where} refused the connection`)
  return connectFailed(`${where}: ${end.info.reason || `error ${end.transportCode}`}`)
}
