/** QUIC v1 with TLS 1.3 and raw public keys, as a transport. */
import { tlsSecurity } from './security.ts'
import { quicTransportOf } from './transport.ts'

/** What `loadTransport('quic')` gives. */
export const transport = quicTransportOf(tlsSecurity())
