/**
 * What QUIC may hold, for each endpoint: the terms of every transport, and those of its own.
 *
 * Figures are measured where they say so, else counted from the objects.
 */
import {
  BUFFER_SHELL_BYTES,
  MAP_NODE_BYTES,
  NATIVE_KEY_BYTES,
  pool,
  type Terms,
  term,
} from '../bounds/index.ts'
import { assert } from '../runtime/index.ts'
import { TRACE_CHARS_MAX, type TransportLimits, transportTerms } from '../transport/index.ts'
import { EXTRA_IDS_MAX, LOCAL_IDS_MAX } from './connection/connection-ids.ts'
import { RETRY_TOKEN_BYTES_MAX } from './connection/packets-in.ts'
import { DATAGRAM_BYTES_MIN } from './packet/header.ts'
import { RECORDS_FIRST_BYTES } from './recovery/sent-packets.ts'
import { MASK_CIPHERS_MAX, RECEIVED_RANGES_MAX } from './sizes.ts'

export interface QuicLimits extends TransportLimits {
  /** Handshakes that run, of peers that are not authenticated yet. Half of the connections. */
  readonly handshakesMax: number
  /** Bytes of one stream that are taken and not acknowledged. Default 128 KiB. */
  readonly sendBufferBytesMax: number
  /** The same of all streams of a connection, and so its congestion window. Default 512 KiB. */
  readonly connectionSendBytesMax: number
  /** The same of all connections of an endpoint. Default 4 MiB. */
  readonly sendPoolBytes: number
  /** Records of packets in flight, of one connection. Default 64 KiB. */
  readonly recordsBytesMax: number
  readonly recordPoolBytes: number
  /** Gaps of all streams of one connection beyond the first of each, 16 bytes a gap. Default 16 KiB. */
  readonly gapBytesMax: number
  /** The same of all connections of an endpoint. Default 8 KiB for each connection, 256 KiB at least. */
  readonly gapPoolBytes: number
  /**
   * Ranges of received packet numbers beyond the first, of all connections of an endpoint, 16 bytes a range. Default
   * 512 bytes for each connection, 16 KiB at least.
   */
  readonly ackRangePoolBytes: number
  /**
   * Handshake bytes that wait, beyond the first of each connection, of all connections of an endpoint. Default 2 KiB for
   * each connection, 64 KiB at least.
   */
  readonly cryptoPoolBytes: number
  /** Tokens of Retries that our dials repeat, of an endpoint. Default 128 bytes for each connection, 4 KiB at least. */
  readonly retryTokenBytesMax: number
  /** Further datagrams that wait with one undecided incoming. Default 4. */
  readonly incomingDatagramsMax: number
  /**
   * The largest datagram that is built, where the interface and the path carry it. Default 8 192. Each socket has 65
   * buffers of this size.
   */
  readonly datagramBytesMax: number
  /** Unreliable messages that wait in each direction of a connection. Default 0: there are none. */
  readonly messagesMax: number
  /** Bytes of the messages of all connections of an endpoint. Default 256 KiB. */
  readonly messagePoolBytes: number
  readonly idleTimeoutMs: number
  readonly keepAliveMs: number
  readonly keyUpdatePackets: number
}

/** What UDP over IPv4 carries. */
const UDP_BYTES_MAX = 65_507
/** Connections whose end is still told to who has not heard of it. */
export const FAREWELLS_MAX = 64
export const FAREWELL_BYTES = 320
/** Ids, time, length and count beside it. Measured. */
const FAREWELL_COST = FAREWELL_BYTES + 64
/** Datagrams that wait in a socket that takes no more. */
export const QUEUED_DATAGRAMS_MAX = 64
/** All ranges of three packet number spaces beyond the first of each. */
const ACK_RANGE_BYTES_MAX = 3 * 16 * RECEIVED_RANGES_MAX
/** Two levels of the handshake with a window full of gaps, and the rest of a message in pieces. */
const CRYPTO_BYTES_MAX = 24 * 1024
/** A connection id with its record and reset token. Measured. */
const ID_BYTES = 380
/** The hash of a reset token. Measured. */
const RESET_TOKEN_BYTES = 40
/** A message that waits, beside its bytes. */
const MESSAGE_BYTES = 260

/** The first rings of three packet number spaces. */
const RECORDS_BYTES_MIN = 3 * RECORDS_FIRST_BYTES

/** An undecided one with its queue place, timer, handle, and the shells of the datagrams that wait. Measured. */
const INCOMING_BYTES = 3_700
/**
 * A connection without its streams: machine, spaces, ids, path, shell, timer, containers, and of gaps, ranges and
 * handshake bytes what it has in any case. Measured.
 */
const CONNECTION_BYTES = 21_000
/** Packet keys of one direction and phase: a heap object, and an array beside the heap. Measured. */
const KEYS_BYTES = 470
/** A cipher for the header protection of AES, nearly all beside the heap. Measured. */
const MASK_CIPHER_BYTES = 1_400
/** TLS, the keys of two more levels, and the first handshake bytes of both directions. */
const HANDSHAKE_BYTES = 8_000 + 10 * NATIVE_KEY_BYTES
/** A stream with both halves, its first ranges, the rings of 1 KiB under them, and its handles. */
const STREAM_BYTES = 3_600

