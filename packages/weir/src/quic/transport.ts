/** QUIC as a transport: what `loadTransport('quic')` gives. */
import {
  type PlannedTransport,
  type Transport,
  type TransportLimits,
  type TransportOptions,
  transportLimits,
} from '../transport/index.ts'
import { type QuicLimits, quicLimits, quicTerms } from './memory.ts'
import type { QuicSecurity } from './security.ts'

/** With a cryptography and limits of its own: for tests. */
export const quicTransportOf = (security: QuicSecurity, own: Partial<QuicLimits> = {}): Transport =>
  transportOf(security, own)

/**
 * The same with limits beside those that every transport has, such as `messagesMax`, without which there are no
 * unreliable messages.
 */
export const quicTransportWith = (own: Partial<QuicLimits>): Transport =>
  transportOf(undefined, own)

/** QUIC version 1 with TLS 1.3 and raw public keys, on UDP. */
export const quicTransport: Transport = quicTransportWith({})

function transportOf(security: QuicSecurity | undefined, own: Partial<QuicLimits>): Transport {
  return Object.freeze({
    name: 'quic',
    plan(given?: Partial<TransportLimits>): PlannedTransport {
      const limits = quicLimits(transportLimits(given), own)
      const terms = quicTerms(limits)
      return {
        name: 'quic',
        terms: Object.values(terms),
        async open(options: TransportOptions) {
          const { openQuicEndpoint, tlsSecurity } = await import('./open.ts')
          return openQuicEndpoint({
            ...options,
            terms,
            limits,
            security: security ?? tlsSecurity(),
          })
        },
      }
    },
  })
}
