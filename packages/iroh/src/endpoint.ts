/**
 * An endpoint on the binding: no relay, no discovery, and bound to the given address.
 *
 * The binding always opens a socket of each IP family; the one that was not asked for is bound to loopback, so that
 * nothing listens where the operator did not say. A dial cannot be cancelled: one that was given up keeps its place
 * until the binding has given up as well, and is closed at once when it succeeds.
 *
 * Memory: its connections and dials, undecided incomings, and the native side as far as it can be known.
 */
import { BoundedMap, limitError } from 'weir-mesh/bounds'
import { equalBytes } from 'weir-mesh/codec'
import { type NodeId, shortId, nodeId as toNodeId } from 'weir-mesh/core'
import {
  abortable,
  abortError,
  assert,
  describeError,
  onAbort,
  type Scope,
  throwIfAborted,
  WeirError,
} from 'weir-mesh/runtime'
import {
  type Address,
  type Connection,
  type ConnectOptions,
  connectFailed,
  type Endpoint,
  type Incoming,
  IncomingQueue,
  type Protocol,
  parseAddress,
  type TransportLimits,
  type TransportOptions,
} from 'weir-mesh/transport'
import {
  Endpoint as Binding,
  EndpointAddr,
  EndpointId,
  fromNative,
  type NativeConnection,
  type NativeEndpoint,
  type NativeIncoming,
  presetMinimal,
  RelayMode,
  toNative,
} from './binding.ts'
import { IrohConnection } from './connection.ts'
import { bindFailure, briefly, handshakeFailure } from './errors.ts'
import { type IrohTerms, NATIVE_ENDPOINT_BYTES, NATIVE_INCOMING_BYTES } from './memory.ts'

export interface IrohEndpointOptions extends TransportOptions {
  readonly terms: IrohTerms
  readonly limits: TransportLimits
}

/** A place in the table of connections: a connection, or a dial or handshake that runs. */
interface Slot {
  close(): void
}

/** @throws {WeirError} `ADDRESS_IN_USE`, `ADDRESS_INVALID` */
export async function openIrohEndpoint(options: IrohEndpointOptions): Promise<Endpoint> {
  const listen = options.listen ?? '127.0.0.1:0'
  const native = await bind(options, listen)
  try {
    return new IrohEndpoint(native, listen, options)
  } catch (error) {
    await native.close()
    throw error
  }
}

async function bind(options: IrohEndpointOptions, listen: Address): Promise<NativeEndpoint> {
  const { host } = parseAddress(listen)
  const otherFamily = host.includes(':') ? '127.0.0.1:0' : '[::1]:0'
  const attempt = (addresses: readonly Address[]) => {
    const builder = Binding.builder()
    presetMinimal(builder)
    builder.relayMode(RelayMode.disabled())
    builder.secretKey(toNative(options.keyPair.seed()))
    builder.alpns(options.protocols.map(toNative))
    for (const address of addresses) builder.bindAddr(address)
    return builder.bind()
  }
  try {
    return await attempt([listen, otherFamily])
  } catch (error) {
    const failure = bindFailure(error, listen)
    if (failure.code === 'ADDRESS_IN_USE') throw failure
    options.scope.log.warn('no loopback socket of the other IP family; the binding takes any', {
      address: otherFamily,
      error: failure,
    })
  }
  try {
    return await attempt([listen])
  } catch (error) {
    throw bindFailure(error, listen)
  }
}

class IrohEndpoint implements Endpoint {
  readonly nodeId: NodeId
  readonly localAddresses: readonly Address[]
  readonly #native: NativeEndpoint
  readonly #options: IrohEndpointOptions
  readonly #scope: Scope
  readonly #queue: IncomingQueue
  readonly #slots: BoundedMap<number, Slot>
  /** Takes the native part of one more connection. */
  readonly #reserveNative: () => void
  #nextSlot = 1

