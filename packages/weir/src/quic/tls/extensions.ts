/**
 * Extensions of handshake messages (RFC 8446 section 4.2), and the values that more than one message has.
 *
 * Memory: views of the message, for as long as it is handled; their number is bounded by its length.
 */
import { Alert, refuse } from './alerts.ts'
import { TlsReader } from './reader.ts'
import type { TlsWriter } from './writer.ts'

export const Extension = Object.freeze({
  serverName: 0,
  supportedGroups: 10,
  signatureAlgorithms: 13,
  applicationProtocol: 16,
  clientCertificateType: 19,
  serverCertificateType: 20,
  preSharedKey: 41,
  earlyData: 42,
  supportedVersions: 43,
  cookie: 44,
  pskModes: 45,
  keyShare: 51,
  transportParameters: 57,
})

export const TLS_1_2 = 0x0303
export const TLS_1_3 = 0x0304
export const ED25519 = 0x0807
/** RFC 7250 section 4: the certificate is a bare public key. */
export const RAW_PUBLIC_KEY = 2

/** Bodies by type, in the order of the message. */
export type Extensions = ReadonlyMap<number, Uint8Array>

/** @throws {TlsRefusal} Also for a type that comes twice, known or not. */
export function readExtensions(list: TlsReader): Extensions {
  const found = new Map<number, Uint8Array>()
  while (list.left > 0) {
    const type = list.uint16()
    if (found.has(type)) refuse(Alert.illegalParameter, `extension ${type} comes twice`)
    found.set(type, list.vector16().rest())
  }
  return found
}

/**
 * Refuses extensions that have no place in a message of the server.
 *
 * @param allowed Those that may stand here, of the ones that we offered.
 * @param offered All that we offered: elsewhere they are in the wrong message, others were never asked for.
 */
export function checkExtensions(
  found: Extensions,
  allowed: readonly number[],
  offered: readonly number[],
): void {
  for (const type of found.keys()) {
    if (allowed.includes(type)) continue
    if (!offered.includes(type)) refuse(Alert.unsupportedExtension, `extension ${type} unasked`)
    refuse(Alert.illegalParameter, `extension ${type} in the wrong message`)
  }
}

/** What `read` makes of the body of an extension, which must end where `read` does; undefined when it is absent. */
export function parseExtension<T>(
  found: Extensions,
  type: number,
  read: (body: TlsReader) => T,
): T | undefined {
  const bytes = found.get(type)
  if (!bytes) return undefined
  const body = new TlsReader(bytes)
  const value = read(body)
  body.done()
  return value
}

/** The same for one that must be there. */
export function requireExtension<T>(
  found: Extensions,
  type: number,
  read: (body: TlsReader) => T,
  alert: number = Alert.missingExtension,
): T {
  if (!found.has(type)) refuse(alert, `extension ${type} is missing`)
  return parseExtension(found, type, read) as T
}

/** A list of 16-bit values, read whole. */
export function readUint16s(list: TlsReader): readonly number[] {
  const values: number[] = []
  while (list.left > 0) values.push(list.uint16())
  return values
}

/** Names of protocols (RFC 7301 section 3.1), as views. */
export function readProtocols(body: TlsReader): readonly Uint8Array[] {
  const list = body.vector16(2)
  const names: Uint8Array[] = []
  while (list.left > 0) names.push(list.vector8(1).rest())
  return names
}

export function writeProtocols(writer: TlsWriter, names: readonly Uint8Array[]): void {
  writer.extension(Extension.applicationProtocol, (body) =>
    body.vector(2, (list) => {
      for (const name of names) list.vector(1, (each) => each.raw(name))
    }),
  )
}

export function writeSignatureAlgorithms(writer: TlsWriter): void {
  writer.extension(Extension.signatureAlgorithms, (body) =>
    body.vector(2, (list) => list.uint16(ED25519)),
  )
}
