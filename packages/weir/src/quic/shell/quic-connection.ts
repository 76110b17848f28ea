/**
 * A connection as the program sees it: promises around the machine, its timer, and the streams that wait to be opened
 * or accepted.
 *
 * The machine's effects only note; what they cause is done when it has returned.
 *
 * Memory: its accounts, closed with it.
 */
import type { Account } from '../../bounds/index.ts'
import type { NodeId } from '../../core/index.ts'
import { assert, type Clock, instant, type Timer, throwIfAborted } from '../../runtime/index.ts'
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
import type { IdRouter, IssuedId } from '../connection/connection-ids.ts'
import type { ConnectionEffects, ConnectionEnd } from '../connection/connection-options.ts'
import type { Remote } from '../connection/path.ts'
import type { ConnectionMachine } from '../connection-machine.ts'
import type { Target } from '../endpoint/endpoint-machine.ts'
import type { Stream } from '../streams/streams.ts'
import { type MessageOwner, Messages } from './messages.ts'
import { QuicReceiveStream } from './receive-stream.ts'
import type { Remotes } from './remotes.ts'
import { QuicSendStream } from './send-stream.ts'
import type { StreamOwner } from './stream-owner.ts'
import { StreamWaiters } from './stream-waiters.ts'
import type { TurnTaker } from './turns.ts'

interface Handle {
  readonly stream: Stream
  readonly send: QuicSendStream | undefined
  readonly receive: QuicReceiveStream | undefined
  /** In the list of those that something happened to. */
  woken: boolean
  next: Handle | undefined
}

export interface ShellAccounts {
  readonly streams: Account
  readonly opens: Account
  readonly receive: Account
  readonly send: Account
  readonly records: Account
  readonly gaps: Account
  readonly ackRanges: Account
  readonly crypto: Account
  readonly messagesIn?: Account
  readonly messagesOut?: Account
}

/** What a connection needs of its endpoint. */
export interface ConnectionOwner {
  readonly clock: Clock
  send(bytes: Uint8Array, length: number, remote: Remote): void
  issue(connection: QuicConnection): IssuedId | undefined
  retire(id: Uint8Array): void
  expectReset(token: string, connection: QuicConnection): void
  forgetReset(token: string, connection: QuicConnection): void
  /** For streams of the peer that nobody has accepted yet. */
  acceptsAccount(label: string): Account
  /** Wants a turn: `turn` is called once, soon, after what waits in the sockets was read. */
  schedule(connection: QuicConnection): void
  /** The handshake is through. */
  up(connection: QuicConnection): void
  /** It is over and holds nothing. */
  ended(connection: QuicConnection, end: ConnectionEnd): void
}

export interface QuicConnectionOptions {
  readonly owner: ConnectionOwner
  readonly outbound: boolean
  readonly remotes: Remotes
  readonly windowBytesMax: number
  readonly accounts: ShellAccounts
}

