/**
 * The network of the memory backend: who listens where, and the wires between them, with delay and faults.
 *
 * Without delay a message is received within the call that sends it. With delay it is received in the order of sending
 * when the clock of the network says so; a bridge (two processes) brings wires of its own.
 *
 * Memory: one list node per open endpoint, and with delay what is on its way, which is within the receivers' credit.
 */
import { copyBytes, equalBytes } from '../codec/index.ts'
import type { NodeId } from '../core/index.ts'
import { type Clock, systemClock, type Timer } from '../runtime/index.ts'
import type { Address, Protocol } from './transport.ts'
import type { Message, Wire, WireEnd } from './wire.ts'

/** What a dial carries to the other side, and how that side answers: once, or never. */
export interface Dial {
  readonly from: NodeId
  readonly fromAddress: Address
  readonly to: NodeId
  readonly protocol: Protocol
  /** Whether the dialler has proved its address, because it was asked to. */
  readonly validated: boolean
  /** The dialler has given up. */
  readonly gone: boolean
  /** Attaches the accepting end, before the answer `accepted`. */
  attach(end: WireEnd): Wire
  answer(answer: DialAnswer): void
}

/** What the dialling side asks of the network. */
export interface DialRequest extends Omit<Dial, 'gone' | 'attach' | 'answer'> {
  /** Called at most once; `attach` comes with `accepted`. */
  answered(answer: DialAnswer | 'nobody', attach?: (end: WireEnd) => Wire): void
}

export type DialAnswer = 'accepted' | 'refused' | 'busy' | 'protocol' | 'identity' | 'retry'

/** Someone who can be dialled: an endpoint here, or a bridge to one elsewhere. */
export interface Listener {
  readonly address: Address
  /** Whose it is; a bridge to several has none. */
  readonly nodeId?: NodeId
  dial(dial: Dial): void
  /** Credit came free somewhere, and what waits for it may try again. */
  feed?(): void
}

/** Faults, asked for each dial and each message; all optional. The simulator draws them from its seed. */
export interface NetworkFaults {
  /** One-way delay in ms of what `from` sends to `to`. Default 0. */
  delayMs?(from: NodeId, to: NodeId): number
  /** What becomes of a dial: it arrives (default), is answered by nobody, or is refused. */
  dial?(from: NodeId, to: NodeId): 'reach' | 'lose' | 'refuse'
}

export interface MemoryNetworkOptions {
  /** Time of the delays. Default: the system's. */
  readonly clock?: Clock
  readonly faults?: NetworkFaults
}

interface ListenerNode {
  readonly listener: Listener
  next: ListenerNode | undefined
}

export class MemoryNetwork implements Disposable {
  readonly clock: Clock
  faults: NetworkFaults
  #listeners: ListenerNode | undefined
  #links: Link | undefined
  #nextPort = 1

  constructor(options: MemoryNetworkOptions = {}) {
    this.clock = options.clock ?? systemClock
    this.faults = options.faults ?? {}
  }

