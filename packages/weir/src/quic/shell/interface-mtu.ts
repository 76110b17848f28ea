/**
 * How large a datagram the interfaces of this machine carry in one piece.
 *
 * Node tells addresses of interfaces and not their MTU, and no socket of it can forbid fragments. So a size counts as
 * known only where the kernel says it in /sys (Linux); elsewhere nothing above 1200 bytes is probed. Which interface a
 * datagram leaves by is not known either: towards other machines the narrowest one counts.
 *
 * Memory: four numbers for each endpoint, asked for again after a minute: a flood of clients costs no system call each.
 */
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { Clock } from '../../runtime/index.ts'
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

const KEPT_US = 60_000_000

/** `datagramBytesTo`, remembered for a minute for each kind of address. */
export class InterfaceMtu {
  readonly #clock: Clock
  readonly #ask: typeof datagramBytesTo
  /** By kind of address: the bytes, and until when they count. */
  readonly #bytes = new Float64Array(4)
  readonly #until = new Float64Array(4)

  constructor(clock: Clock, ask: (host: string) => number = datagramBytesTo) {
    this.#clock = clock
    this.#ask = ask
  }

  bytesTo(host: string): number {
    const kind = (host.includes(':') ? 2 : 0) + (isLoopback(host) ? 1 : 0)
    const now = this.#clock.now()
    if (now >= this.#until[kind]!) {
      this.#bytes[kind] = this.#ask(host)
      this.#until[kind] = now + KEPT_US
    }
    return this.#bytes[kind]!
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
