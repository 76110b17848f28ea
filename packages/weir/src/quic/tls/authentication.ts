/** The encrypted messages that show and prove keys (RFC 8446 sections 4.3 and 4.4), for raw Ed25519 keys. */
import { concatBytes } from '../../codec/index.ts'
import { type NodeId, verifySignature } from '../../core/index.ts'
import { HASH_BYTES } from '../crypto/hkdf.ts'
import { Alert, refuse } from './alerts.ts'
import {
  checkExtensions,
  ED25519,
  Extension,
  readExtensions,
  readUint16s,
  requireExtension,
  writeSignatureAlgorithms,
} from './extensions.ts'
import type { Side } from './key-schedule.ts'
import { MessageType } from './messages.ts'
import type { TlsReader } from './reader.ts'
import { decodeSpki, encodeSpki } from './spki.ts'
import { TlsWriter } from './writer.ts'

export function encodeCertificateRequest(): Uint8Array {
  const writer = new TlsWriter()
  writer.message(MessageType.certificateRequest, (message) => {
    message.uint8(0).vector(2, (extensions) => writeSignatureAlgorithms(extensions))
  })
  return writer.finish()
}

/** Checks that the server asks for what we have. */
export function readCertificateRequest(body: TlsReader): void {
  const context = body.vector8()
  if (context.left > 0) refuse(Alert.illegalParameter, 'a context in the handshake')
  // Extensions that we do not know are criteria that we ignore.
  const extensions = readExtensions(body.vector16(2))
  body.done()
  const algorithms = requireExtension(extensions, Extension.signatureAlgorithms, (list) =>
    readUint16s(list.vector16(2)),
  )
  if (!algorithms.includes(ED25519)) {
    refuse(Alert.handshakeFailure, 'the server does not take Ed25519 signatures')
  }
}

export function encodeCertificate(key: Uint8Array): Uint8Array {
  const writer = new TlsWriter()
  writer.message(MessageType.certificate, (message) => {
    message.uint8(0).vector(3, (list) => {
      list.vector(3, (entry) => entry.raw(encodeSpki(key))).uint16(0)
    })
  })
  return writer.finish()
}

/** The key that the peer claims; it is proved by CertificateVerify. */
export function readCertificate(body: TlsReader, from: Side): NodeId {
  const context = body.vector8()
  if (context.left > 0) refuse(Alert.illegalParameter, 'a context in the handshake')
  const list = body.vector24()
  body.done()
  if (list.left === 0) {
    if (from === 'client') refuse(Alert.certificateRequired, 'the client shows no key')
    refuse(Alert.decodeError, 'the server shows no key')
  }
  const spki = list.vector24(1).rest()
  const extensions = readExtensions(list.vector16())
  if (list.left > 0) refuse(Alert.illegalParameter, 'more than one raw public key')
  checkExtensions(extensions, [], [])
  return decodeSpki(spki)
}

/** What is signed (RFC 8446 section 4.4.3). */
export function signedContent(side: Side, hash: Uint8Array): Uint8Array {
  const context = Buffer.from(`TLS 1.3, ${side} CertificateVerify\0`, 'latin1')
  return concatBytes(new Uint8Array(64).fill(0x20), context, hash)
}

export function encodeCertificateVerify(signature: Uint8Array): Uint8Array {
  const writer = new TlsWriter()
  writer.message(MessageType.certificateVerify, (message) => {
    message.uint16(ED25519).vector(2, (all) => all.raw(signature))
  })
  return writer.finish()
}

/** @param hash Of the messages before this one. */
export function checkCertificateVerify(
  body: TlsReader,
  from: Side,
  key: Uint8Array,
  hash: Uint8Array,
): void {
  const algorithm = body.uint16()
  const signature = body.vector16().rest()
  body.done()
  if (algorithm !== ED25519) refuse(Alert.illegalParameter, 'a signature that we did not offer')
  if (!verifySignature(key, signedContent(from, hash), signature)) {
    refuse(Alert.decryptError, 'the signature is not that of the key')
  }
}

export function encodeFinished(content: Uint8Array): Uint8Array {
  return new TlsWriter().message(MessageType.finished, (message) => message.raw(content)).finish()
}

export function readFinished(body: TlsReader): Uint8Array {
  const content = body.take(HASH_BYTES)
  body.done()
  return content
}
