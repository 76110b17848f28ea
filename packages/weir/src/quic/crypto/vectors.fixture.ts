/** Vectors of RFC 9001 appendix A, RFC 8448 section 3, RFC 8439, RFC 5869 and the GCM paper, for tests. */
import { readFileSync } from 'node:fs'
import { fromHex } from '../../codec/index.ts'

const file = new URL('../../../vectors/rfc-quic.json', import.meta.url)
const all = JSON.parse(readFileSync(file, 'utf8'))

/** A field of an RFC as bytes. */
export function rfc(document: string, name: string): Uint8Array {
  const value = all[document]?.[name]
  if (typeof value !== 'string') throw new Error(`there is no vector ${document} ${name}`)
  return fromHex(value)
}

/** A field of an RFC that is a number. */
export function rfcNumber(document: string, name: string): number {
  const value = all[document]?.[name]
  if (typeof value !== 'number') throw new Error(`there is no number ${document} ${name}`)
  return value
}

export interface ExtractCase {
  readonly secret: Uint8Array
  readonly salt: Uint8Array
  readonly info: Uint8Array
  readonly extracted: Uint8Array
  readonly expanded: Uint8Array
}

/** RFC 5869 appendix A.1 to A.3. */
export const extractCases = (): readonly ExtractCase[] => all.rfc5869.map(bytesOf)

export interface BlockCase {
  readonly key: Uint8Array
  readonly sample: Uint8Array
  /** The first five bytes of the key stream. */
  readonly start: Uint8Array
}

/** RFC 8439 sections 2.3.2, 2.4.2 and appendix A.1. */
export const blockCases = (): readonly BlockCase[] => all.rfc8439.blocks.map(bytesOf)

export interface AeadCase {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly associated: Uint8Array
  readonly plain: Uint8Array
  /** With the tag. */
  readonly sealed: Uint8Array
}

/** RFC 8439 section 2.8.2 and appendix A.5. */
export const chachaCases = (): readonly AeadCase[] => all.rfc8439.aead.map(bytesOf)

export interface PolyCase {
  readonly key: Uint8Array
  readonly message: Uint8Array
  readonly tag: Uint8Array
}

/** Those of RFC 8439 appendix A.3 whose messages are whole blocks: the carries and the last reduction. */
export const polyCases = (): readonly PolyCase[] => all.rfc8439.poly.map(bytesOf)

/** Case 4 of the specification of GCM. */
export const gcmCases = (): readonly AeadCase[] => all.gcm.map(bytesOf)

/** Every field but `where`, which is for the reader of the file. */
function bytesOf({ where: _, ...fields }: Record<string, string>): unknown {
  return Object.fromEntries(Object.entries(fields).map(([name, hex]) => [name, fromHex(hex)]))
}
