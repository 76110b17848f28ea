/** The conformance suite over bridges: each endpoint has a network of its own, as if each were in its own process. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Scope } from '../src/runtime/index.ts'
import { conformance } from '../src/transport/conformance.ts'
import {
  MemoryEndpoint,
  MemoryNetwork,
  type PlannedTransport,
  type Transport,
  type TransportOptions,
  transportLimits,
  transportTerms,
} from '../src/transport/index.ts'
import { bridgeFrom, bridgeTo } from './bridge.ts'

interface Seat {
  readonly network: MemoryNetwork
  readonly address: string
  readonly port: number
}

function bridgedTransport(): Transport {
  let count = 0
  return {
    name: 'memory over a bridge',
    plan(given): PlannedTransport {
      const limits = transportLimits(given)
      const terms = transportTerms(limits)
      const seats: Seat[] = []
      return {
        name: 'memory over a bridge',
        terms: Object.values(terms),
        async open({ keyPair, listen, ...options }: TransportOptions) {
          const { scope } = options
          const network = new MemoryNetwork()
          for (const { address, port } of seats) bridgeTo(scope, network, address, port)
          const asked = listen === undefined || listen.endsWith(':0') ? undefined : listen
          const address = asked ?? `127.0.0.1:${20_000 + count++}`
          const made = { ...options, terms, limits, network, nodeId: keyPair.id, listen: address }
          const endpoint = new MemoryEndpoint(made)
          const port = await serve(scope, network)
          for (const seat of seats) bridgeTo(scope, seat.network, address, port)
          seats.push({ network, address, port })
          return endpoint
        },
      }
    },
  }
}

async function serve(scope: Scope, network: MemoryNetwork): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  scope.defer('server', () => server.close())
  await once(server, 'listening')
  bridgeFrom(scope, network, server)
  return (server.address() as AddressInfo).port
}

conformance(bridgedTransport(), { unreadBytesMax: 64 * 1024, ownStreamLimits: false })
