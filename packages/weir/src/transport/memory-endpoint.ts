/**
 * An endpoint of the memory backend: dials and is dialled through a `MemoryNetwork`, decides nothing by itself.
 *
 * Memory: its connections and dials (`transport.connections`), the undecided incomings, and what each connection holds.
 */
import { type Account, BoundedMap, type Ledger, limitError } from '../bounds/index.ts'
import { equalBytes } from '../codec/index.ts'
import { type NodeId, shortId } from '../core/index.ts'
import { abortError, onAbort, type Scope, throwIfAborted, WeirError } from '../runtime/index.ts'
import { connectFailed, protocolRefused } from './errors.ts'
import { IncomingQueue } from './incoming.ts'
import type { TransportLimits, TransportTerms } from './memory.ts'
import { MemoryConnection, openAccounts } from './memory-connection.ts'
import type { Dial, DialAnswer, Listener, MemoryNetwork } from './memory-network.ts'
import type { ReceiveHalf } from './memory-streams.ts'
import type {
  Address,
  AddressLookup,
  Connection,
  ConnectOptions,
  Endpoint,
  Incoming,
  Protocol,
} from './transport.ts'
import type { Wire, WireEnd } from './wire.ts'

export interface MemoryEndpointOptions {
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: TransportTerms
  readonly limits: TransportLimits
  readonly network: MemoryNetwork
  readonly nodeId: NodeId
  readonly lookup: AddressLookup
  readonly protocols: readonly Protocol[]
  /** Default: a free one of the network; port 0 as well. */
  readonly listen?: Address
}

/** A place in the table of connections: a connection or a dial that runs. */
interface Slot {
  close(): void
}

export class MemoryEndpoint implements Endpoint, Listener {
  readonly nodeId: NodeId
  readonly address: Address
  readonly localAddresses: readonly Address[]
  readonly #options: MemoryEndpointOptions
  readonly #scope: Scope
  readonly #queue: IncomingQueue
  readonly #slots: BoundedMap<number, Slot>
  #nextSlot = 1
  #hungry: ReceiveHalf | undefined
  #feeding = false

