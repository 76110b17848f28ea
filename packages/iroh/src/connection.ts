/**
 * A connection on the binding.
 *
 * The native calls to open and accept streams cannot be cancelled: a stream that comes after its caller has left is
 * kept for the next caller (accept) or given up (open). What the peer sent before it closed can be read for
 * `LINGER_MS`; a close of our own ends everything at once.
 *
 * Memory: its streams (`transport.streams`), what they buffer (`iroh.buffers`) and the calls that wait
 * (`transport.opens`).
 */
import { type Account, BoundedMap, limitError } from 'weir-mesh/bounds'
import type { NodeId } from 'weir-mesh/core'
import { abortable, assert, type Scope, type Timer, throwIfAborted } from 'weir-mesh/runtime'
import {
  type Address,
  type BiStream,
  type CloseInfo,
  type Connection,
  ConnectionClosedError,
  cutReason,
  type Datagrams,
  type Protocol,
  type RecvStream,
  type SendStream,
  type TransportLimits,
} from 'weir-mesh/transport'
import {
  type NativeBiStream,
  type NativeConnection,
  type NativeRecvStream,
  type NativeSendStream,
  toNative,
} from './binding.ts'
import { closeInfo, streamFailure } from './errors.ts'
import { Gate } from './gate.ts'
import { IrohReceiveStream } from './receive-stream.ts'
import { IrohSendStream } from './send-stream.ts'

/** How long bytes that had arrived stay readable after the peer has closed. */
const LINGER_MS = 1_000

interface Stream {
  readonly gate: Gate
  send: IrohSendStream | undefined
  receive: IrohReceiveStream | undefined
  halves: number
}

export interface ConnectionAccounts {
  readonly streams: Account
  readonly opens: Account
  readonly buffers: Account
}

export interface IrohConnectionOptions {
  readonly scope: Scope
  readonly nodeId: NodeId
  readonly protocol: Protocol
  readonly remote: Address
  readonly outbound: boolean
  readonly limits: TransportLimits
  readonly accounts: ConnectionAccounts
  /** The connection is over and holds nothing. */
  ended(): void
}

interface Gates {
  readonly openUni: Gate
  readonly openBi: Gate
  readonly acceptUni: Gate
  readonly acceptBi: Gate
}

export class IrohConnection implements Connection {
  readonly nodeId: NodeId
  readonly protocol: Protocol
  readonly remote: Address
  readonly outbound: boolean
  /** Not offered: nobody needs them yet. */
  readonly datagrams: Datagrams | undefined = undefined
  readonly closed: Promise<CloseInfo>
  readonly #native: NativeConnection
  readonly #options: IrohConnectionOptions
  readonly #streams: BoundedMap<number, Stream>
  readonly #gates: Gates
  readonly #resolveClosed: (info: CloseInfo) => void
  #nextStream = 1
  #pendingUni: Promise<NativeRecvStream> | undefined
  #pendingBi: Promise<NativeBiStream> | undefined
  #closed: CloseInfo | undefined
  #linger: Timer | undefined
  #released = false

