/** ClientHello (RFC 8446 section 4.1.2) as QUIC restricts it: ours, and what a server learns from one. */
import { sha256 } from '../crypto/hkdf.ts'
import { Alert, refuse, refuseForQuic } from './alerts.ts'
import {
  ED25519,
  Extension,
  type Extensions,
  parseExtension,
  RAW_PUBLIC_KEY,
  readExtensions,
  readProtocols,
  readUint16s,
  requireExtension,
  TLS_1_2,
  TLS_1_3,
  writeProtocols,
  writeSignatureAlgorithms,
} from './extensions.ts'
import { SHARE_BYTES, X25519 } from './key-share.ts'
import { MessageType } from './messages.ts'
import { TlsReader } from './reader.ts'
import { TlsWriter } from './writer.ts'

export const RANDOM_BYTES = 32
const SESSION_BYTES_MAX = 32

export interface OwnClientHello {
  readonly random: Uint8Array
  readonly suites: readonly number[]
  readonly protocol: Uint8Array
  readonly parameters: Uint8Array
  /** Undefined to let the server ask for one. */
  readonly share: Uint8Array | undefined
  /** Of a HelloRetryRequest. */
  readonly cookie: Uint8Array | undefined
}

/** What our ClientHello has, and so what a server may answer to. */
export const OFFERED: readonly number[] = Object.freeze([
  Extension.supportedVersions,
  Extension.supportedGroups,
  Extension.signatureAlgorithms,
  Extension.keyShare,
  Extension.applicationProtocol,
  Extension.clientCertificateType,
  Extension.serverCertificateType,
  Extension.transportParameters,
])

export function encodeClientHello(hello: OwnClientHello): Uint8Array {
  const writer = new TlsWriter({ sizeHint: 512 })
  writer.message(MessageType.clientHello, (message) => {
    message.uint16(TLS_1_2).raw(hello.random)
    // No session id: QUIC has no middlebox compatibility mode (RFC 9001 section 8.4).
    message.uint8(0)
    message.vector(2, (list) => {
      for (const suite of hello.suites) list.uint16(suite)
    })
    message.vector(1, (list) => list.uint8(0))
    message.vector(2, (extensions) => writeOffer(extensions, hello))
  })
  return writer.finish()
}

function writeOffer(writer: TlsWriter, hello: OwnClientHello): void {
  const { share, cookie } = hello
  writer.extension(Extension.supportedVersions, (body) =>
    body.vector(1, (list) => list.uint16(TLS_1_3)),
  )
  writer.extension(Extension.supportedGroups, (body) =>
    body.vector(2, (list) => list.uint16(X25519)),
  )
  writeSignatureAlgorithms(writer)
  writer.extension(Extension.keyShare, (body) =>
    body.vector(2, (list) => {
      if (share) list.uint16(X25519).vector(2, (key) => key.raw(share))
    }),
  )
  writeProtocols(writer, [hello.protocol])
  for (const type of [Extension.clientCertificateType, Extension.serverCertificateType]) {
    writer.extension(type, (body) => body.vector(1, (list) => list.uint8(RAW_PUBLIC_KEY)))
  }
  writer.extension(Extension.transportParameters, (body) => body.raw(hello.parameters))
  if (cookie) writer.extension(Extension.cookie, (body) => body.vector(2, (all) => all.raw(cookie)))
}

/** Views of the message. */
export interface ClientHello {
  readonly random: Uint8Array
  /** As they stand in the message. */
  readonly suiteBytes: Uint8Array
  readonly suites: readonly number[]
  /** The X25519 share; undefined when there is none. */
  readonly share: Uint8Array | undefined
  /** How many shares there are, of any group. */
  readonly shares: number
  readonly protocols: readonly Uint8Array[]
  readonly parameters: Uint8Array
  readonly extensions: Extensions
}

