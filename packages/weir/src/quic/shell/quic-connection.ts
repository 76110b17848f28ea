/**
 * A connection as the program sees it: promises around the machine, its timer, and the streams that wait to be opened
 * or accepted.
 *
 * The machine's effects only note; what they cause is done when it has returned.
 *
 * Memory: its accounts, closed with it.
 */
import { type Account, limitError, RingQueue } from '../../bounds/index.ts'
import type { NodeId } from '../../core/index.ts'
import {
  abortError,
  assert,
  type Clock,
  instant,
  onAbort,
  type Timer,
  throwIfAborted,
} from '../../runtime/index.ts'
import {
  type Address,
  type BiStream,
  type CloseInfo,
  type Connection,
  ConnectionClosedError,
  cutReason,
  type Datagrams,
  formatAddress,
  type Protocol,
  type RecvStream,
  type SendStream,
} from '../../transport/index.ts'
import type { ConnectionEffects, ConnectionEnd } from '../connection/connection-options.ts'
import type { Remote } from '../connection/path.ts'
import type { ConnectionMachine } from '../connection-machine.ts'
import type { Target } from '../endpoint/endpoint-machine.ts'
import type { Stream } from '../streams/streams.ts'
import { QuicReceiveStream } from './receive-stream.ts'
import { QuicSendStream } from './send-stream.ts'
import type { StreamOwner } from './stream-owner.ts'

interface Handle {
  readonly stream: Stream
  readonly send: QuicSendStream | undefined
  readonly receive: QuicReceiveStream | undefined
  /** In the list of those that something happened to. */
  woken: boolean
  next: Handle | undefined
}

interface Waiter {
  readonly resolve: (stream: Handle) => void
  readonly reject: (error: Error) => void
  next: Waiter | undefined
}

export interface ShellAccounts {
  readonly streams: Account
  readonly opens: Account
  readonly acceptsUni: Account
  readonly acceptsBi: Account
  readonly receive: Account
  readonly send: Account
  readonly records: Account
}

export interface QuicConnectionOptions {
  readonly clock: Clock
  readonly outbound: boolean
  readonly remote: Remote
  readonly windowBytesMax: number
  readonly accounts: ShellAccounts
  send(bytes: Uint8Array, length: number, remote: Remote): void
  /** Wants a turn: `turn` is called once, soon, after what waits in the sockets was read. */
  schedule(connection: QuicConnection): void
  /** The handshake is through. */
  up(connection: QuicConnection): void
  /** It is over and holds nothing. */
  ended(connection: QuicConnection, end: ConnectionEnd): void
}

export class QuicConnection implements Connection, Target, StreamOwner, ConnectionEffects {
  readonly outbound: boolean
  readonly datagrams: Datagrams | undefined = undefined
  readonly closed: Promise<CloseInfo>
  /** @internal */
  machine!: ConnectionMachine
  /** @internal links of the endpoint's list of those that want a turn */
  scheduled = false
  nextScheduled: QuicConnection | undefined
  readonly #options: QuicConnectionOptions
  readonly #resolveClosed: (info: CloseInfo) => void
  readonly #acceptsUni: RingQueue<Stream>
  readonly #acceptsBi: RingQueue<Stream>
  #nodeId: NodeId | undefined
  #protocol: Protocol | undefined
  #acceptorUni: Waiter | undefined
  #acceptorBi: Waiter | undefined
  #opensUni: Waiter | undefined
  #opensBi: Waiter | undefined
  #wokenHead: Handle | undefined
  #wokenTail: Handle | undefined
  #granted = false
  #shown = false
  #wentUp = false
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #error: ConnectionClosedError | undefined
  #end: ConnectionEnd | undefined

  constructor(options: QuicConnectionOptions) {
    const { promise, resolve } = Promise.withResolvers<CloseInfo>()
    this.closed = promise
    this.#resolveClosed = resolve
    this.#options = options
    this.outbound = options.outbound
    this.#acceptsUni = new RingQueue(options.accounts.acceptsUni)
    this.#acceptsBi = new RingQueue(options.accounts.acceptsBi)
  }