  constructor(native: NativeConnection, options: IrohConnectionOptions) {
    const { promise, resolve } = Promise.withResolvers<CloseInfo>()
    this.closed = promise
    this.#resolveClosed = resolve
    this.#native = native
    this.#options = options
    this.nodeId = options.nodeId
    this.protocol = options.protocol
    this.remote = options.remote
    this.outbound = options.outbound
    this.#streams = new BoundedMap(options.accounts.streams)
    const { streamsMax } = options.limits
    this.#gates = {
      openUni: new Gate(streamsMax),
      openBi: new Gate(streamsMax),
      acceptUni: new Gate(streamsMax),
      acceptBi: new Gate(streamsMax),
    }
    native.closed().then(
      (text) => this.#onClosed(closeInfo(text)),
      (error) => this.#onClosed(closeInfo(String(error))),
    )
  }

  async openUni(options: { readonly signal?: AbortSignal } = {}): Promise<SendStream> {
    const { openUni } = this.#gates
    const native = await this.#open(openUni, () => this.#native.openUni(), giveUpSend, options)
    return this.#keep(openUni, native, undefined).send!
  }

  async openBi(options: { readonly signal?: AbortSignal } = {}): Promise<BiStream> {
    const { openBi } = this.#gates
    const native = await this.#open(openBi, () => this.#native.openBi(), giveUpBoth, options)
    const { send, receive } = this.#keep(openBi, native.send, native.recv)
    return { send: send!, receive: receive! }
  }

  async acceptUni(options: { readonly signal?: AbortSignal } = {}): Promise<RecvStream> {
    const { acceptUni } = this.#gates
    const native = await this.#accept(acceptUni, options.signal, () => {
      this.#pendingUni ??= this.#native.acceptUni()
      return this.#pendingUni
    })
    return this.#keep(acceptUni, undefined, native).receive!
  }

  async acceptBi(options: { readonly signal?: AbortSignal } = {}): Promise<BiStream> {
    const { acceptBi } = this.#gates
    const native = await this.#accept(acceptBi, options.signal, () => {
      this.#pendingBi ??= this.#native.acceptBi()
      return this.#pendingBi
    })
    const { send, receive } = this.#keep(acceptBi, native.send, native.recv)
    return { send: send!, receive: receive! }
  }

  close(code = 0, reason = ''): void {
    if (this.#released) return
    assert(Number.isSafeInteger(code) && code >= 0, `the close code ${code} is no natural number`)
    const cut = cutReason(reason)
    this.#native.close(BigInt(code), toNative(new TextEncoder().encode(cut)))
    this.#end({ code, reason: cut, by: 'local' })
    this.#release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await this.closed
  }

  async #open<Native>(
    gate: Gate,
    open: () => Promise<Native>,
    giveUp: (native: Native) => void,
    { signal }: { readonly signal?: AbortSignal },
  ): Promise<Native> {
    throwIfAborted(signal)
    if (this.#closed) throw new ConnectionClosedError(this.#closed)
    const { opens } = this.#options.accounts
    opens.require(0, 1)
    let entered = false
    let opening: Promise<Native> | undefined
    try {
      await gate.enter(signal)
      entered = true
      opening = open()
      return await abortable(opening, signal)
    } catch (error) {
      if (!entered) throw error
      if (signal?.aborted && opening) {
        // It may still come; the peer has seen nothing of it.
        opening.then(
          (native) => {
            giveUp(native)
            gate.release()
          },
          () => gate.release(),
        )
        throw error
      }
      gate.release()
      throw streamFailure(error, this.#closed)
    } finally {
      if (!opens.closed) opens.give(0, 1)
    }
  }

  async #accept<Native>(
    gate: Gate,
    signal: AbortSignal | undefined,
    accept: () => Promise<Native>,
  ): Promise<Native> {
    throwIfAborted(signal)
    if (this.#closed) throw new ConnectionClosedError(this.#closed)
    await gate.enter(signal)
    try {
      const native = await abortable(accept(), signal)
      this.#forgetPending(gate)
      return native
    } catch (error) {
      gate.release()
      if (signal?.aborted) throw error
      this.#forgetPending(gate)
      throw streamFailure(error, this.#closed)
    }
  }

  #forgetPending(gate: Gate): void {
    if (gate === this.#gates.acceptUni) this.#pendingUni = undefined
    else this.#pendingBi = undefined
  }

  #keep(
    gate: Gate,
    send: NativeSendStream | undefined,
    receive: NativeRecvStream | undefined,
  ): Stream {
    const id = this.#nextStream++
    const stream: Stream = {
      gate,
      send: undefined,
      receive: undefined,
      halves: (send ? 1 : 0) + (receive ? 1 : 0),
    }
    const { streams, buffers } = this.#options.accounts
    if (this.#closed) {
      gate.release()
      throw new ConnectionClosedError(this.#closed)
    }
    const admission = this.#streams.set(id, stream)
    if (admission !== 'ok') {
      gate.release()
      if (send) giveUpSend(send)
      if (receive) giveUpReceive(receive)
      throw limitError(streams, admission, 0)
    }
    const ended = () => this.#halfEnded(id)
    const failure = (error: unknown) => streamFailure(error, this.#closed)
    const { windowFirstBytes, windowBytesMax } = this.#options.limits
    if (send) {
      stream.send = new IrohSendStream(send, {
        account: buffers,
        bufferBytesMax: windowBytesMax,
        failure,
        ended,
      })
    }
    if (receive) {
      stream.receive = new IrohReceiveStream(receive, {
        account: buffers,
        readBytes: windowFirstBytes,
        failure,
        ended,
      })
    }
    return stream
  }

  #halfEnded(id: number): void {
    const stream = this.#streams.peek(id)
    if (!stream) return
    stream.halves--
    if (stream.halves > 0) return
    this.#streams.delete(id)
    stream.gate.release()
    if (this.#closed && this.#streams.size === 0) this.#release()
  }

  #onClosed(info: CloseInfo): void {
    if (this.#closed) return
    this.#end(info)
    if (info.by !== 'remote') return this.#release()
    const error = new ConnectionClosedError(info)
    for (const stream of this.#streams.values()) {
      stream.send?.fail(error)
      stream.receive?.drain()
    }
    if (this.#streams.size === 0 || this.#options.scope.closed) return this.#release()
    this.#linger = this.#options.scope.timer('linger', LINGER_MS, () => this.#release())
  }

  #end(info: CloseInfo): void {
    if (this.#closed) return
    this.#closed = info
    const error = new ConnectionClosedError(info)
    for (const gate of Object.values(this.#gates) as Gate[]) gate.fail(error)
    this.#resolveClosed(info)
  }

  #release(): void {
    if (this.#released) return
    this.#released = true
    this.#linger?.cancel()
    const error = new ConnectionClosedError(this.#closed!)
    for (const stream of this.#streams.values()) {
      stream.send?.fail(error)
      stream.receive?.fail(error)
    }
    this.#streams[Symbol.dispose]()
    // Calls that still wait on the binding fail in a moment and find their place given back.
    const { opens } = this.#options.accounts
    opens.give(0, opens.entries)
    opens[Symbol.dispose]()
    this.#options.accounts.buffers[Symbol.dispose]()
    this.#options.ended()
  }
}

const quiet = () => {}

function giveUpSend(native: NativeSendStream): void {
  native.reset(0n).then(quiet, quiet)
}

function giveUpReceive(native: NativeRecvStream): void {
  native.stop(0n).then(quiet, quiet)
}

function giveUpBoth(native: NativeBiStream): void {
  giveUpSend(native.send)
  giveUpReceive(native.recv)
}