/** @throws {TlsRefusal} When it breaks a rule, or lacks what every server of ours needs. */
export function decodeClientHello(body: TlsReader): ClientHello {
  const version = body.uint16()
  // Other values mean nothing beside supported_versions; this one is SSL 3 (RFC 8446 appendix D.5).
  if (version <= 0x0300) refuse(Alert.protocolVersion, 'the client speaks SSL')
  const random = body.take(RANDOM_BYTES)
  const session = body.vector8()
  if (session.left > SESSION_BYTES_MAX) refuse(Alert.decodeError, 'a session id is too long')
  const suiteBytes = body.vector16(2).rest()
  const compression = body.vector8(1).rest()
  // Before TLS 1.3 a ClientHello could end here.
  const extensions = readExtensions(body.left > 0 ? body.vector16() : body)
  body.done()
  checkVersion(extensions)
  if (compression.length !== 1 || compression[0] !== 0) {
    refuse(Alert.illegalParameter, 'the client offers compression')
  }
  if (session.left > 0) refuseForQuic('a ClientHello with a session id (RFC 9001 section 8.4)')
  checkPreSharedKey(extensions)
  checkAuthentication(extensions)
  return {
    random,
    suiteBytes,
    suites: readUint16s(new TlsReader(suiteBytes)),
    ...readShares(extensions),
    protocols: requireExtension(
      extensions,
      Extension.applicationProtocol,
      readProtocols,
      Alert.noApplicationProtocol,
    ),
    parameters: requireExtension(extensions, Extension.transportParameters, (all) => all.rest()),
    extensions,
  }
}

function checkVersion(extensions: Extensions): void {
  const versions = parseExtension(extensions, Extension.supportedVersions, (body) =>
    readUint16s(body.vector8(2)),
  )
  if (!versions?.includes(TLS_1_3)) {
    refuse(Alert.protocolVersion, 'the client does not speak TLS 1.3')
  }
}

/** We resume nothing, but a malformed offer is refused (RFC 8446 sections 4.2.9 and 4.2.11). */
function checkPreSharedKey(extensions: Extensions): void {
  if (!extensions.has(Extension.preSharedKey)) return
  if ([...extensions.keys()].at(-1) !== Extension.preSharedKey) {
    refuse(Alert.illegalParameter, 'pre_shared_key is not the last extension')
  }
  if (!extensions.has(Extension.pskModes)) {
    refuse(Alert.missingExtension, 'psk_key_exchange_modes is missing')
  }
}

/** Both sides prove an Ed25519 key, and show it bare. */
function checkAuthentication(extensions: Extensions): void {
  const algorithms = requireExtension(extensions, Extension.signatureAlgorithms, (body) =>
    readUint16s(body.vector16(2)),
  )
  if (!algorithms.includes(ED25519)) {
    refuse(Alert.handshakeFailure, 'the client does not take Ed25519 signatures')
  }
  for (const type of [Extension.clientCertificateType, Extension.serverCertificateType]) {
    const types = requireExtension(
      extensions,
      type,
      (body) => body.vector8(1).rest(),
      Alert.handshakeFailure,
    )
    if (!types.includes(RAW_PUBLIC_KEY)) {
      refuse(Alert.unsupportedCertificate, 'the client does not take raw public keys')
    }
  }
}

function readShares(extensions: Extensions): Pick<ClientHello, 'share' | 'shares'> {
  const groups = requireExtension(extensions, Extension.supportedGroups, (body) =>
    readUint16s(body.vector16(2)),
  )
  const shares = requireExtension(extensions, Extension.keyShare, (body) => {
    const list = body.vector16()
    const found = new Map<number, Uint8Array>()
    while (list.left > 0) {
      const group = list.uint16()
      if (found.has(group)) refuse(Alert.illegalParameter, 'two key shares of one group')
      if (!groups.includes(group)) {
        refuse(Alert.illegalParameter, 'a key share of a group that is not offered')
      }
      found.set(group, list.vector16(1).rest())
    }
    return found
  })
  if (!groups.includes(X25519)) refuse(Alert.handshakeFailure, 'the client does not offer X25519')
  const share = shares.get(X25519)
  if (share && share.length !== SHARE_BYTES) {
    refuse(Alert.illegalParameter, 'an X25519 share of the wrong length')
  }
  return { share, shares: shares.size }
}

/** A hash of what the second ClientHello must have in common with the first (RFC 8446 section 4.1.2). */
export function fixedPart(hello: ClientHello): Uint8Array {
  const writer = new TlsWriter({ sizeHint: 512 })
  writer.raw(hello.random).vector(2, (all) => all.raw(hello.suiteBytes))
  for (const type of OFFERED) {
    if (type === Extension.keyShare) continue
    writer.extension(type, (body) => body.raw(hello.extensions.get(type)!))
  }
  return sha256(writer.finish())
}
