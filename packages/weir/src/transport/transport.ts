/**
 * What every transport backend offers: endpoints that dial nodes by key, connections for one protocol, and streams
 * with credit. `quic` (own), `iroh` (the binding) and `memory` are backends; one conformance suite holds for all.
 *
 * Errors are `WeirError`: `CONNECTION_CLOSED` (a `ConnectionClosedError` with code, reason and side), `CONNECT_FAILED`,
 * `ADDRESS_UNKNOWN`, `PROTOCOL_REFUSED`, `STREAM_RESET` and `STREAM_STOPPED` (a `StreamError` with the code), `LIMIT`,
 * `INCOMING_DECIDED`, `CLOSED`.
 */
import type { NodeId } from '../core/index.ts'

/** The bytes of an ALPN: for p2panda protocols BLAKE3(protocol id ‖ network id). */
export type Protocol = Uint8Array

/** `127.0.0.1:9102` or `[::1]:9102`. */
export type Address = string

/** Where a node can be reached. Configured peers are a fixed table of it; the address book implements it. */
export interface AddressLookup {
  /** Addresses of a node, best first; empty when none is known. */
  addresses(node: NodeId): readonly Address[]
}

export interface ConnectOptions {
  readonly signal?: AbortSignal
  /** Tried instead of what the lookup says. */
  readonly addresses?: readonly Address[]
}

export interface Endpoint extends AsyncDisposable {
  readonly nodeId: NodeId
  /** The socket addresses that were bound. */
  readonly localAddresses: readonly Address[]
  /**
   * Dials a node. Each call makes a connection of its own.
   *
   * @throws {WeirError} `ADDRESS_UNKNOWN`, `CONNECT_FAILED` (retryable), `PROTOCOL_REFUSED`, `LIMIT`, `CLOSED`.
   */
  connect(node: NodeId, protocol: Protocol, options?: ConnectOptions): Promise<Connection>
  /** Connections that others ask for. One consumer; each item must be decided, see `Incoming`. */
  readonly incoming: AsyncIterable<Incoming>
  close(): Promise<void>
}

/**
 * A connection that is asked for and not decided. JavaScript has no drop: one that nobody decides on is refused at
 * its deadline and counted; `using` refuses at the end of the block.
 */
export interface Incoming extends Disposable {
  readonly remote: Address
  /** Whether the address was proved, by a Retry or a token. */
  readonly validated: boolean
  readonly decided: boolean
  /** @throws {WeirError} `INCOMING_DECIDED`, or what the handshake ended with. */
  accept(options?: { readonly signal?: AbortSignal }): Promise<Connection>
  refuse(): void
  /** Asks the peer to prove its address; false when the backend cannot, then it is still undecided. */
  retry(): boolean
  /** Forgets it without an answer. */
  ignore(): void
}

export interface CloseInfo {
  /** Application close code, 0 when the connection was lost or timed out. */
  readonly code: number
  readonly reason: string
  readonly by: 'local' | 'remote' | 'lost'
}

export interface Connection extends AsyncDisposable {
  readonly nodeId: NodeId
  readonly protocol: Protocol
  readonly remote: Address
  /** Whether we dialled. */
  readonly outbound: boolean
  /**
   * Opens a stream, waiting until the peer allows one more. The peer sees it with its first byte, finish or reset.
   *
   * @throws {WeirError} `LIMIT` when too many calls wait, `CONNECTION_CLOSED`, `CLOSED` when aborted.
   */
  openUni(options?: { readonly signal?: AbortSignal }): Promise<SendStream>
  openBi(options?: { readonly signal?: AbortSignal }): Promise<BiStream>
  /** The next stream that the peer opened; one caller of each kind at a time. */
  acceptUni(options?: { readonly signal?: AbortSignal }): Promise<RecvStream>
  acceptBi(options?: { readonly signal?: AbortSignal }): Promise<BiStream>
  /** Unreliable messages; undefined when the backend or the peer has none. */
  readonly datagrams: Datagrams | undefined
  /**
   * Ends everything on the connection with an application code; idempotent. What the peer has not read may be lost:
   * who must know that it arrived lets the peer say so first.
   */
  close(code?: number, reason?: string): void
  /** Settles once, never rejects. */
  readonly closed: Promise<CloseInfo>
}

export interface Datagrams {
  readonly bytesMax: number
  send(bytes: Uint8Array): boolean
  receive(options?: { readonly signal?: AbortSignal }): Promise<Uint8Array>
}

export interface BiStream {
  readonly send: SendStream
  readonly receive: RecvStream
}

export interface SendStream {
  /**
   * Takes the bytes, waiting for credit; one write at a time. The bytes may be reused when the promise settles.
   *
   * @throws {WeirError} `STREAM_STOPPED`, `CONNECTION_CLOSED`, `CLOSED` after finish or reset.
   */
  write(bytes: Uint8Array): Promise<void>
  /** No more bytes; those written are still delivered. */
  finish(): Promise<void>
  /** Gives up: the peer's read fails with this code. */
  reset(code: number): void
  /**
   * The code with which the peer stopped reading; stays pending when it never does. Never rejects. Some backends learn
   * of it only from a write or after `finish`.
   */
  readonly stopped: Promise<number>
}

export interface RecvStream extends AsyncIterable<Uint8Array> {
  /**
   * The next bytes, at most `bytesMax`, as soon as there are any; undefined at the end. The caller owns them. One
   * read at a time; `stop` ends one that waits.
   *
   * @throws {WeirError} `STREAM_RESET` with the peer's code, `CONNECTION_CLOSED`.
   */
  read(bytesMax: number): Promise<Uint8Array | undefined>
  /** Wants no more: the peer's write fails with this code. */
  stop(code: number): void
}
