/**
 * What this backend may hold, on our side of the binding and, as far as it can be known, on the native one.
 *
 * The native part cannot be capped from here: it advertises 1.25 MB for each of 100 streams of a kind and takes no
 * setting. The README says what that means.
 */
import { pool, type Terms, term } from 'weir-mesh/bounds'
import { TRACE_CHARS_MAX, type TransportLimits } from 'weir-mesh/transport'

// Measured on Linux x64 with 400 ends of connections and 2 000 streams in one process, resident set and heap.
/** An end of a connection inside the binding with nothing in flight: 82 to 100 kB, the first ones most. */
export const NATIVE_CONNECTION_BYTES = 112 * 1024
/** An endpoint inside the binding, with its share of the threads: the first takes 11 MB, one more 1 MB. */
export const NATIVE_ENDPOINT_BYTES = 11 * 1024 * 1024
/** A stream inside the binding, with the native part of its handles. */
const NATIVE_STREAM_BYTES = 3 * 1024
/** What a read asks for when no more can be charged: part of the cost of a stream. */
export const READ_BYTES_MIN = 512
/** What the binding keeps for an incoming: its first datagram. It may buffer more and does not say so. */
export const NATIVE_INCOMING_BYTES = 4 * 1024
const INCOMING_BYTES = 2_000
const CONNECTION_BYTES = 4_300
const STREAM_BYTES = 1_400
const OPEN_BYTES = 4_200

export type IrohTerms = Terms<
  'incoming' | 'connections' | 'streams' | 'opens' | 'buffers' | 'bufferPool' | 'native'
>

export function irohTerms(limits: TransportLimits): IrohTerms {
  const connectionsMax = limits.endpointsMax * limits.connectionsMax
  const bufferPool = pool({
    name: 'iroh.buffer-pool',
    why: 'bytes of our side that wait to be sent or read',
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
      shellBytes: STREAM_BYTES + NATIVE_STREAM_BYTES + READ_BYTES_MIN,
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
    buffers: term({
      name: 'iroh.buffers',
      why: 'bytes of one connection that wait to be sent or read',
      arena: 'buffers',
      instancesMax: connectionsMax,
      payloadBytesMax: limits.connectionWindowBytesMax,
      pool: bufferPool,
      overflow: 'wait',
    }),
    bufferPool,
    native: term({
      name: 'iroh.native',
      why: 'endpoints and connections inside the binding, as measured',
      arena: 'native',
      instancesMax: limits.endpointsMax,
      entriesMax: limits.connectionsMax,
      shellBytes: NATIVE_CONNECTION_BYTES,
      payloadBytesMax: NATIVE_ENDPOINT_BYTES,
      shedAt: 'never',
    }),
  }
}
