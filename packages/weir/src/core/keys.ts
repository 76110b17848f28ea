/**
 * Ed25519 keys of our own node.
 *
 * The seed is the secret: it is copied in, never printed, and leaves only through `seed()`.
 */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { copyBytes } from '../codec/index.ts'
import { assert, type Random, systemRandom } from '../runtime/index.ts'
import type { NodeId } from './ids.ts'

export const SEED_BYTES = 32
export const SIGNATURE_BYTES = 64

/** PKCS #8 of an Ed25519 seed up to the seed itself, RFC 8410 section 7. */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Memory: one native key object of about 1.5 kB, for as long as the pair is referenced. */
export class KeyPair {
  /** The public key. */
  readonly id: NodeId
  readonly #seed: Uint8Array
  readonly #key: KeyObject

  private constructor(seed: Uint8Array) {
    this.#seed = copyBytes(seed)
    this.#key = createPrivateKey({
      key: Buffer.concat([pkcs8Head, seed]),
      format: 'der',
      type: 'pkcs8',
    })
    const { x } = this.#key.export({ format: 'jwk' })
    assert(x !== undefined, 'an Ed25519 key without its public part')
    this.id = copyBytes(Buffer.from(x, 'base64url')) as NodeId
  }

  /** From the 32 secret bytes of RFC 8032. */
  static fromSeed(seed: Uint8Array): KeyPair {
    assert(seed.length === SEED_BYTES, 'a seed has 32 bytes')
    return new KeyPair(seed)
  }

  static generate(random: Random = systemRandom): KeyPair {
    return new KeyPair(random.bytes(SEED_BYTES))
  }

  /** The same bytes every time, as RFC 8032 asks. */
  sign(message: Uint8Array): Uint8Array {
    return copyBytes(sign(null, message, this.#key))
  }

  /** A copy of the secret, for the key file. */
  seed(): Uint8Array {
    return copyBytes(this.#seed)
  }

  /** The private key for TLS, which signs with it by itself. */
  get keyObject(): KeyObject {
    return this.#key
  }

  /** Logs and errors that print a key pair print its public part. */
  toJSON(): string {
    return Buffer.from(this.id).toString('hex')
  }
}
