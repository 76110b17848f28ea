/**
 * What a server remembers of a Retry without remembering it: the token says who was asked, when and for what, under a
 * key of this endpoint. It is bound to the address, the first destination id and the id of the Retry.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { copyBytes } from '../../codec/index.ts'
import type { Remote } from '../connection/path.ts'

const MAC_BYTES = 16
const LIFETIME_MS = 15_000

export class Tokens {
  readonly #key: Uint8Array

  constructor(key: Uint8Array) {
    this.#key = key
  }

  /** @param source the id that the Retry gives to the client. */
  make(
    originalDestination: Uint8Array,
    source: Uint8Array,
    remote: Remote,
    nowMs: number,
  ): Uint8Array {
    const length = originalDestination.length
    const token = new Uint8Array(6 + 1 + length + MAC_BYTES)
    let rest = Math.floor(nowMs)
    for (let at = 5; at >= 0; at--) {
      token[at] = rest % 256
      rest = Math.floor(rest / 256)
    }
    token[6] = length
    token.set(originalDestination, 7)
    token.set(this.#mac(token.subarray(0, 7 + length), source, remote), 7 + length)
    return token
  }

  /** @returns the first destination id, `expired`, or undefined when it is no token of ours for this address. */
  read(
    token: Uint8Array,
    source: Uint8Array,
    remote: Remote,
    nowMs: number,
  ): Uint8Array | 'expired' | undefined {
    const macAt = token.length - MAC_BYTES
    if (macAt < 8 || macAt !== 7 + token[6]!) return undefined
    const mac = this.#mac(token.subarray(0, macAt), source, remote)
    if (!timingSafeEqual(mac, token.subarray(macAt))) return undefined
    let at = 0
    for (let byte = 0; byte < 6; byte++) at = at * 256 + token[byte]!
    if (nowMs - at > LIFETIME_MS || at > nowMs) return 'expired'
    return copyBytes(token, 7, macAt)
  }

  #mac(head: Uint8Array, source: Uint8Array, remote: Remote): Uint8Array {
    const hmac = createHmac('sha256', this.#key)
    hmac.update(head).update(source).update(`${remote.host} ${remote.port}`)
    return hmac.digest().subarray(0, MAC_BYTES)
  }
}
