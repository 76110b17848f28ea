/** What a connection is made from, and what it tells. */
import type { Account } from '../../bounds/index.ts'
import type { NodeId } from '../../core/index.ts'
import type { Random } from '../../runtime/index.ts'
import type { CloseInfo } from '../../transport/index.ts'
import type { LevelSecrets, PacketKeys, TlsMachine } from '../contract.ts'
import type { CongestionName } from '../recovery/congestion.ts'
import type { StreamEvents, StreamsLimits } from '../streams/streams.ts'
import type { IdRouter, IssuedId } from './connection-ids.ts'
import type { DatagramAccounts } from './datagrams.ts'
import type { Remote } from './path.ts'

/** Keys of one level. */
export interface KeyPairOfLevel {
  readonly read: PacketKeys
  readonly write: PacketKeys
}

/** What the connection needs of cryptography beside TLS. */
export interface PacketSecurity {
  initialKeys(id: Uint8Array, role: 'client' | 'server'): KeyPairOfLevel
  levelKeys(secrets: LevelSecrets): KeyPairOfLevel
  /** How many packets may be sealed with one key, and how many may fail to open. */
  limits(suite: PacketKeys['suite']): { readonly sealedMax: number; readonly forgedMax: number }
  isRetryAuthentic(originalDestination: Uint8Array, packet: Uint8Array): boolean
}

export interface ConnectionLimits extends StreamsLimits {
  /** Bytes in flight at most, whatever the congestion controller would allow. */
  readonly congestionWindowBytesMax: number
  readonly idleTimeoutMs: number
  readonly keepAliveMs: number
  /** Start a key update after so many packets; 0 to start one only when the key is used up. */
  readonly keyUpdatePackets: number
  /** Default `cubic`. */
  readonly congestion?: CongestionName
}

/** What the connections of an endpoint charge to accounts that they share. */
export interface SharedAccounts {
  /** For connection ids of both sides. */
  readonly ids: Account
  /** For tokens of Retries. */
  readonly retryTokens: Account
}

export interface ConnectionOptions {
  readonly role: 'client' | 'server'
  readonly security: PacketSecurity
  /** Makes the TLS machine, given our transport parameters. */
  readonly tls: (parameters: Uint8Array) => TlsMachine
  readonly random: Random
  readonly remote: Remote
  /** The address was proved by a token. */
  readonly validated: boolean
  readonly router: IdRouter
  readonly localId: IssuedId
  /** The destination of the client's first Initial. */
  readonly originalDestination: Uint8Array
  /** Server: what the client calls itself. */
  readonly peerId?: Uint8Array
  /** Server: the source of the Retry that the client answers. */
  readonly retrySource?: Uint8Array
  readonly limits: ConnectionLimits
  readonly accounts: {
    readonly streams: Account
    readonly receive: Account
    readonly send: Account
    readonly records: Account
    /** For gaps in the bytes of streams. */
    readonly gaps: Account
    /** For ranges of received packet numbers. */
    readonly ackRanges: Account
    /** For handshake bytes that wait. */
    readonly crypto: Account
    /** Without them there are no unreliable messages, and the peer is told so. */
    readonly datagrams?: DatagramAccounts
  }
  readonly shared: SharedAccounts
  /** One datagram buffer for all connections of an endpoint. */
  readonly buffer: Uint8Array
  /**
   * How large datagrams may get when the path takes them: what the interface carries without fragments. Default 1200,
   * which is never probed; the buffer and the peer limit it too.
   */
  readonly mtuMax?: number
}

/** How a connection ended. */
export interface ConnectionEnd {
  readonly info: CloseInfo
  /** The error code of QUIC, -1 for an application close or none. */
  readonly transportCode: number
  /** What answers packets that still come, for a while; undefined to be silent. */
  readonly farewell: Uint8Array | undefined
  readonly remote: Remote
  /** The ids under which the peer knew us. */
  readonly ids: readonly Uint8Array[]
  /** For how long packets for them are answered still, in microseconds. */
  readonly lingerUs: number
}

/** All that a connection does. Nothing may be called back. */
export interface ConnectionEffects extends StreamEvents {
  /** The first `length` bytes of the buffer are a datagram; valid during the call. */
  send(bytes: Uint8Array, length: number, remote: Remote): void
  /** The peer is known and streams may be used. */
  established(peer: { readonly node: NodeId; readonly protocol: Uint8Array }): void
  /** An unreliable message has come and can be read. */
  datagram?(): void
  /** The connection is over and holds nothing. */
  ended(end: ConnectionEnd): void
}
