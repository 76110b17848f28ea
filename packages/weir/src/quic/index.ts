/** QUIC v1 with TLS 1.3 and raw public keys, as a transport: what `loadTransport('quic')` looks for. */
export type { QuicLimits } from './memory.ts'
export { quicTransport as transport, quicTransportWith } from './transport.ts'
