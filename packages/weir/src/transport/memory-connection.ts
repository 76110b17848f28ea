/**
 * One end of a memory connection: opens and accepts streams, hands the wire's messages to their halves, and ends all
 * of it once.
 *
 * A peer may open as many streams of a kind as it was granted; one more is granted when one has ended and was
 * accepted, so the accept queues cannot overflow. A stream shows at the peer with its first byte, finish or reset, as
 * in QUIC.
 *
 * Memory: the accounts of its streams, accept queues, waiting opens and credit, closed with the connection.
 */
import { type Account, BoundedMap, limitError, RingQueue } from '../bounds/index.ts'
import type { NodeId } from '../core/index.ts'
import { abortError, assert, onAbort, throwIfAborted } from '../runtime/index.ts'
import { ConnectionClosedError, cutReason } from './errors.ts'
import type { TransportLimits } from './memory.ts'
import { type HalfOwner, ReceiveHalf, SendHalf } from './memory-streams.ts'
import type {
  Address,
  BiStream,
  CloseInfo,
  Connection,
  Datagrams,
  Protocol,
  RecvStream,
  SendStream,
} from './transport.ts'
import type { Message, Wire, WireEnd } from './wire.ts'

interface Stream {
  readonly id: number
  readonly send: SendHalf | undefined
  readonly receive: ReceiveHalf | undefined
  /** Halves that still live. */
  halves: number
  /** Handed to the program, or opened by it. */
  accepted: boolean
  /** Shown to the acceptor: it has carried something. */
  shown: boolean
}

interface Open {
  readonly bidi: boolean
  readonly resolve: (stream: Stream) => void
  readonly reject: (error: Error) => void
  next: Open | undefined
}

interface Acceptor {
  readonly resolve: (stream: Stream) => void
  readonly reject: (error: Error) => void
}

export interface ConnectionAccounts {
  readonly streams: Account
  readonly opens: Account
  readonly acceptsUni: Account
  readonly acceptsBi: Account
  readonly receive: Account
}

export interface MemoryConnectionOptions {
  readonly nodeId: NodeId
  readonly protocol: Protocol
  readonly remote: Address
  readonly outbound: boolean
  readonly limits: TransportLimits
  readonly accounts: ConnectionAccounts
  readonly wire: Wire
  /** A half waits for credit; the endpoint calls `grant` when some came free. */
  hungry(half: ReceiveHalf): void
  /** Credit came free. */
  freed(): void
  /** The connection is over and holds nothing. */
  ended(): void
}

export class MemoryConnection implements Connection, WireEnd, HalfOwner {
  readonly nodeId: NodeId
  readonly protocol: Protocol
  readonly remote: Address
  readonly outbound: boolean
  /** The memory backend has no unreliable messages. */
  readonly datagrams: Datagrams | undefined = undefined
  readonly closed: Promise<CloseInfo>
  readonly #options: MemoryConnectionOptions
  readonly #resolveClosed: (info: CloseInfo) => void
  readonly #streams: BoundedMap<number, Stream>
  readonly #acceptsUni: RingQueue<Stream>
  readonly #acceptsBi: RingQueue<Stream>
  #acceptorUni: Acceptor | undefined
  #acceptorBi: Acceptor | undefined
  #opens: Open | undefined
  #grantedUni = 0
  #grantedBi = 0
  /** Streams of the peer that count against what it was granted. */
  #foreignUni = 0
  #foreignBi = 0
  #nextUni: number
  #nextBi: number
  #error: ConnectionClosedError | undefined

  constructor(options: MemoryConnectionOptions) {
    const { promise, resolve } = Promise.withResolvers<CloseInfo>()
    this.closed = promise
    this.#resolveClosed = resolve
    this.#options = options
    this.nodeId = options.nodeId
    this.protocol = options.protocol
    this.remote = options.remote
    this.outbound = options.outbound
    this.#streams = new BoundedMap(options.accounts.streams)
    this.#acceptsUni = new RingQueue(options.accounts.acceptsUni)
    this.#acceptsBi = new RingQueue(options.accounts.acceptsBi)
    const side = options.outbound ? 0 : 1
    this.#nextBi = side
    this.#nextUni = 2 + side
  }

  /** @internal Grants the peer its streams, once both ends are attached to the wire. */
  start(): void {
    const count = this.#options.limits.streamsMax
    this.send({ type: 'streams', bidi: false, count })
    this.send({ type: 'streams', bidi: true, count })
  }

  async openUni(options: { readonly signal?: AbortSignal } = {}): Promise<SendStream> {
    const stream = await this.#open(false, options.signal)
    return stream.send!
  }

  async openBi(options: { readonly signal?: AbortSignal } = {}): Promise<BiStream> {
    const stream = await this.#open(true, options.signal)
    return { send: stream.send!, receive: stream.receive! }
  }

