/** Ed25519 public keys as they stand in a raw public key certificate (RFC 7250 section 3, RFC 8410 section 4). */
import { concatBytes, copyBytes, equalBytes } from '../../codec/index.ts'
import { admitKey, ID_BYTES, type NodeId } from '../../core/index.ts'
import { Alert, refuse } from './alerts.ts'

/** SubjectPublicKeyInfo with the algorithm 1.3.101.112 and a bit string of 32 bytes, up to the key. */
const head = Uint8Array.from(Buffer.from('302a300506032b6570032100', 'hex'))

export const SPKI_BYTES = head.length + ID_BYTES

export function encodeSpki(key: Uint8Array): Uint8Array {
  return concatBytes(head, key)
}

/** The key, copied. DER gives it exactly one form. */
export function decodeSpki(bytes: Uint8Array): NodeId {
  if (bytes.length !== SPKI_BYTES || !equalBytes(bytes.subarray(0, head.length), head)) {
    refuse(Alert.unsupportedCertificate, 'the certificate is no Ed25519 raw public key')
  }
  const key = copyBytes(bytes, head.length)
  if (!admitKey(key)) refuse(Alert.badCertificate, 'the public key is not usable')
  return key as NodeId
}
