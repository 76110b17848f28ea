/**
 * One ephemeral X25519 key (RFC 7748, RFC 8446 section 4.2.8.2), for one exchange.
 *
 * Memory: a native key object of about 1.5 kB until the exchange or `drop`; during the exchange a second one.
 */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto'
import { asBuffer, copyBytes } from '../../codec/index.ts'
import { assert, type Random } from '../../runtime/index.ts'

export const X25519 = 0x001d
export const SHARE_BYTES = 32

/** PKCS #8 of an X25519 key up to the key itself, RFC 8410 section 7. */
const privateHead = Buffer.from('302e020100300506032b656e04220420', 'hex')

export class KeyShare {
  readonly publicKey: Uint8Array
  #key: KeyObject | undefined

  constructor(random: Random) {
    const secret = random.bytes(SHARE_BYTES)
    const der = Buffer.concat([privateHead, secret])
    this.#key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    der.fill(0)
    secret.fill(0)
    // As JWK, which takes half the time of DER; of the public key, lest the secret becomes a string.
    const { x } = createPublicKey(this.#key).export({ format: 'jwk' })
    assert(x !== undefined, 'an X25519 key without its public part')
    this.publicKey = copyBytes(Buffer.from(x, 'base64url'))
  }

  /** The shared secret, the caller's to zero; undefined for a point of small order. The key is gone after it. */
  exchange(share: Uint8Array): Uint8Array | undefined {
    const privateKey = this.#key
    assert(privateKey && share.length === SHARE_BYTES, 'an exchange without keys')
    this.drop()
    const x = asBuffer(share).toString('base64url')
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' })
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
