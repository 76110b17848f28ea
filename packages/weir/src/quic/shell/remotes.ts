/**
 * Where the peer of a connection is, for a dial that knows several addresses.
 *
 * All of them get the first datagrams, as iroh does it: with one original destination id, so that the server makes one
 * connection of them. The first address from which something authentic comes is the peer's; the others are forgotten,
 * and what comes from there later is dropped. The machine knows one address, the first of the list, all the while.
 *
 * Memory: at most `DIAL_ADDRESSES_MAX` addresses while a dial runs, one afterwards; part of the cost of a connection.
 */
import { type Remote, sameRemote } from '../connection/path.ts'

/** Further addresses of a node are not dialled. */
export const DIAL_ADDRESSES_MAX = 8

interface Candidate {
  readonly remote: Remote
  /** The system says that there is no way. */
  unreachable: boolean
  next: Candidate | undefined
}

export class Remotes {
  /** The address that the machine knows. */
  readonly first: Remote
  #chosen: Remote | undefined
  #candidates: Candidate | undefined

  /** @param remotes at least one; of a connection that was accepted its only one. */
  constructor(remotes: readonly Remote[]) {
    this.first = remotes[0]!
    if (remotes.length === 1) {
      this.#chosen = this.first
      return
    }
    for (let index = Math.min(remotes.length, DIAL_ADDRESSES_MAX) - 1; index >= 0; index--) {
      this.#candidates = {
        remote: remotes[index]!,
        unreachable: false,
        next: this.#candidates,
      }
    }
  }

  /** The address of the peer, the first one as long as none has answered. */
  get current(): Remote {
    return this.#chosen ?? this.first
  }

  get settled(): boolean {
    return this.#chosen !== undefined
  }

  /** Whether something from there may belong to the dial. */
  includes(remote: Remote): boolean {
    if (this.#chosen) return sameRemote(this.#chosen, remote)
    return this.#find(remote) !== undefined
  }

  /** Somebody there has the keys: it is the peer. */
  settle(remote: Remote): void {
    this.#chosen = { host: remote.host, port: remote.port }
    this.#candidates = undefined
  }

  /** Calls for each address that a datagram has to go to. */
  each(send: (remote: Remote) => void): void {
    if (this.#chosen) return send(this.#chosen)
    for (let each = this.#candidates; each; each = each.next) {
      if (!each.unreachable) send(each.remote)
    }
  }

  /** The system cannot send there. @returns whether it was the last address. */
  unreachable(remote: Remote): boolean {
    if (this.#chosen) return sameRemote(this.#chosen, remote)
    const found = this.#find(remote)
    if (!found) return false
    found.unreachable = true
    for (let each = this.#candidates; each; each = each.next) if (!each.unreachable) return false
    return true
  }

  #find(remote: Remote): Candidate | undefined {
    for (let each = this.#candidates; each; each = each.next) {
      if (sameRemote(each.remote, remote)) return each
    }
    return undefined
  }
}