export class QuicConnection
  implements Connection, Target, StreamOwner, MessageOwner, ConnectionEffects, IdRouter, TurnTaker
{
  readonly outbound: boolean
  /** @internal */
  machine!: ConnectionMachine
  /** @internal */
  scheduled = false
  /** @internal */
  nextScheduled: TurnTaker | undefined
  readonly windowBytesMax: number
  readonly #owner: ConnectionOwner
  readonly #accounts: ShellAccounts
  readonly #remotes: Remotes
  /** Made when somebody waits, or a stream comes. */
  #uni: StreamWaiters<Handle> | undefined
  #bi: StreamWaiters<Handle> | undefined
  #closed: PromiseWithResolvers<CloseInfo> | undefined
  #nodeId: NodeId | undefined
  #protocol: Protocol | undefined
  #wokenHead: Handle | undefined
  #wokenTail: Handle | undefined
  #messages: Messages | undefined
  #granted = false
  #shown = false
  /** A message has come. */
  #told = false
  #wentUp = false
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #error: ConnectionClosedError | undefined
  #end: ConnectionEnd | undefined
  #finished = false

  constructor(options: QuicConnectionOptions) {
    this.outbound = options.outbound
    this.windowBytesMax = options.windowBytesMax
    this.#owner = options.owner
    this.#accounts = options.accounts
    this.#remotes = options.remotes
  }

  get closed(): Promise<CloseInfo> {
    this.#closed ??= Promise.withResolvers<CloseInfo>()
    if (this.#finished) this.#closed.resolve(this.#error!.close)
    return this.#closed.promise
  }

  get nodeId(): NodeId {
    return this.#nodeId!
  }

  get protocol(): Protocol {
    return this.#protocol!
  }

  get remote(): Address {
    return formatAddress(this.#whereTo(this.#end?.remote ?? this.machine.remote))
  }

  get datagrams(): Datagrams | undefined {
    if (!this.#messages && this.machine.datagramBytesMax > 0) this.#messages = new Messages(this)
    return this.#messages
  }

  get over(): boolean {
    return this.#end !== undefined
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
    const now = this.#now()
    // What was written a moment ago goes first, and with a dial that is closed at once the end of its handshake: without
    // it the other side would see a failed handshake and not this code.
    if (this.machine.up) this.machine.flush(now, this)
    if (!this.#end) this.machine.close(code, cutReason(reason), now, this)
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
    const from = this.#whereFrom(remote)
    if (!from) return
    this.machine.receive(bytes, from, this.#now(), this)
    // Heard, or told by somebody there that it cannot be.
    if (!this.#remotes.settled && (this.machine.heard || this.over)) this.#remotes.settle(remote)
    this.#settle()
    this.touch()
  }

  /** @internal */
  takeReset(bytes: Uint8Array, remote: Remote): boolean {
    if (this.#end || this.#whereTo(this.machine.remote).host !== remote.host) return false
    if (!this.machine.isReset(bytes)) return false
    this.machine.peerReset(this.#now(), this)
    this.#settle()
    return true
  }

  /** @internal The system cannot send to this address. @returns whether the dial has no other. */
  unreachable(remote: Remote): boolean {
    return this.outbound && this.#remotes.unreachable(remote)
  }

  /** @internal */
  touch(): void {
    if (!this.scheduled && !this.#end) this.#owner.schedule(this)
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

  /** @internal Why nothing comes any more. */
  get failure(): Error | undefined {
    return this.#error
  }

  // Ids of the machine.

  /** @internal */
  issue(): IssuedId | undefined {
    return this.#owner.issue(this)
  }

  /** @internal */
  retire(id: Uint8Array): void {
    this.#owner.retire(id)
  }

  /** @internal */
  expectReset(token: string): void {
    this.#owner.expectReset(token, this)
  }

  /** @internal */
  forgetReset(token: string): void {
    this.#owner.forgetReset(token, this)
  }

  // Effects of the machine.

  /** @internal */
  send(bytes: Uint8Array, length: number, remote: Remote): void {
    if (remote !== this.#remotes.first) return this.#owner.send(bytes, length, remote)
    this.#remotes.each((each) => this.#owner.send(bytes, length, each))
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
    this.#waiters(stream.bidi).show(stream)
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
  datagram(): void {
    this.#told = true
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
    return instant(this.#owner.clock.now())
  }

  #waiters(bidi: boolean): StreamWaiters<Handle> {
    const known = bidi ? this.#bi : this.#uni
    if (known) return known
    const { opens } = this.#accounts
    const made = new StreamWaiters<Handle>(opens, () => this.#owner.acceptsAccount(opens.label))
    if (bidi) this.#bi = made
    else this.#uni = made
    return made
  }

  /** The machine of a dial knows the first of its addresses, whichever of them is the peer's. */
  #whereTo(remote: Remote): Remote {
    return remote === this.#remotes.first ? this.#remotes.current : remote
  }

  #whereFrom(remote: Remote): Remote | undefined {
    if (!this.outbound) return remote
    return this.#remotes.includes(remote) ? this.#remotes.first : undefined
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
    if (this.#told) {
      this.#told = false
      this.#messages?.advance()
    }
    if (this.#wentUp && !this.#end) {
      this.#wentUp = false
      this.#owner.up(this)
    }
    if (this.#shown && !this.#end) {
      this.#shown = false
      this.#uni?.serveAcceptor((stream) => this.#accepted(stream))
      this.#bi?.serveAcceptor((stream) => this.#accepted(stream))
    }
    if (this.#granted && !this.#end) {
      this.#granted = false
      this.#uni?.serveOpens(() => this.#opened(false))
      this.#bi?.serveOpens(() => this.#opened(true))
    }
    if (this.#end && this.#error) this.#finish(this.#end, this.#error)
  }

  #finish(end: ConnectionEnd, error: ConnectionClosedError): void {
    if (this.#finished) return
    this.#finished = true
    this.#timer?.cancel()
    this.#timer = undefined
    this.#uni?.end(error)
    this.#bi?.end(error)
    this.#messages?.end(error)
    // Streams and messages are the machine's, which has closed their accounts.
    const { opens, receive, send, records, gaps, ackRanges, crypto } = this.#accounts
    for (const account of [opens, receive, send, records, gaps, ackRanges, crypto]) {
      account[Symbol.dispose]()
    }
    this.#owner.ended(this, end)
    this.#closed?.resolve(error.close)
  }

  /** One timer, started again only when it would ring too late: a wake too early costs nothing. */
  #arm(): void {
    const at = this.#end ? Number.POSITIVE_INFINITY : this.machine.wakeAt
    if (at === Number.POSITIVE_INFINITY || (this.#timer && this.#timerAt <= at)) return
    this.#timer?.cancel()
    this.#timerAt = at
    const { clock } = this.#owner
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
    const opening = (bidi ? this.#bi : this.#uni)?.opening
    return (opening ? undefined : this.#opened(bidi)) ?? this.#waiters(bidi).open(signal)
  }

  #opened(bidi: boolean): Handle | undefined {
    const stream = this.machine.open(bidi)
    return stream && this.#handle(stream)
  }

  async #accept(bidi: boolean, signal: AbortSignal | undefined): Promise<Handle> {
    throwIfAborted(signal)
    if (this.#error) throw this.#error
    const waiters = this.#waiters(bidi)
    const stream = waiters.shift()
    return stream ? this.#accepted(stream) : waiters.accept(signal)
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
