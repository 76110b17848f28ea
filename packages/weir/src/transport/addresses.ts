/** Socket addresses as text, and the table of configured ones. */
import { isIPv4, isIPv6 } from 'node:net'
import { idKey, type NodeId } from '../core/index.ts'
import { WeirError } from '../runtime/index.ts'
import type { Address, AddressLookup } from './transport.ts'

export interface HostPort {
  /** An IP literal, without brackets. */
  readonly host: string
  readonly port: number
}

/**
 * Reads `127.0.0.1:9102` or `[::1]:9102`. Names are not looked up: an address is a literal.
 *
 * @throws {WeirError} `ADDRESS_INVALID`
 */
export function parseAddress(address: Address): HostPort {
  const colon = address.lastIndexOf(':')
  const hostText = address.slice(0, Math.max(colon, 0))
  const portText = address.slice(colon + 1)
  const bracketed = hostText.startsWith('[') && hostText.endsWith(']')
  const host = bracketed ? hostText.slice(1, -1) : hostText
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : -1
  if (port < 0 || port > 65_535 || !(bracketed ? isIPv6(host) : isIPv4(host))) {
    throw new WeirError(
      'ADDRESS_INVALID',
      `'${address.slice(0, 80)}' is not an address; write 127.0.0.1:9102 or [::1]:9102`,
    )
  }
  return { host, port }
}

export function formatAddress({ host, port }: HostPort): Address {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** What a configuration says about one node. */
export interface FixedPeer {
  readonly node: NodeId
  readonly addresses: readonly Address[]
}

/**
 * The addresses of configured peers: a fixed table, checked when it is made.
 *
 * Memory: as large as the configuration that it was made from, and it never grows.
 */
export class FixedAddresses implements AddressLookup {
  readonly #byNode: Readonly<Record<string, readonly Address[]>>

  constructor(peers: Iterable<FixedPeer>) {
    const table: Record<string, readonly Address[]> = Object.create(null)
    for (const peer of peers) {
      for (const address of peer.addresses) parseAddress(address)
      const key = idKey(peer.node)
      table[key] = Object.freeze([...(table[key] ?? []), ...peer.addresses])
    }
    this.#byNode = Object.freeze(table)
  }

  addresses(node: NodeId): readonly Address[] {
    return this.#byNode[idKey(node)] ?? []
  }
}
