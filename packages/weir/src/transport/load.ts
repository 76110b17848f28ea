/**
 * How a program chooses its transport: by name, or by a value that it made itself.
 *
 * A transport is planned first, because its terms belong in the plan of the ledger, and opened with that ledger later.
 */
import type { Ledger, Term } from '../bounds/index.ts'
import type { KeyPair } from '../core/index.ts'
import { isWeirError, type Scope, WeirError } from '../runtime/index.ts'
import { type TransportLimits, transportLimits, transportTerms } from './memory.ts'
import { MemoryEndpoint } from './memory-endpoint.ts'
import { MemoryNetwork } from './memory-network.ts'
import type { Address, AddressLookup, Endpoint, Protocol } from './transport.ts'

export interface TransportOptions {
  /** Owns the endpoint; its clock, log and counters are used. */
  readonly scope: Scope
  /** A ledger whose plan has the terms of the transport. */
  readonly ledger: Ledger
  readonly keyPair: Pick<KeyPair, 'id' | 'seed'>
  /** Who may be dialled where. */
  readonly lookup: AddressLookup
  /** What is accepted, as ALPN bytes. */
  readonly protocols: readonly Protocol[]
  /** The address to bind. Default `127.0.0.1:0`. */
  readonly listen?: Address
}

/** A transport with its limits fixed. */
export interface PlannedTransport {
  readonly name: string
  readonly terms: readonly Term[]
  /** @throws {WeirError} `ADDRESS_IN_USE`, `ADDRESS_INVALID` */
  open(options: TransportOptions): Promise<Endpoint>
}

export interface Transport {
  readonly name: string
  plan(limits?: Partial<TransportLimits>): PlannedTransport
}

export type TransportName = 'memory' | 'quic' | 'iroh'

/** The memory backend on a network; endpoints meet when they are opened on the same one. */
export function memoryTransport(network: MemoryNetwork): Transport {
  return Object.freeze({
    name: 'memory',
    plan(given?: Partial<TransportLimits>): PlannedTransport {
      const limits = transportLimits(given)
      const terms = transportTerms(limits)
      return {
        name: 'memory',
        terms: Object.values(terms),
        async open(options: TransportOptions): Promise<Endpoint> {
          const { scope, ledger, lookup, protocols, keyPair } = options
          return new MemoryEndpoint({
            scope,
            ledger,
            lookup,
            protocols,
            nodeId: keyPair.id,
            network,
            terms,
            limits,
            ...(options.listen === undefined ? {} : { listen: options.listen }),
          })
        },
      }
    },
  })
}

/** The network of everybody in this process who asks for `memory` by name. */
const processNetwork = new MemoryNetwork()

/**
 * The transport of this name.
 *
 * @throws {WeirError} `TRANSPORT_MISSING` when its package is not installed or cannot be loaded here.
 */
export async function loadTransport(name: TransportName): Promise<Transport> {
  if (name === 'memory') return memoryTransport(processNetwork)
  // By its published name: this folder lies below that one and must not know it.
  if (name === 'quic') return loadPackage('weir-mesh/quic')
  if (name === 'iroh') return loadPackage('weir-mesh-iroh')
  throw new WeirError(
    'TRANSPORT_MISSING',
    `there is no transport '${name}'; take memory, quic or iroh`,
  )
}

/** Not exported by the folder: the name is a parameter so that a test can miss a package. */
export async function loadPackage(name: string): Promise<Transport> {
  try {
    const module = (await import(name)) as { readonly transport?: Transport }
    if (typeof module.transport?.plan === 'function') return module.transport
  } catch (error) {
    if (isWeirError(error)) throw error
    throw new WeirError(
      'TRANSPORT_MISSING',
      `the package ${name} cannot be loaded; install it beside weir-mesh, on a platform that it supports`,
      { cause: error },
    )
  }
  throw new WeirError('TRANSPORT_MISSING', `the package ${name} is no transport of weir-mesh`)
}