  /** Wires between two ends here that are open or have something on its way. */
  get links(): number {
    let count = 0
    for (let link = this.#links; link; link = link.next) count++
    return count
  }

  /** An address that nobody has. */
  freeAddress(): Address {
    while (true) {
      const port = this.#nextPort++
      const address = `127.0.0.1:${port}`
      if (!this.at(address)) return address
    }
  }

  /** Adds a listener; false when its address is taken. */
  listen(listener: Listener): boolean {
    if (this.at(listener.address)) return false
    this.#listeners = { listener, next: this.#listeners }
    return true
  }

  unlisten(listener: Listener): void {
    if (this.#listeners?.listener === listener) this.#listeners = this.#listeners.next
    else {
      let before = this.#listeners
      while (before?.next && before.next.listener !== listener) before = before.next
      if (before) before.next = before.next?.next
    }
  }

  /** @internal Credit came free with one of the listeners. */
  freed(): void {
    for (let node = this.#listeners; node; node = node.next) node.listener.feed?.()
  }

  at(address: Address): Listener | undefined {
    for (let node = this.#listeners; node; node = node.next) {
      if (node.listener.address === address) return node.listener
    }
    return undefined
  }

  /** Where a node of this network listens. */
  addressOf(node: Uint8Array): Address | undefined {
    for (let each = this.#listeners; each; each = each.next) {
      const { nodeId, address } = each.listener
      if (nodeId && equalBytes(nodeId, node)) return address
    }
    return undefined
  }

  /** Dials an address. Disposing what is returned gives up: the other side's end is lost. */
  dial(address: Address, request: DialRequest): Disposable {
    const fate = this.faults.dial?.(request.from, request.to) ?? 'reach'
    const listener = this.at(address)
    if (fate === 'refuse' || !listener) {
      request.answered(listener ? 'refused' : 'nobody')
      return { [Symbol.dispose]() {} }
    }
    const link = this.#link(request.from, request.to)
    let gone = false
    const dial: Dial = {
      ...request,
      get gone() {
        return gone
      },
      attach: (end) => link.attachListener(end),
      answer: (answer) =>
        link.toDialler(() => {
          if (gone) return
          if (answer !== 'accepted') link.cut('the dial was not accepted')
          request.answered(answer, (end) => link.attachDialler(end))
        }),
    }
    if (fate === 'reach') link.toListener(() => listener.dial(dial))
    return {
      [Symbol.dispose]() {
        gone = true
        link.cut('the dialler gave up')
      },
    }
  }

  #link(from: NodeId, to: NodeId): Link {
    const link = new Link(this, from, to)
    link.next = this.#links
    if (this.#links) this.#links.previous = link
    this.#links = link
    return link
  }

  /** @internal */
  unlink(link: Link): void {
    if (this.#links === link) this.#links = link.next
    if (link.previous) link.previous.next = link.next
    if (link.next) link.next.previous = link.previous
    link.previous = link.next = undefined
  }

  /** Breaks the connections between two nodes, or all of one, or all. @returns how many. */
  cut(a?: NodeId, b?: NodeId): number {
    let count = 0
    for (let link = this.#links; link; ) {
      const next: Link | undefined = link.next
      if ((!a || link.touches(a)) && (!b || link.touches(b))) {
        link.cut('the network was cut')
        count++
      }
      link = next
    }
    return count
  }

  /** Cuts everything; timers of messages on their way are gone. */
  [Symbol.dispose](): void {
    this.cut()
  }
}

interface OnItsWay {
  readonly at: number
  readonly run: () => void
  next: OnItsWay | undefined
}

/** Both directions between two ends of one network. */
export class Link implements Disposable {
  readonly #network: MemoryNetwork
  readonly #forward: Direction
  readonly #backward: Direction
  readonly #from: NodeId
  readonly #to: NodeId
  previous: Link | undefined
  next: Link | undefined

  constructor(network: MemoryNetwork, from: NodeId, to: NodeId) {
    this.#network = network
    this.#from = from
    this.#to = to
    const drained = () => this.#drained()
    this.#forward = new Direction(network, from, to, drained)
    this.#backward = new Direction(network, to, from, drained)
  }

  touches(node: NodeId): boolean {
    return equalBytes(this.#from, node) || equalBytes(this.#to, node)
  }

  /** The wire of the dialling end. */
  attachDialler(end: WireEnd): Wire {
    this.#backward.end = end
    return this.#forward
  }

  attachListener(end: WireEnd): Wire {
    this.#forward.end = end
    return this.#backward
  }

  /** Runs `run` at the listener (or the dialler) after the delay of that way. */
  toListener(run: () => void): void {
    this.#forward.later(run)
  }

  toDialler(run: () => void): void {
    this.#backward.later(run)
  }

  cut(why: string): void {
    this.#forward.cut(why)
    this.#backward.cut(why)
    this.#network.unlink(this)
  }

  [Symbol.dispose](): void {
    this.#forward.close()
    this.#backward.close()
  }

  #drained(): void {
    if (this.#forward.idle && this.#backward.idle) this.#network.unlink(this)
  }
}

/** One way of a link: in order, each message when it is due. */
class Direction implements Wire {
  readonly #network: MemoryNetwork
  readonly #from: NodeId
  readonly #to: NodeId
  readonly #drained: () => void
  end: WireEnd | undefined
  #first: OnItsWay | undefined
  #last: OnItsWay | undefined
  #timer: Timer | undefined
  #closed = false

  constructor(network: MemoryNetwork, from: NodeId, to: NodeId, drained: () => void) {
    this.#network = network
    this.#from = from
    this.#to = to
    this.#drained = drained
  }

  /** Nothing is sent any more and nothing is on its way. */
  get idle(): boolean {
    return this.#closed && !this.#first
  }

  send(message: Message): void {
    if (this.#closed) return
    const delayed = this.#delayMs() > 0 || this.#first
    if (!delayed) return this.end?.receive(message)
    // The sender's buffer is free again when its write settles, which is now.
    const kept = message.type === 'data' ? { ...message, bytes: copyBytes(message.bytes) } : message
    this.later(() => this.end?.receive(kept))
  }

  close(): void {
    this.#closed = true
    this.#drained()
  }

  later(run: () => void): void {
    const delayMs = this.#delayMs()
    if (delayMs <= 0 && !this.#first) return run()
    const at = this.#network.clock.now() + delayMs * 1000
    const item: OnItsWay = { at, run, next: undefined }
    if (this.#last) this.#last.next = item
    else this.#first = item
    this.#last = item
    if (!this.#timer) this.#arm()
  }

  cut(why: string): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#timer = undefined
    this.#first = this.#last = undefined
    const end = this.end
    this.end = undefined
    end?.lost(why)
  }

  #delayMs(): number {
    return this.#network.faults.delayMs?.(this.#from, this.#to) ?? 0
  }

  #arm(): void {
    const first = this.#first!
    const delayMs = (first.at - this.#network.clock.now()) / 1000
    this.#timer = this.#network.clock.start(delayMs, () => this.#due())
  }

  #due(): void {
    this.#timer = undefined
    const now = this.#network.clock.now()
    // What is sent from within a delivery queues behind it, also without a delay of its own.
    while (this.#first && this.#first.at <= now) {
      const item = this.#first
      this.#first = item.next
      if (!this.#first) this.#last = undefined
      item.run()
    }
    if (this.#first && !this.#timer) this.#arm()
    if (this.idle) this.#drained()
  }
}
