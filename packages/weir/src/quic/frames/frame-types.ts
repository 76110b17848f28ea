/** Frame types of RFC 9000 section 19 and RFC 9221, and what a reader tells of them. */
import type { Violation } from '../packet/errors.ts'

export const FrameType = Object.freeze({
  padding: 0x00,
  ping: 0x01,
  ack: 0x02,
  ackEcn: 0x03,
  resetStream: 0x04,
  stopSending: 0x05,
  crypto: 0x06,
  newToken: 0x07,
  /** Up to 0x0f: the lowest three bits say offset, length, fin. */
  stream: 0x08,
  maxData: 0x10,
  maxStreamData: 0x11,
  maxStreamsBidi: 0x12,
  maxStreamsUni: 0x13,
  dataBlocked: 0x14,
  streamDataBlocked: 0x15,
  streamsBlockedBidi: 0x16,
  streamsBlockedUni: 0x17,
  newConnectionId: 0x18,
  retireConnectionId: 0x19,
  pathChallenge: 0x1a,
  pathResponse: 0x1b,
  connectionClose: 0x1c,
  applicationClose: 0x1d,
  handshakeDone: 0x1e,
  datagram: 0x30,
  datagramLength: 0x31,
})

/**
 * Receives the frames of a packet, one call each and no object for any. Views are of the packet and valid during the
 * call. A violation ends the reading and the connection.
 */
export interface FrameSink {
  /** Before the ranges of an ACK frame; the first range ends at `largest`. */
  ack(largest: number, delay: number): Violation | undefined
  /** Packets from `low` to `high`, both acknowledged; ranges come in descending order. */
  ackRange(low: number, high: number): void
  ackEnd(): Violation | undefined
  crypto(offset: number, bytes: Uint8Array): Violation | undefined
  /** The part from `from` of the packet; a view of it would be an object for each frame. */
  stream(
    id: number,
    offset: number,
    bytes: Uint8Array,
    from: number,
    length: number,
    fin: boolean,
  ): Violation | undefined
  resetStream(id: number, code: number, finalSize: number): Violation | undefined
  stopSending(id: number, code: number): Violation | undefined
  maxData(limit: number): Violation | undefined
  maxStreamData(id: number, limit: number): Violation | undefined
  maxStreams(bidi: boolean, limit: number): Violation | undefined
  /** DATA_BLOCKED and its kin; `id` is -1 for the connection. */
  blocked(id: number): Violation | undefined
  newConnectionId(
    sequence: number,
    retirePrior: number,
    id: Uint8Array,
    token: Uint8Array,
  ): Violation | undefined
  retireConnectionId(sequence: number): Violation | undefined
  pathChallenge(data: Uint8Array): Violation | undefined
  pathResponse(data: Uint8Array): Violation | undefined
  newToken(token: Uint8Array): Violation | undefined
  handshakeDone(): Violation | undefined
  datagram(bytes: Uint8Array): Violation | undefined
  close(application: boolean, code: number, reason: Uint8Array): void
}