  constructor(native: NativeEndpoint, listen: Address, options: IrohEndpointOptions) {
    const { ledger, terms, limits } = options
    this.nodeId = toNodeId(fromNative(native.id().toBytes()))
    assert(
      equalBytes(this.nodeId, options.keyPair.id),
      'the id and the seed are not of one key pair',
    )
    this.#native = native
    this.#options = options
    const family = (address: Address) => address.startsWith('[')
    this.localAddresses = Object.freeze(
      native.boundSockets().filter((address) => family(address) === family(listen)),
    )
    this.#scope = options.scope.child('iroh endpoint')
    const nativeAccount = ledger.require(terms.native)
    assert(nativeAccount.take(NATIVE_ENDPOINT_BYTES) === 'ok', 'an endpoint is in the plan')
    // Closed in reverse: connections, what is undecided, the native endpoint, and then the loop that waited on it.
    this.#scope.defer('native account', () => {
      nativeAccount.give(NATIVE_ENDPOINT_BYTES, nativeAccount.entries)
      nativeAccount[Symbol.dispose]()
    })
    this.#scope.spawn('accept', () => this.#acceptLoop())
    this.#scope.defer('native endpoint', () => native.close())
    this.#queue = this.#scope.own(
      'incoming',
      new IncomingQueue({
        scope: this.#scope,
        account: ledger.require(terms.incoming),
        deadlineMs: limits.incomingDeadlineMs,
        traced: limits.incomingTraced,
      }),
    )
    this.#slots = new BoundedMap<number, Slot>(ledger.require(terms.connections), {
      onExit: () => nativeAccount.give(0, 1),
    })
    this.#scope.defer('connections', () => this.#closeAll())
    this.#reserveNative = () => nativeAccount.require(0, 1)
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
    for (const address of addresses) parseAddress(address)
    let target: EndpointAddr
    try {
      target = new EndpointAddr(EndpointId.fromBytes(toNative(node)), null, [...addresses])
    } catch (error) {
      throw connectFailed(briefly(error))
    }
    const { connectTimeoutMs } = this.#options.limits
    return this.#handshake(
      () => this.#native.connect(target, toNative(protocol)),
      options.signal,
      connectFailed(`${addresses.join(', ')} did not answer within ${connectTimeoutMs} ms`),
      (slot, native) => this.#connection(slot, native, true, dialled(native, addresses)),
    )
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #acceptLoop(): Promise<void> {
    while (!this.#scope.closed) {
      const incoming = await this.#native.acceptNext()
      if (!incoming) return
      await this.#offer(incoming)
    }
  }

  async #offer(incoming: NativeIncoming): Promise<void> {
    const quiet = () => {}
    const refuse = () => {
      incoming.refuse().then(quiet, quiet)
    }
    try {
      const { addr = '' } = await incoming.remoteAddr()
      const validated = await incoming.remoteAddrValidated()
      const offered = this.#queue.offer({
        remote: addr,
        validated,
        bytes: NATIVE_INCOMING_BYTES,
        accept: (signal) => this.#accept(incoming, addr, signal),
        refuse,
        retry: validated ? undefined : () => void incoming.retry().then(quiet, quiet),
        ignore: () => void incoming.ignore().then(quiet, quiet),
      })
      if (!offered) refuse()
    } catch (error) {
      refuse()
      this.#scope.log.debug('an incoming connection went away', {
        error: describeError(briefly(error)),
      })
    }
  }

  async #accept(
    incoming: NativeIncoming,
    remote: Address,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    const { connectTimeoutMs } = this.#options.limits
    try {
      throwIfAborted(signal)
      return await this.#handshake(
        async () => (await incoming.accept()).connect(),
        signal,
        connectFailed(`the handshake took longer than ${connectTimeoutMs} ms`),
        (slot, native) => this.#connection(slot, native, false, remote),
      )
    } catch (error) {
      // Refused by a limit or an abort before the binding was asked: the peer has to hear of it.
      incoming.refuse().catch(() => {})
      throw error
    }
  }

  /** Waits for a native connection within the deadline; one that comes too late is closed. */
  async #handshake(
    begin: () => Promise<NativeConnection>,
    signal: AbortSignal | undefined,
    late: WeirError,
    keep: (slot: number, native: NativeConnection) => IrohConnection,
  ): Promise<IrohConnection> {
    const abort = new AbortController()
    const slot = this.#reserve({ close: () => abort.abort(abortError(this.#scope.signal)) })
    const timer = this.#scope.timer('handshake', this.#options.limits.connectTimeoutMs, () =>
      abort.abort(late),
    )
    const listener = onAbort(signal, () => abort.abort(abortError(signal!)))
    const begun = begin()
    try {
      return keep(slot, await abortable(begun, abort.signal))
    } catch (error) {
      begun.then(
        (native) => {
          native.close(0n, toNative(new TextEncoder().encode('given up')))
          this.#slots.delete(slot)
        },
        () => this.#slots.delete(slot),
      )
      if (error instanceof WeirError) throw error
      throw handshakeFailure(error)
    } finally {
      timer.cancel()
      listener[Symbol.dispose]()
    }
  }

  #connection(
    slot: number,
    native: NativeConnection,
    outbound: boolean,
    remote: Address,
  ): IrohConnection {
    throwIfAborted(this.#scope.signal)
    const nodeId = toNodeId(fromNative(native.remoteId().toBytes()))
    const { ledger, terms, limits } = this.#options
    const label = shortId(nodeId)
    const streams = ledger.require(terms.streams, { label })
    const opens = ledger.require(terms.opens, { label })
    const buffers = ledger.require(terms.buffers, { label })
    const connection = new IrohConnection(native, {
      scope: this.#scope,
      nodeId,
      protocol: fromNative(native.alpn()),
      remote,
      outbound,
      limits,
      accounts: { streams, opens, buffers },
      ended: () => {
        this.#slots.delete(slot)
      },
    })
    this.#slots.delete(slot)
    this.#claim(slot, { close: () => connection.close(0, 'the endpoint was closed') })
    return connection
  }

  #reserve(slot: Slot): number {
    throwIfAborted(this.#scope.signal)
    const id = this.#nextSlot++
    this.#claim(id, slot)
    return id
  }

  #claim(id: number, slot: Slot): void {
    const admission = this.#slots.set(id, slot)
    if (admission !== 'ok') throw limitError(this.#slots.account, admission, 0)
    this.#reserveNative()
  }

  #closeAll(): void {
    for (const slot of this.#slots.values()) slot.close()
    this.#slots[Symbol.dispose]()
  }
}

/** Which of the addresses answered: the binding may have found more ways to the peer since. */
function dialled(native: NativeConnection, addresses: readonly Address[]): Address {
  const path = native.paths().find(({ remoteAddr }) => addresses.includes(remoteAddr))
  return path?.remoteAddr ?? addresses[0]!
}
