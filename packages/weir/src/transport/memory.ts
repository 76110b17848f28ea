/** What a transport may hold, for each endpoint: undecided incomings, connections, streams and advertised credit. */
import { pool, type Terms, term } from '../bounds/index.ts'
import { assert } from '../runtime/index.ts'

export interface TransportLimits {
  /** Endpoints under one ledger. Default 1. */
  readonly endpointsMax: number
  /** Connections asked for and not decided. Default 64; more are refused at once. */
  readonly incomingMax: number
  /** Bytes that wait with undecided incomings. Default 256 KiB. */
  readonly incomingBytesMax: number
  /** How long an incoming may stay undecided, in ms. Default 5 000; then it is refused. */
  readonly incomingDeadlineMs: number
  /** Note where an incoming was taken, 1 KiB each. Default: with `WEIR_ASSERT=1` or `NODE_ENV=development`. */
  readonly incomingTraced: boolean
  /** Connections, dials that run included. Default 64. */
  readonly connectionsMax: number
  /** Streams of one kind that one side of a connection may have open. Default 16. */
  readonly streamsMax: number
  /** Calls that may wait to open a stream, for each connection. Default 8. */
  readonly opensMax: number
  /** Credit of a stream at its start. Default 16 KiB. */
  readonly windowFirstBytes: number
  /** Credit to which a stream grows when it is read fast. Default 64 KiB. */
  readonly windowBytesMax: number
  /** Credit of all streams of one connection. Default 1 MiB. */
  readonly connectionWindowBytesMax: number
  /** Credit of all streams of an endpoint. Default 4 MiB. */
  readonly receivePoolBytes: number
  /** How long a dial may take, in ms. Default 10 000. */
  readonly connectTimeoutMs: number
}

const DEFAULTS: TransportLimits = Object.freeze({
  endpointsMax: 1,
  incomingMax: 64,
  incomingBytesMax: 256 * 1024,
  incomingDeadlineMs: 5_000,
  incomingTraced: false,
  connectionsMax: 64,
  streamsMax: 16,
  opensMax: 8,
  windowFirstBytes: 16 * 1024,
  windowBytesMax: 64 * 1024,
  connectionWindowBytesMax: 1024 * 1024,
  receivePoolBytes: 4 * 1024 * 1024,
  connectTimeoutMs: 10_000,
})

/** The longest trace that is kept with an incoming. */
export const TRACE_CHARS_MAX = 1024
// Measured, see `npm run costs`; each a tenth or so above.
/** An undecided incoming: record, handle, timer, the closures of its backend, the buffer under its datagram. */
const INCOMING_BYTES = 2_000
/** A connection without its streams: the object, its accounts and containers, what waits on it. */
const CONNECTION_BYTES = 4_300
/** A stream with both halves and the buffers under them. */
const STREAM_BYTES = 800
/** A call that waits to open a stream. */
const OPEN_BYTES = 1_900

/** Fills in the defaults and checks what must hold between the limits. */
export function transportLimits(limits: Partial<TransportLimits> = {}): TransportLimits {
  const { env } = process
  const incomingTraced = env['WEIR_ASSERT'] === '1' || env['NODE_ENV'] === 'development'
  const complete: TransportLimits = { ...DEFAULTS, incomingTraced, ...limits }
  for (const [name, value] of Object.entries(complete)) {
    assert(name in DEFAULTS, `there is no transport limit '${name}'`)
    const valid = typeof value === 'boolean' || (Number.isSafeInteger(value) && value >= 1)
    assert(valid, `the transport limit ${name} is ${value}`)
  }
  assert(
    complete.windowFirstBytes <= complete.windowBytesMax &&
      complete.windowBytesMax <= complete.connectionWindowBytesMax,
    'stream windows start small, end larger, and fit into the window of their connection',
  )
  return Object.freeze(complete)
}

export type TransportTerms = Terms<
  'incoming' | 'connections' | 'streams' | 'opens' | 'accepts' | 'receive' | 'receivePool'
>

export function transportTerms(limits: TransportLimits): TransportTerms {
  const connectionsMax = limits.endpointsMax * limits.connectionsMax
  const receivePool = pool({
    name: 'transport.receive-pool',
    why: 'credit that peers may use, charged when it is advertised',
    arena: 'buffers',
    payloadBytesMax: limits.endpointsMax * limits.receivePoolBytes,
  })
  return {
    incoming: term({
      name: 'transport.incoming',
      why: 'connections that are asked for and not decided',
      instancesMax: limits.endpointsMax,
      entriesMax: limits.incomingMax,
      shellBytes: INCOMING_BYTES + (limits.incomingTraced ? TRACE_CHARS_MAX : 0),
      payloadBytesMax: limits.incomingBytesMax,
      shedAt: 2,
    }),
    connections: term({
      name: 'transport.connections',
      why: 'connections, and dials that run',
      instancesMax: limits.endpointsMax,
      table: 'map',
      entriesMax: limits.connectionsMax,
      shellBytes: CONNECTION_BYTES,
    }),
    streams: term({
      name: 'transport.streams',
      why: "open streams of each connection, own and the peer's, both kinds",
      instancesMax: connectionsMax,
      table: 'map',
      entriesMax: 4 * limits.streamsMax,
      shellBytes: STREAM_BYTES,
      // What was granted to the peer must be had; growth is refused a level earlier, at the connection.
      shedAt: 'never',
    }),
    opens: term({
      name: 'transport.opens',
      why: 'calls that wait until the peer allows one more stream',
      instancesMax: connectionsMax,
      entriesMax: limits.opensMax,
      shellBytes: OPEN_BYTES,
      shedAt: 'never',
    }),
    accepts: term({
      name: 'transport.accepts',
      why: 'streams that the peer has opened and nobody has accepted',
      instancesMax: 2 * connectionsMax,
      table: 'ring',
      entriesMax: limits.streamsMax,
      shedAt: 'never',
    }),
    receive: term({
      name: 'transport.receive',
      why: 'credit of the streams of one connection',
      arena: 'buffers',
      instancesMax: connectionsMax,
      payloadBytesMax: limits.connectionWindowBytesMax,
      pool: receivePool,
      overflow: 'wait',
    }),
    receivePool,
  }
}
