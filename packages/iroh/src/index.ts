/** A transport backend for weir-mesh on the `@number0/iroh` binding. */
import {
  type PlannedTransport,
  type Transport,
  type TransportLimits,
  type TransportOptions,
  transportLimits,
} from 'weir-mesh/transport'
import { openIrohEndpoint } from './endpoint.ts'
import { irohTerms } from './memory.ts'

export { type IrohEndpointOptions, openIrohEndpoint } from './endpoint.ts'
export { type IrohTerms, irohTerms } from './memory.ts'

/** What `loadTransport('iroh')` looks for. */
export const transport: Transport = Object.freeze({
  name: 'iroh',
  plan(given?: Partial<TransportLimits>): PlannedTransport {
    const limits = transportLimits(given)
    const terms = irohTerms(limits)
    return {
      name: 'iroh',
      terms: Object.values(terms),
      open: (options: TransportOptions) => openIrohEndpoint({ ...options, terms, limits }),
    }
  },
})