  async acceptUni(options: { readonly signal?: AbortSignal } = {}): Promise<RecvStream> {
    const stream = await this.#accept(false, options.signal)
    return stream.receive!
  }

  async acceptBi(options: { readonly signal?: AbortSignal } = {}): Promise<BiStream> {
    const stream = await this.#accept(true, options.signal)
    return { send: stream.send!, receive: stream.receive! }
  }

  close(code = 0, reason = ''): void {
    if (this.#error) return
    assert(Number.isSafeInteger(code) && code >= 0, `the close code ${code} is no natural number`)
    const cut = cutReason(reason)
    this.send({ type: 'close', code, reason: cut })
    this.#end({ code, reason: cut, by: 'local' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await this.closed
  }

  /** @internal */
  send(message: Message): void {
    if (!this.#error) this.#options.wire.send(message)
  }

  /** @internal */
  freed(): void {
    this.#options.freed()
  }

  /** @internal */
  ended(id: number): void {
    const stream = this.#streams.peek(id)
    if (!stream) return
    stream.halves--
    this.#release(stream)
    this.#options.freed()
  }

  /** @internal */
  lost(why: string): void {
    this.#end({ code: 0, reason: cutReason(why), by: 'lost' })
  }

  /** @internal What the other end said. What it must not say ends the connection and never throws. */
  receive(message: Message): void {
    if (this.#error) return
    switch (message.type) {
      case 'open':
        return this.#opened(message.stream, message.bidi, message.credit)
      case 'data':
        return this.#toReceiver(message.stream, (half) => {
          if (!half.data(message.bytes)) this.#violated('more data than credit')
        })
      case 'finish':
        return this.#toReceiver(message.stream, (half) => half.finish())
      case 'reset':
        return this.#toReceiver(message.stream, (half) => half.reset(message.code))
      case 'stop': {
        const stream = this.#streams.peek(message.stream)
        if (stream) this.#show(stream)
        return stream?.send?.stop(message.code)
      }
      case 'credit':
        return this.#streams.peek(message.stream)?.send?.credit(message.bytes)
      case 'streams':
        if (message.bidi) this.#grantedBi += message.count
        else this.#grantedUni += message.count
        return this.#serveOpens()
      case 'close':
        return this.#end({ code: message.code, reason: cutReason(message.reason), by: 'remote' })
    }
  }

  async #open(bidi: boolean, signal: AbortSignal | undefined): Promise<Stream> {
    throwIfAborted(signal)
    if (this.#error) throw this.#error
    if ((bidi ? this.#grantedBi : this.#grantedUni) > 0) return this.#create(bidi)
    const { opens } = this.#options.accounts
    opens.require(0, 1)
    return new Promise<Stream>((resolve, reject) => {
      const done = () => {
        listener[Symbol.dispose]()
        if (!opens.closed) opens.give(0, 1)
      }
      const open: Open = {
        bidi,
        resolve: (stream) => {
          done()
          resolve(stream)
        },
        reject: (error) => {
          done()
          reject(error)
        },
        next: undefined,
      }
      if (!this.#opens) this.#opens = open
      else {
        let last = this.#opens
        while (last.next) last = last.next
        last.next = open
      }
      const listener = onAbort(signal, () => {
        this.#forgetOpen(open)
        open.reject(abortError(signal!))
      })
    })
  }

  #serveOpens(): void {
    for (let open = this.#opens; open; ) {
      const next: Open | undefined = open.next
      if ((open.bidi ? this.#grantedBi : this.#grantedUni) > 0) {
        this.#forgetOpen(open)
        try {
          open.resolve(this.#create(open.bidi))
        } catch (error) {
          open.reject(error as Error)
        }
      }
      open = next
    }
  }

  #forgetOpen(open: Open): void {
    if (this.#opens === open) this.#opens = open.next
    else {
      let before = this.#opens
      while (before && before.next !== open) before = before.next
      if (before) before.next = open.next
    }
  }

  #create(bidi: boolean): Stream {
    const id = bidi ? this.#nextBi : this.#nextUni
    const stream = this.#stream(id, bidi, true, 0)
    const admission = this.#streams.set(id, stream)
    if (admission !== 'ok') throw limitError(this.#options.accounts.streams, admission, 0)
    if (bidi) {
      this.#nextBi += 4
      this.#grantedBi--
    } else {
      this.#nextUni += 4
      this.#grantedUni--
    }
    const credit = stream.receive?.firstCredit() ?? 0
    this.send({ type: 'open', stream: id, bidi, credit })
    return stream
  }

  #opened(id: number, bidi: boolean, credit: number): void {
    const stream = this.#stream(id, bidi, false, credit)
    const foreign = bidi ? this.#foreignBi : this.#foreignUni
    const granted = foreign < this.#options.limits.streamsMax && !this.#streams.has(id)
    if (!granted || this.#streams.set(id, stream) !== 'ok') {
      return this.#violated('a stream that was not granted')
    }
    if (bidi) this.#foreignBi++
    else this.#foreignUni++
    const own = stream.receive!.firstCredit()
    if (own > 0) this.send({ type: 'credit', stream: id, bytes: own })
  }

  #stream(id: number, bidi: boolean, own: boolean, credit: number): Stream {
    const receives = bidi || !own
    const receive = receives
      ? new ReceiveHalf({
          stream: id,
          owner: this,
          account: this.#options.accounts.receive,
          windowFirstBytes: this.#options.limits.windowFirstBytes,
          windowBytesMax: this.#options.limits.windowBytesMax,
          hungry: this.#options.hungry,
        })
      : undefined
    const send = bidi || own ? new SendHalf(id, this, credit) : undefined
    return { id, send, receive, halves: bidi ? 2 : 1, accepted: own, shown: own }
  }

  #toReceiver(id: number, deliver: (half: ReceiveHalf) => void): void {
    const stream = this.#streams.peek(id)
    if (!stream?.receive) return // it has ended here while this was on its way
    this.#show(stream)
    deliver(stream.receive)
  }

  /** The first thing that a stream carries makes it acceptable. */
  #show(stream: Stream): void {
    if (stream.shown) return
    stream.shown = true
    const bidi = stream.send !== undefined
    const acceptor = bidi ? this.#acceptorBi : this.#acceptorUni
    if (acceptor) {
      if (bidi) this.#acceptorBi = undefined
      else this.#acceptorUni = undefined
      stream.accepted = true
      return acceptor.resolve(stream)
    }
    const queued = (bidi ? this.#acceptsBi : this.#acceptsUni).push(stream)
    if (queued !== 'ok') this.#violated('a stream that was not granted')
  }

  async #accept(bidi: boolean, signal: AbortSignal | undefined): Promise<Stream> {
    throwIfAborted(signal)
    if (this.#error) throw this.#error
    const waiting = (bidi ? this.#acceptsBi : this.#acceptsUni).shift()
    if (waiting) {
      waiting.accepted = true
      this.#release(waiting)
      return waiting
    }
    assert(!(bidi ? this.#acceptorBi : this.#acceptorUni), 'a connection has one acceptor a kind')
    return new Promise<Stream>((resolve, reject) => {
      const acceptor: Acceptor = {
        resolve: (stream) => {
          listener[Symbol.dispose]()
          resolve(stream)
        },
        reject: (error) => {
          listener[Symbol.dispose]()
          reject(error)
        },
      }
      if (bidi) this.#acceptorBi = acceptor
      else this.#acceptorUni = acceptor
      const listener = onAbort(signal, () => {
        if (bidi) this.#acceptorBi = undefined
        else this.#acceptorUni = undefined
        acceptor.reject(abortError(signal!))
      })
    })
  }

  /** Forgets a stream whose halves have ended and that no accept queue holds. */
  #release(stream: Stream): void {
    if (stream.halves > 0 || !stream.accepted || !this.#streams.delete(stream.id)) return
    const foreign = (stream.id & 1) === (this.outbound ? 1 : 0)
    if (!foreign) return
    const bidi = stream.send !== undefined
    if (bidi) this.#foreignBi--
    else this.#foreignUni--
    this.send({ type: 'streams', bidi, count: 1 })
  }

  #violated(what: string): void {
    this.close(3, `protocol violation: ${what}`)
  }

  #end(info: CloseInfo): void {
    if (this.#error) return
    const error = new ConnectionClosedError(info)
    this.#error = error
    for (const stream of this.#streams.values()) {
      stream.send?.fail(error)
      stream.receive?.fail(error)
    }
    this.#streams[Symbol.dispose]()
    this.#acceptsUni[Symbol.dispose]()
    this.#acceptsBi[Symbol.dispose]()
    this.#acceptorUni?.reject(error)
    this.#acceptorBi?.reject(error)
    this.#acceptorUni = this.#acceptorBi = undefined
    while (this.#opens) {
      const open = this.#opens
      this.#opens = open.next
      open.reject(error)
    }
    this.#options.accounts.opens[Symbol.dispose]()
    this.#options.accounts.receive[Symbol.dispose]()
    this.#options.wire.close()
    this.#options.ended()
    this.#options.freed()
    this.#resolveClosed(info)
  }
}

/** The accounts that a new connection needs; all or none. @throws {WeirError} `LIMIT` */
export function openAccounts(
  open: (name: keyof ConnectionAccounts) => Account,
): ConnectionAccounts {
  const opened: Partial<Record<keyof ConnectionAccounts, Account>> = {}
  try {
    for (const name of ['streams', 'opens', 'acceptsUni', 'acceptsBi', 'receive'] as const) {
      opened[name] = open(name)
    }
    return opened as ConnectionAccounts
  } catch (error) {
    for (const account of Object.values(opened)) account[Symbol.dispose]()
    throw error
  }
}