  /** @throws {WeirError} `ADDRESS_IN_USE` */
  constructor(options: MemoryEndpointOptions) {
    const { network, ledger, terms, limits } = options
    const wanted = options.listen
    this.address = !wanted || wanted.endsWith(':0') ? network.freeAddress() : wanted
    this.localAddresses = Object.freeze([this.address])
    this.nodeId = options.nodeId
    this.#options = options
    this.#scope = options.scope.child('memory endpoint')
    if (!network.listen(this)) {
      throw new WeirError('ADDRESS_IN_USE', `somebody listens on ${this.address} already`)
    }
    this.#scope.defer('address', () => network.unlisten(this))
    this.#queue = this.#scope.own(
      'incoming',
      new IncomingQueue({
        scope: this.#scope,
        account: ledger.require(terms.incoming),
        deadlineMs: limits.incomingDeadlineMs,
        traced: limits.incomingTraced,
      }),
    )
    this.#slots = new BoundedMap<number, Slot>(ledger.require(terms.connections))
    this.#scope.defer('connections', () => this.#closeAll())
    // Credit that was refused under pressure is given when it falls; no stream ends then, that would ask again.
    const eased = ledger.pressure.subscribe((level, previous) => {
      if (level < previous) this.feed()
    })
    this.#scope.own('pressure', eased)
  }

  get incoming(): AsyncIterable<Incoming> {
    return this.#queue
  }

  /** How many connections and dials there are. */
  get connections(): number {
    return this.#slots.size
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
    let failed: unknown
    for (const address of addresses) {
      try {
        return await this.#connectTo(node, protocol, address, options.signal)
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

  /** @internal Somebody dials this endpoint. */
  dial(dial: Dial): void {
    if (!equalBytes(dial.to, this.nodeId)) return dial.answer('identity')
    const offered = this.#queue.offer({
      remote: dial.fromAddress,
      validated: dial.validated,
      bytes: dial.from.length + dial.protocol.length,
      accept: (signal) => this.#accept(dial, signal),
      refuse: () => dial.answer('refused'),
      retry: dial.validated ? undefined : () => dial.answer('retry'),
      ignore: () => {},
    })
    if (!offered) dial.answer('busy')
  }

  async #accept(dial: Dial, signal: AbortSignal | undefined): Promise<Connection> {
    if (signal?.aborted) {
      dial.answer('refused')
      throw abortError(signal)
    }
    if (dial.gone) throw connectFailed('the peer has given up')
    if (!this.#options.protocols.some((protocol) => equalBytes(protocol, dial.protocol))) {
      dial.answer('protocol')
      throw protocolRefused()
    }
    let slot: number
    try {
      slot = this.#reserve({ close() {} })
    } catch (error) {
      dial.answer('busy')
      throw error
    }
    const attach = (end: WireEnd) => dial.attach(end)
    return this.#connection(slot, dial.from, dial.protocol, dial.fromAddress, false, attach, () =>
      dial.answer('accepted'),
    )
  }

  async #connectTo(
    node: NodeId,
    protocol: Protocol,
    address: Address,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    let validated = false
    while (true) {
      const answer = await this.#dialOnce(node, protocol, address, validated, signal)
      if (answer !== 'retry') return answer
      validated = true
    }
  }

  #dialOnce(
    node: NodeId,
    protocol: Protocol,
    address: Address,
    validated: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Connection | 'retry'> {
    return new Promise((resolve, reject) => {
      let attempt: Disposable | undefined
      let settled = false
      const settle = (fate: () => void) => {
        if (settled) return
        settled = true
        timer.cancel()
        listener[Symbol.dispose]()
        fate()
      }
      const giveUp = (error: Error) =>
        settle(() => {
          this.#slots.delete(slot)
          attempt?.[Symbol.dispose]()
          reject(error)
        })
      const slot = this.#reserve({
        close: () => giveUp(abortError(this.#scope.signal)),
      })
      const { connectTimeoutMs } = this.#options.limits
      const timer = this.#scope.timer('connect', connectTimeoutMs, () =>
        giveUp(connectFailed(`${address} did not answer within ${connectTimeoutMs} ms`)),
      )
      const listener = onAbort(signal, () => giveUp(abortError(signal!)))
      if (settled) return
      attempt = this.#options.network.dial(address, {
        from: this.nodeId,
        fromAddress: this.address,
        to: node,
        protocol,
        validated,
        answered: (answer, attach) =>
          settle(() => {
            if (answer === 'accepted') {
              try {
                resolve(this.#connection(slot, node, protocol, address, true, attach!, () => {}))
              } catch (error) {
                this.#slots.delete(slot)
                queueMicrotask(() => attempt?.[Symbol.dispose]())
                reject(error)
              }
              return
            }
            this.#slots.delete(slot)
            if (answer === 'retry' && !validated) resolve('retry')
            else reject(dialError(answer, address))
          }),
      })
    })
  }

  #connection(
    slot: number,
    nodeId: NodeId,
    protocol: Protocol,
    remote: Address,
    outbound: boolean,
    attach: (end: WireEnd) => Wire,
    attached: () => void,
  ): MemoryConnection {
    const { ledger, terms, limits } = this.#options
    const label = shortId(nodeId)
    const termOf = {
      streams: terms.streams,
      opens: terms.opens,
      acceptsUni: terms.accepts,
      acceptsBi: terms.accepts,
      receive: terms.receive,
    }
    const accounts = openAccounts((name): Account => ledger.require(termOf[name], { label }))
    let wire: Wire | undefined
    const connection: MemoryConnection = new MemoryConnection({
      nodeId,
      protocol,
      remote,
      outbound,
      limits,
      accounts,
      wire: {
        send: (message) => wire?.send(message),
        close: () => wire?.close(),
      },
      hungry: (half) => this.#addHungry(half),
      // The pool may be shared with others here, who hear of it in no other way.
      freed: () => this.#options.network.freed(),
      ended: () => {
        this.#slots.delete(slot)
      },
    })
    wire = attach(connection)
    this.#slots.set(slot, { close: () => connection.close(0, 'the endpoint was closed') })
    attached()
    connection.start()
    return connection
  }

  #reserve(slot: Slot): number {
    throwIfAborted(this.#scope.signal)
    const id = this.#nextSlot++
    const admission = this.#slots.set(id, slot)
    if (admission !== 'ok') throw limitError(this.#slots.account, admission, 0)
    return id
  }

  #addHungry(half: ReceiveHalf): void {
    if (!this.#hungry) {
      this.#hungry = half
      return
    }
    let last = this.#hungry
    while (last.nextHungry) last = last.nextHungry
    last.nextHungry = half
  }

  /** @internal Gives credit that came free to the streams that wait for it, oldest first. */
  feed(): void {
    if (this.#feeding || !this.#hungry) return
    this.#feeding = true
    let waiting: ReceiveHalf | undefined = this.#hungry
    this.#hungry = undefined
    while (waiting) {
      const next: ReceiveHalf | undefined = waiting.nextHungry
      waiting.nextHungry = undefined
      if (!waiting.grant()) this.#addHungry(waiting)
      waiting = next
    }
    this.#feeding = false
  }

  #closeAll(): void {
    for (const slot of this.#slots.values()) slot.close()
    this.#slots[Symbol.dispose]()
  }
}

function dialError(
  answer: Exclude<DialAnswer, 'accepted'> | 'nobody',
  address: Address,
): WeirError {
  switch (answer) {
    case 'protocol':
      return protocolRefused()
    case 'identity':
      return connectFailed(`whoever answers on ${address} has another key`)
    case 'nobody':
      return connectFailed(`nobody answers on ${address}`)
    case 'busy':
      return connectFailed(`${address} has too many connections or undecided ones`)
    case 'refused':
    case 'retry':
      return connectFailed(`${address} refused the connection`)
  }
}
