/**
 * Verifies Ed25519 signatures exactly as upstream's `verify_strict` does.
 *
 * Keys and signatures that OpenSSL releases disagree about are refused before they reach it: see `curve.ts`.
 *
 * Memory: one native key object per author, at most the entries of its term; the least recently used one leaves.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type Account, BoundedMap } from '../bounds/index.ts'
import { asBuffer, copyBytes, equalBytes } from '../codec/index.ts'
import { isCanonicalY, isReducedScalar, isSmallOrder } from './curve.ts'
import { ID_BYTES, idKey } from './ids.ts'
import { SIGNATURE_BYTES } from './keys.ts'

/**
 * Whether a public key may be used: 32 bytes, canonical, not of small order.
 *
 * Whether it is a point of the curve shows with its first signature; `isCurvePoint` tells without one.
 */
export function admitKey(key: Uint8Array): boolean {
  return key.length === ID_BYTES && isCanonicalY(key) && !isSmallOrder(key)
}

/** Whether a signature has the one form that is accepted: R canonical and not of small order, s reduced. */
export function admitSignature(signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false
  const r = signature.subarray(0, 32)
  return isCanonicalY(r) && !isSmallOrder(r) && isReducedScalar(signature.subarray(32))
}

/** One signature, without keeping anything: for keys that are seen once. */
export function verifySignature(
  key: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (!admitKey(key) || !admitSignature(signature)) return false
  return verify(null, message, importKey(key), signature)
}

/** The key as OpenSSL wants it, in native memory. */
export function importKey(key: Uint8Array): KeyObject {
  const x = asBuffer(key).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

export class Verifier implements Disposable {
  readonly #keys: BoundedMap<string, KeyObject>
  /** The most recently used entry: the signatures of one author come in runs. */
  #recent: { readonly key: Uint8Array; readonly object: KeyObject } | undefined

  /** @param keys Account of the term `core.verifier-keys`; closed with the verifier. */
  constructor(keys: Account) {
    this.#keys = new BoundedMap(keys)
  }

  /** About 0.13 ms on the calling thread. False for every key and signature that is not admitted. */
  verify(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    const object = this.admit(key, signature)
    return object !== undefined && verify(null, message, object, signature)
  }

  /** The key object for a signature that is worth verifying; undefined when the answer is already no. */
  admit(key: Uint8Array, signature: Uint8Array): KeyObject | undefined {
    if (!admitSignature(signature)) return undefined
    const recent = this.#recent
    if (recent !== undefined && equalBytes(recent.key, key)) return recent.object
    const name = idKey(key)
    const known = this.#keys.get(name)
    if (known !== undefined) return this.#use(key, known)
    if (!admitKey(key)) return undefined
    const object = importKey(key)
    // Refused under pressure: it works without being kept.
    return this.#keys.set(name, object) === 'ok' ? this.#use(key, object) : object
  }

  /** Gives up key objects until at most `keys` are left, least recently used first. */
  shed(keys: number): number {
    this.#recent = undefined
    return this.#keys.shed(keys)
  }

  [Symbol.dispose](): void {
    this.#recent = undefined
    this.#keys[Symbol.dispose]()
  }

  #use(key: Uint8Array, object: KeyObject): KeyObject {
    this.#recent = { key: copyBytes(key), object }
    return object
  }
}