export function quicLimits(limits: TransportLimits, own: Partial<QuicLimits> = {}): QuicLimits {
  const connectionsMax = limits.connectionsMax
  const complete: QuicLimits = {
    handshakesMax: Math.max(Math.ceil(connectionsMax / 2), 1),
    sendBufferBytesMax: 128 * 1024,
    connectionSendBytesMax: 512 * 1024,
    sendPoolBytes: 4 * 1024 * 1024,
    recordsBytesMax: 128 * 1024,
    recordPoolBytes: Math.max(1024 * 1024, 8 * 1024 * connectionsMax),
    gapBytesMax: 16 * 1024,
    gapPoolBytes: Math.max(256 * 1024, 8 * 1024 * connectionsMax),
    ackRangePoolBytes: Math.max(16 * 1024, 512 * connectionsMax),
    cryptoPoolBytes: Math.max(64 * 1024, 2 * 1024 * connectionsMax),
    retryTokenBytesMax: Math.max(4 * RETRY_TOKEN_BYTES_MAX, 128 * connectionsMax),
    incomingDatagramsMax: 4,
    datagramBytesMax: 8 * 1024,
    messagesMax: 0,
    messagePoolBytes: 256 * 1024,
    idleTimeoutMs: 30_000,
    keepAliveMs: 5_000,
    keyUpdatePackets: 0,
    ...own,
    ...limits,
  }
  const { datagramBytesMax, recordsBytesMax, recordPoolBytes } = complete
  assert(
    datagramBytesMax >= DATAGRAM_BYTES_MIN && datagramBytesMax <= UDP_BYTES_MAX,
    `datagramBytesMax is ${datagramBytesMax}, not ${DATAGRAM_BYTES_MIN} to ${UDP_BYTES_MAX}`,
  )
  // With less the second space of a handshake never sends anything.
  assert(
    Math.min(recordsBytesMax, recordPoolBytes) >= RECORDS_BYTES_MIN,
    `records have ${recordsBytesMax} bytes of ${recordPoolBytes}; a handshake takes ${RECORDS_BYTES_MIN}`,
  )
  return Object.freeze(complete)
}

export type QuicTerms = ReturnType<typeof transportTerms> &
  Terms<
    | 'handshakes'
    | 'keys'
    | 'send'
    | 'sendPool'
    | 'records'
    | 'recordPool'
    | 'gaps'
    | 'gapPool'
    | 'ackRanges'
    | 'ackRangePool'
    | 'crypto'
    | 'cryptoPool'
    | 'ids'
    | 'resetTokens'
    | 'retryTokens'
    | 'routes'
    | 'initials'
    | 'farewells'
    | 'datagrams'
    | 'messages'
    | 'messagePool'
  >

