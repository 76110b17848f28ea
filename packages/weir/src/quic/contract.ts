/**
 * What the parts of QUIC know of each other: TLS gives secrets and takes handshake bytes, packet protection turns
 * secrets into sealed packets, the connection does the rest. All are synchronous and do no input or output.
 */
import type { NodeId } from '../core/index.ts'

/** Encryption levels in their order; 0-RTT is not used. */
export type Level = 'initial' | 'handshake' | 'application'

/** TLS_AES_128_GCM_SHA256 and TLS_CHACHA20_POLY1305_SHA256. */
export type Suite = 0x1301 | 0x1303

/** Secrets of one level, for both directions, seen from this side. */
export interface LevelSecrets {
  readonly suite: Suite
  readonly read: Uint8Array
  readonly write: Uint8Array
}

/** What TLS asks for while it handles handshake bytes. */
export interface TlsEffects {
  /** Handshake bytes for the CRYPTO stream of a level; the caller takes them over. */
  send(level: Level, bytes: Uint8Array): void
  /** The secrets of a level are known; they are zeroed after the call. */
  secrets(level: 'handshake' | 'application', secrets: LevelSecrets): void
  /** The peer's transport parameters, raw, checked by TLS for presence only; valid during the call. */
  peerParameters(bytes: Uint8Array): void
  /** Both sides are authenticated and Finished was verified. */
  established(peer: { readonly node: NodeId; readonly protocol: Uint8Array }): void
  /** The handshake failed: close the connection with the crypto error 0x100 + alert (RFC 9001 section 4.8). */
  alert(alert: number, message: string): void
  /** A rule of QUIC about the handshake was broken: close the connection with PROTOCOL_VIOLATION. */
  violation(message: string): void
}

/** TLS 1.3 with raw public keys in one role. Input never throws. */
export interface TlsMachine extends Disposable {
  /** The client sends its ClientHello; the server does nothing. */
  start(effects: TlsEffects): void
  /** In order and without gaps within a level; the view is copied when it is kept. */
  handle(level: Level, bytes: Uint8Array, effects: TlsEffects): void
  /** Bytes of unfinished handshake messages that are held; at most `cryptoBytesMax` of the options. */
  readonly heldBytes: number
  readonly established: boolean
}

/**
 * Keys of one level and one direction, with header protection.
 *
 * `seal` and `open` work in the caller's buffer: no object per packet on the hot path.
 */
export interface PacketKeys extends Disposable {
  readonly suite: Suite
  /**
   * Seals a packet in place: header at [start, headerEnd), plaintext at [headerEnd, plainEnd), 16 bytes of room after.
   * Header protection is applied. @returns the end of the sealed packet.
   */
  seal(
    buffer: Uint8Array,
    start: number,
    headerEnd: number,
    plainEnd: number,
    packetNumber: number,
    packetNumberLength: number,
  ): number
  /** Takes header protection off in place. @returns the length of the packet number in bytes (1 to 4). */
  unmask(buffer: Uint8Array, start: number, packetNumberOffset: number): number
  /** Opens a packet in place. @returns the end of the plaintext, or -1 when it is not authentic. */
  open(
    buffer: Uint8Array,
    start: number,
    headerEnd: number,
    end: number,
    packetNumber: number,
  ): number
  /** Keys of the next phase; header protection stays (RFC 9001 section 6). */
  next(): PacketKeys
}
