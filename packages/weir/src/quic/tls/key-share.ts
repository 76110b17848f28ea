/**
 * One ephemeral X25519 key (RFC 7748, RFC 8446 section 4.2.8.2), for one exchange.
 *
 * Memory: a native key object of about 1.5 kB until the exchange or `drop`; during the exchange a second one.
 */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto'
import { copyBytes } from '../../codec/index.ts'
import { assert, type Random } from '../../runtime/index.ts'

export const X25519 = 0x001d
export const SHARE_BYTES = 32

/** PKCS #8 and SubjectPublicKeyInfo of X25519 keys up to the key itself, RFC 8410. */
const privateHead = Buffer.from('302e020100300506032b656e04220420', 'hex')
const publicHead = Buffer.from('302a300506032b656e032100', 'hex')

export class KeyShare {
  readonly publicKey: Uint8Array
  #key: KeyObject | undefined

  constructor(random: Random) {
    const secret = random.bytes(SHARE_BYTES)
    const der = Buffer.concat([privateHead, secret])
    this.#key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    der.fill(0)
    secret.fill(0)
    const spki = createPublicKey(this.#key).export({ format: 'der', type: 'spki' })
    this.publicKey = copyBytes(spki, publicHead.length)
  }

  /** The shared secret, the caller's to zero; undefined for a point of small order. The key is gone after it. */
  exchange(share: Uint8Array): Uint8Array | undefined {
    const privateKey = this.#key
    assert(privateKey && share.length === SHARE_BYTES, 'an exchange without keys')
    this.drop()
    const der = Buffer.concat([publicHead, share])
    const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' })
    try {
      const shared = diffieHellman({ privateKey, publicKey })
      return isZero(shared) ? undefined : shared
    } catch {
      // OpenSSL refuses an all-zero secret by itself.
      return undefined
    }
  }

  drop(): void {
    this.#key = undefined
  }
}

/** In constant time (RFC 7748 section 6.1). */
function isZero(bytes: Uint8Array): boolean {
  let bits = 0
  for (const byte of bytes) bits |= byte
  return bits === 0
}
