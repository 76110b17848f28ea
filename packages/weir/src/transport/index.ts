export {
  FixedAddresses,
  type FixedPeer,
  formatAddress,
  type HostPort,
  parseAddress,
} from './addresses.ts'
export { ByteRing } from './byte-ring.ts'
export {
  ConnectionClosedError,
  connectFailed,
  cutReason,
  protocolRefused,
  REASON_CHARS_MAX,
  StreamError,
  streamEnded,
} from './errors.ts'
export { type Asked, IncomingQueue, type IncomingQueueOptions, type Pending } from './incoming.ts'
export {
  loadTransport,
  memoryTransport,
  type PlannedTransport,
  type Transport,
  type TransportName,
  type TransportOptions,
} from './load.ts'
export {
  TRACE_CHARS_MAX,
  type TransportLimits,
  type TransportTerms,
  transportLimits,
  transportTerms,
} from './memory.ts'
export { MemoryEndpoint, type MemoryEndpointOptions } from './memory-endpoint.ts'
export {
  type Dial,
  type DialAnswer,
  type Listener,
  MemoryNetwork,
  type MemoryNetworkOptions,
  type NetworkFaults,
} from './memory-network.ts'
export type {
  Address,
  AddressLookup,
  BiStream,
  CloseInfo,
  Connection,
  ConnectOptions,
  Datagrams,
  Endpoint,
  Incoming,
  Protocol,
  RecvStream,
  SendStream,
} from './transport.ts'
export type { Message, Wire, WireEnd } from './wire.ts'
