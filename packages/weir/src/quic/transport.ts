/** QUIC as a transport: what `loadTransport('quic')` gives. */
import {
  type PlannedTransport,
  type Transport,
  type TransportLimits,
  type TransportOptions,
  transportLimits,
} from '../transport/index.ts'
import { type QuicLimits, quicLimits, quicTerms } from './memory.ts'
import { type QuicSecurity, tlsSecurity } from './security.ts'
import { openQuicEndpoint } from './shell/quic-endpoint.ts'

/** With a cryptography and limits of its own: for tests. */
export function quicTransportOf(security: QuicSecurity, own: Partial<QuicLimits> = {}): Transport {
  return Object.freeze({
    name: 'quic',
    plan(given?: Partial<TransportLimits>): PlannedTransport {
      const limits = quicLimits(transportLimits(given), own)
      const terms = quicTerms(limits)
      return {
        name: 'quic',
        terms: Object.values(terms),
        open: (options: TransportOptions) =>
          openQuicEndpoint({ ...options, terms, limits, security }),
      }
    },
  })
}

/**
 * The same with limits beside those that every transport has, such as `messagesMax`, without which there are no
 * unreliable messages.
 */
export const quicTransportWith = (own: Partial<QuicLimits>): Transport =>
  quicTransportOf(tlsSecurity(), own)

/** QUIC version 1 with TLS 1.3 and raw public keys, on UDP. */
export const quicTransport: Transport = quicTransportOf(tlsSecurity())