  get nodeId(): NodeId {
    return this.#nodeId!
  }

  get protocol(): Protocol {
    return this.#protocol!
  }

  get remote(): Address {
    const { host, port } = this.#end?.remote ?? this.machine.remote
    return formatAddress({ host, port })
  }

  get over(): boolean {
    return this.#end !== undefined
  }

  get windowBytesMax(): number {
    return this.#options.windowBytesMax
  }

  async openUni(options: { readonly signal?: AbortSignal } = {}): Promise<SendStream> {
    return (await this.#open(false, options.signal)).send!
  }

  async openBi(options: { readonly signal?: AbortSignal } = {}): Promise<BiStream> {
    const { send, receive } = await this.#open(true, options.signal)
    return { send: send!, receive: receive! }
  }

  async acceptUni(options: { readonly signal?: AbortSignal } = {}): Promise<RecvStream> {
    return (await this.#accept(false, options.signal)).receive!
  }

  async acceptBi(options: { readonly signal?: AbortSignal } = {}): Promise<BiStream> {
    const { send, receive } = await this.#accept(true, options.signal)
    return { send: send!, receive: receive! }
  }

  close(code = 0, reason = ''): void {
    if (this.#end) return
    assert(Number.isSafeInteger(code) && code >= 0, `the close code ${code} is no natural number`)
    this.machine.close(code, cutReason(reason), this.#now(), this)
    this.#settle()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await this.closed
  }

  /** @internal Gives a handshake up. */
  abandon(code: number, reason: string): void {
    if (this.#end) return
    this.machine.abandon(code, reason, this.#now(), this)
    this.#settle()
  }

  /** @internal */
  start(): void {
    this.machine.start(this.#now(), this)
    this.touch()
  }

  /** @internal A datagram came. */
  receive(bytes: Uint8Array, remote: Remote): void {
    if (this.#end) return
    this.machine.receive(bytes, remote, this.#now(), this)
    this.#settle()
    this.touch()
  }

  /** @internal */
  takeReset(bytes: Uint8Array, remote: Remote): boolean {
    if (this.#end || this.machine.remote.host !== remote.host) return false
    if (!this.machine.isReset(bytes)) return false
    this.machine.peerReset(this.#now(), this)
    this.#settle()
    return true
  }

  /** @internal */
  touch(): void {
    if (!this.scheduled && !this.#end) this.#options.schedule(this)
  }

  /** @internal Sends what is due and does what time asks for. */
  turn(): void {
    if (this.#end) return
    const now = this.#now()
    if (now >= this.machine.wakeAt) this.machine.wake(now, this)
    else this.machine.flush(now, this)
    this.#settle()
    this.#arm()
  }

  /** @internal */
  read(stream: Stream, bytesMax: number): Uint8Array | undefined {
    const bytes = this.machine.read(stream, bytesMax, this.#now(), this)
    if (bytes) this.touch()
    return bytes
  }

  /** @internal */
  stop(stream: Stream, code: number): void {
    this.machine.stop(stream, code, this.#now(), this)
    this.#settle()
    this.touch()
  }

  // Effects of the machine.

  /** @internal */
  send(bytes: Uint8Array, length: number, remote: Remote): void {
    this.#options.send(bytes, length, remote)
  }

  /** @internal */
  established(peer: { readonly node: NodeId; readonly protocol: Uint8Array }): void {
    this.#nodeId = peer.node
    this.#protocol = peer.protocol
    this.#wentUp = true
    this.#granted = true
  }

  /** @internal */
  shown(stream: Stream): void {
    // As many as were granted fit, so it cannot be refused.
    const admission = (stream.bidi ? this.#acceptsBi : this.#acceptsUni).push(stream)
    assert(admission === 'ok', 'a stream that was granted has no place to wait')
    this.#shown = true
  }

  /** @internal */
  readable(stream: Stream): void {
    this.#wake(stream)
  }

  /** @internal */
  writable(stream: Stream): void {
    this.#wake(stream)
  }

  /** @internal */
  stopped(stream: Stream): void {
    this.#wake(stream)
  }

  /** @internal */
  granted(): void {
    this.#granted = true
  }

  /** @internal */
  gone(stream: Stream): void {
    this.#wake(stream)
  }

  /** @internal */
  ended(end: ConnectionEnd): void {
    this.#end = end
    this.#error = new ConnectionClosedError({ ...end.info, reason: cutReason(end.info.reason) })
  }

  #now() {
    return instant(this.#options.clock.now())
  }

  #wake(stream: Stream): void {
    const handle = stream.handle as Handle | undefined
    if (!handle || handle.woken) return
    handle.woken = true
    if (this.#wokenTail) this.#wokenTail.next = handle
    else this.#wokenHead = handle
    this.#wokenTail = handle
  }

  /** Does what the machine noted. */
  #settle(): void {
    while (this.#wokenHead) {
      const handle = this.#wokenHead
      this.#wokenHead = handle.next
      if (!this.#wokenHead) this.#wokenTail = undefined
      handle.next = undefined
      handle.woken = false
      const { send, stream } = handle
      if (this.#error) {
        send?.end(this.#error)
        handle.receive?.end(this.#error)
        continue
      }
      if (send && stream.send!.stopCode >= 0) send.stop(stream.send!.stopCode)
      send?.advance()
      handle.receive?.advance()
    }
    if (this.#wentUp && !this.#end) {
      this.#wentUp = false
      this.#options.up(this)
    }
    if (this.#shown && !this.#end) this.#serveAcceptors()
    if (this.#granted && !this.#end) this.#serveOpens()
    if (this.#end && this.#error) this.#finish(this.#end, this.#error)
  }

  #finish(end: ConnectionEnd, error: ConnectionClosedError): void {
    if (this.#acceptsBi.account.closed) return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#acceptsUni[Symbol.dispose]()
    this.#acceptsBi[Symbol.dispose]()
    this.#acceptorUni?.reject(error)
    this.#acceptorBi?.reject(error)
    for (let open = this.#opensUni; open; open = open.next) open.reject(error)
    for (let open = this.#opensBi; open; open = open.next) open.reject(error)
    this.#acceptorUni = this.#acceptorBi = this.#opensUni = this.#opensBi = undefined
    const { opens, receive, send, records } = this.#options.accounts
    for (const account of [opens, receive, send, records]) account[Symbol.dispose]()
    this.#options.ended(this, end)
    this.#resolveClosed(error.close)
  }

  /** One timer, started again only when it would ring too late: a wake too early costs nothing. */
  #arm(): void {
    const at = this.#end ? Number.POSITIVE_INFINITY : this.machine.wakeAt
    if (at === Number.POSITIVE_INFINITY || (this.#timer && this.#timerAt <= at)) return
    this.#timer?.cancel()
    this.#timerAt = at
    const { clock } = this.#options
    this.#timer = clock.start(Math.max((at - clock.now()) / 1000, 0), () => {
      this.#timer = undefined
      this.#timerAt = Number.POSITIVE_INFINITY
      if (this.#end) return
      // A turn later, so that what has arrived meanwhile is read first.
      if (clock.now() >= this.machine.wakeAt) this.touch()
      else this.#arm()
    })
  }

  async #open(bidi: boolean, signal: AbortSignal | undefined): Promise<Handle> {
    throwIfAborted(signal)
    if (this.#error) throw this.#error
    const waiting = bidi ? this.#opensBi : this.#opensUni
    const stream = waiting ? undefined : this.machine.open(bidi)
    if (stream) return this.#handle(stream)
    const { opens } = this.#options.accounts
    const admission = opens.take(0, 1)
    if (admission !== 'ok') throw limitError(opens, admission, 1)
    return new Promise<Handle>((resolve, reject) => {
      const done = () => {
        listener[Symbol.dispose]()
        if (!opens.closed) opens.give(0, 1)
      }
      const waiter: Waiter = {
        resolve: (handle) => {
          done()
          resolve(handle)
        },
        reject: (error) => {
          done()
          reject(error)
        },
        next: undefined,
      }
      if (bidi) this.#opensBi = appended(this.#opensBi, waiter)
      else this.#opensUni = appended(this.#opensUni, waiter)
      const listener = onAbort(signal, () => {
        if (bidi) this.#opensBi = without(this.#opensBi, waiter)
        else this.#opensUni = without(this.#opensUni, waiter)
        waiter.reject(abortError(signal!))
      })
    })
  }

  #serveOpens(): void {
    this.#granted = false
    while (this.#opensUni) {
      const stream = this.machine.open(false)
      if (!stream) break
      const waiter = this.#opensUni
      this.#opensUni = waiter.next
      waiter.resolve(this.#handle(stream))
    }
    while (this.#opensBi) {
      const stream = this.machine.open(true)
      if (!stream) break
      const waiter = this.#opensBi
      this.#opensBi = waiter.next
      waiter.resolve(this.#handle(stream))
    }
  }

  async #accept(bidi: boolean, signal: AbortSignal | undefined): Promise<Handle> {
    throwIfAborted(signal)
    if (this.#error) throw this.#error
    const stream = (bidi ? this.#acceptsBi : this.#acceptsUni).shift()
    if (stream) return this.#accepted(stream)
    assert(!(bidi ? this.#acceptorBi : this.#acceptorUni), 'a connection has one acceptor a kind')
    return new Promise<Handle>((resolve, reject) => {
      const waiter: Waiter = {
        resolve: (handle) => {
          listener[Symbol.dispose]()
          resolve(handle)
        },
        reject: (error) => {
          listener[Symbol.dispose]()
          reject(error)
        },
        next: undefined,
      }
      if (bidi) this.#acceptorBi = waiter
      else this.#acceptorUni = waiter
      const listener = onAbort(signal, () => {
        if (bidi) this.#acceptorBi = undefined
        else this.#acceptorUni = undefined
        waiter.reject(abortError(signal!))
      })
    })
  }

  #serveAcceptors(): void {
    this.#shown = false
    if (this.#acceptorUni) {
      const stream = this.#acceptsUni.shift()
      const acceptor = this.#acceptorUni
      if (stream) {
        this.#acceptorUni = undefined
        acceptor.resolve(this.#accepted(stream))
      }
    }
    if (this.#acceptorBi) {
      const stream = this.#acceptsBi.shift()
      const acceptor = this.#acceptorBi
      if (stream) {
        this.#acceptorBi = undefined
        acceptor.resolve(this.#accepted(stream))
      }
    }
  }

  #accepted(stream: Stream): Handle {
    const handle = this.#handle(stream)
    this.machine.accept(stream, this.#now(), this)
    this.touch()
    return handle
  }

  #handle(stream: Stream): Handle {
    const handle: Handle = {
      stream,
      send: stream.send ? new QuicSendStream(stream, this) : undefined,
      receive: stream.receive ? new QuicReceiveStream(stream, this) : undefined,
      woken: false,
      next: undefined,
    }
    stream.handle = handle
    return handle
  }
}

function appended(head: Waiter | undefined, waiter: Waiter): Waiter {
  if (!head) return waiter
  let last = head
  while (last.next) last = last.next
  last.next = waiter
  return head
}

function without(head: Waiter | undefined, waiter: Waiter): Waiter | undefined {
  if (head === waiter) return waiter.next
  for (let each = head; each; each = each.next) {
    if (each.next === waiter) each.next = waiter.next
  }
  return head
}
