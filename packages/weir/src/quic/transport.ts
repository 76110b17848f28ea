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
  transportOf(async () => security, own)

/**
 * The same with limits beside those that every transport has, such as `messagesMax`, without which there are no
 * unreliable messages.
 */
export const quicTransportWith = (own: Partial<QuicLimits>): Transport => transportOf(tls, own)

/** QUIC version 1 with TLS 1.3 and raw public keys, on UDP. */
export const quicTransport: Transport = quicTransportWith({})

function transportOf(security: () => Promise<QuicSecurity>, own: Partial<QuicLimits>): Transport {
  return Object.freeze({
    name: 'quic',
    plan(given?: Partial<TransportLimits>): PlannedTransport {
      const limits = quicLimits(transportLimits(given), own)
      const terms = quicTerms(limits)
      return {
        name: 'quic',
        terms: Object.values(terms),
        async open(options: TransportOptions) {
          // Not before: a process that only plans would read a quarter of a megabyte of source for it.
          const { openQuicEndpoint } = await import('./shell/quic-endpoint.ts')
          return openQuicEndpoint({ ...options, terms, limits, security: await security() })
        },
      }
    },
  })
}

async function tls(): Promise<QuicSecurity> {
  const { tlsSecurity } = await import('./security.ts')
  return tlsSecurity()
}
