/**
 * How large a datagram the interfaces of this machine carry in one piece.
 *
 * Node tells addresses of interfaces and not their MTU, and no socket of it can forbid fragments. So a size counts as
 * known only where the kernel says it in /sys (Linux); elsewhere nothing above 1200 bytes is probed. Which interface a
 * datagram leaves by is not known either: towards other machines the narrowest one counts.
 *
 * Memory: nothing is kept.
 */
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { DATAGRAM_BYTES_MIN } from '../packet/header.ts'

const IP4_UDP_BYTES = 28
const IP6_UDP_BYTES = 48

/** MTU of an interface, undefined where nobody says it. */
export type MtuOf = (name: string) => number | undefined

function systemMtu(name: string): number | undefined {
  try {
    const mtu = Number(readFileSync(`/sys/class/net/${name}/mtu`, 'utf8'))
    return Number.isSafeInteger(mtu) ? mtu : undefined
  } catch {
    return undefined
  }
}

const isLoopback = (host: string): boolean => host === '::1' || host.startsWith('127.')

/** The largest datagram for a host, in bytes of UDP payload; 1200 where that is not known. */
export function datagramBytesTo(
  host: string,
  interfaces: typeof networkInterfaces = networkInterfaces,
  mtuOf: MtuOf = systemMtu,
): number {
  const overhead = host.includes(':') ? IP6_UDP_BYTES : IP4_UDP_BYTES
  const wanted = isLoopback(host)
  let least = Number.POSITIVE_INFINITY
  for (const [name, addresses = []] of Object.entries(interfaces())) {
    if (!addresses.some(({ internal }) => internal === wanted)) continue
    least = Math.min(least, mtuOf(name) ?? 0)
  }
  const known = Number.isFinite(least) ? least - overhead : 0
  return Math.max(known, DATAGRAM_BYTES_MIN)
}