export function quicTerms(limits: QuicLimits): QuicTerms {
  const { endpointsMax } = limits
  // Both directions, and the phase before or after of the one that is read; ciphers are shared by the whole process.
  const ciphers = Math.min(3, MASK_CIPHERS_MAX / limits.connectionsMax)
  const keysBytes = Math.ceil(4 * KEYS_BYTES + ciphers * MASK_CIPHER_BYTES)
  const connectionsMax = endpointsMax * limits.connectionsMax
  const base = transportTerms(limits)
  const sendPool = pool({
    name: 'quic.send-pool',
    why: 'bytes that were written and are not acknowledged',
    arena: 'buffers',
    payloadBytesMax: endpointsMax * limits.sendPoolBytes,
  })
  const recordPool = pool({
    name: 'quic.record-pool',
    why: 'records of packets in flight',
    arena: 'buffers',
    payloadBytesMax: endpointsMax * limits.recordPoolBytes,
    shedAt: 'never',
  })
  const gapPool = pool({
    name: 'quic.gap-pool',
    why: 'gaps in what has come and in what was acknowledged of streams',
    arena: 'buffers',
    payloadBytesMax: endpointsMax * limits.gapPoolBytes,
  })
  const ackRangePool = pool({
    name: 'quic.ack-range-pool',
    why: 'ranges of received packet numbers',
    arena: 'buffers',
    payloadBytesMax: endpointsMax * limits.ackRangePoolBytes,
  })
  const cryptoPool = pool({
    name: 'quic.crypto-pool',
    why: 'handshake bytes that wait',
    arena: 'buffers',
    payloadBytesMax: endpointsMax * limits.cryptoPoolBytes,
  })
  const messagePool = pool({
    name: 'quic.message-pool',
    why: 'bytes of unreliable messages that wait',
    arena: 'buffers',
    payloadBytesMax: limits.messagesMax > 0 ? endpointsMax * limits.messagePoolBytes : 0,
  })
  return {
    ...base,
    incoming: term({
      ...base.incoming,
      shellBytes: INCOMING_BYTES + (limits.incomingTraced ? TRACE_CHARS_MAX : 0),
    }),
    connections: term({ ...base.connections, shellBytes: CONNECTION_BYTES }),
    streams: term({ ...base.streams, shellBytes: STREAM_BYTES }),
    handshakes: term({
      name: 'quic.handshakes',
      why: 'handshakes that run: TLS, keys and bytes of peers that are not authenticated yet',
      instancesMax: endpointsMax,
      entriesMax: limits.handshakesMax + limits.connectionsMax,
      shellBytes: HANDSHAKE_BYTES,
      shedAt: 2,
    }),
    keys: term({
      name: 'quic.keys',
      why: 'packet keys of connections, through their phases',
      arena: 'native',
      instancesMax: endpointsMax,
      entriesMax: limits.connectionsMax,
      shellBytes: keysBytes,
      shedAt: 'never',
    }),
    send: term({
      name: 'quic.send',
      why: 'bytes of one connection that were written and are not acknowledged',
      arena: 'buffers',
      instancesMax: connectionsMax,
      payloadBytesMax: limits.connectionSendBytesMax,
      pool: sendPool,
      overflow: 'wait',
    }),
    sendPool,
    records: term({
      name: 'quic.records',
      why: 'records of packets in flight, of one connection',
      arena: 'buffers',
      instancesMax: connectionsMax,
      payloadBytesMax: limits.recordsBytesMax,
      pool: recordPool,
      overflow: 'wait',
      shedAt: 'never',
    }),
    recordPool,
    gaps: term({
      name: 'quic.gaps',
      why: 'gaps of the streams of one connection, beyond the first of each',
      arena: 'buffers',
      instancesMax: connectionsMax,
      payloadBytesMax: limits.gapBytesMax,
      pool: gapPool,
    }),
    gapPool,
    ackRanges: term({
      name: 'quic.ack-ranges',
      why: 'ranges of received packet numbers of one connection, beyond the first',
      arena: 'buffers',
      instancesMax: connectionsMax,
      payloadBytesMax: ACK_RANGE_BYTES_MAX,
      pool: ackRangePool,
      overflow: 'drop-old',
    }),
    ackRangePool,
    crypto: term({
      name: 'quic.crypto',
      why: 'handshake bytes of one connection that wait, beyond the first',
      arena: 'buffers',
      instancesMax: connectionsMax,
      payloadBytesMax: CRYPTO_BYTES_MAX,
      pool: cryptoPool,
    }),
    cryptoPool,
    ids: term({
      name: 'quic.ids',
      why: 'connection ids of both sides, beyond the first',
      instancesMax: endpointsMax,
      entriesMax: EXTRA_IDS_MAX * limits.connectionsMax,
      shellBytes: ID_BYTES,
    }),
    resetTokens: term({
      name: 'quic.reset-tokens',
      why: 'tokens with which peers reset connections',
      instancesMax: endpointsMax,
      table: 'map',
      entriesMax: limits.connectionsMax,
      shellBytes: MAP_NODE_BYTES + RESET_TOKEN_BYTES,
      shedAt: 'never',
    }),
    retryTokens: term({
      name: 'quic.retry-tokens',
      why: 'tokens of Retries that our dials repeat',
      arena: 'buffers',
      instancesMax: endpointsMax,
      entriesMax: limits.connectionsMax,
      shellBytes: BUFFER_SHELL_BYTES,
      payloadBytesMax: limits.retryTokenBytesMax,
    }),
    routes: term({
      name: 'quic.routes',
      why: 'connection ids that lead to connections',
      instancesMax: endpointsMax,
      table: 'map',
      entriesMax: limits.connectionsMax * LOCAL_IDS_MAX,
      shellBytes: MAP_NODE_BYTES + 16,
      shedAt: 'never',
    }),
    initials: term({
      name: 'quic.initials',
      why: 'first connection ids of clients, until their handshakes are done',
      instancesMax: endpointsMax,
      table: 'map',
      entriesMax: limits.incomingMax + limits.connectionsMax,
      shellBytes: MAP_NODE_BYTES + 64,
      shedAt: 'never',
    }),
    farewells: term({
      name: 'quic.farewells',
      why: 'the last packets of connections that are over',
      instancesMax: endpointsMax,
      entriesMax: FAREWELLS_MAX,
      shellBytes: FAREWELL_COST,
      shedAt: 'never',
    }),
    messages: term({
      name: 'quic.messages',
      why: 'unreliable messages that wait, of one direction of one connection',
      arena: 'buffers',
      table: 'ring',
      instancesMax: limits.messagesMax > 0 ? 2 * connectionsMax : 0,
      entriesMax: limits.messagesMax,
      shellBytes: MESSAGE_BYTES,
      payloadBytesMax: limits.messagePoolBytes,
      pool: messagePool,
      overflow: 'drop-old',
    }),
    messagePool,
    datagrams: term({
      name: 'quic.datagrams',
      why: 'datagrams that are built, or wait in a socket that takes no more',
      arena: 'buffers',
      instancesMax: endpointsMax,
      // A socket for each address family.
      entriesMax: 2 * (QUEUED_DATAGRAMS_MAX + 1),
      shellBytes: limits.datagramBytesMax + 64,
      shedAt: 'never',
    }),
  }
}
