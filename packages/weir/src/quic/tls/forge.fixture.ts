/** Takes handshake messages apart and puts them together again, so that tests can send what no honest peer would. */
import { concatBytes } from '../../codec/index.ts'
import type { Extensions } from './extensions.ts'
import { readExtensions } from './extensions.ts'
import { HEAD_BYTES } from './messages.ts'
import { TlsReader } from './reader.ts'
import { TlsWriter } from './writer.ts'

export const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

/** A message around a body. */
export function message(type: number, body: Uint8Array): Uint8Array {
  return new TlsWriter().message(type, (writer) => writer.raw(body)).finish()
}

export const bodyOf = (of: Uint8Array): Uint8Array => of.subarray(HEAD_BYTES)

/** The messages of a flight. */
export function split(flight: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = []
  for (let at = 0; at < flight.length; ) {
    const size = HEAD_BYTES + ((flight[at + 1]! << 16) | (flight[at + 2]! << 8) | flight[at + 3]!)
    parts.push(flight.subarray(at, at + size))
    at += size
  }
  return parts
}

/** A list of extensions that may be anything. */
export class Edit {
  readonly list: [type: number, body: Uint8Array][]

  constructor(from: Extensions) {
    this.list = [...from].map(([type, body]) => [type, body.slice()])
  }

  get(type: number): Uint8Array {
    return this.list.find(([each]) => each === type)![1]
  }

  set(type: number, ...values: number[]): this {
    const found = this.list.find(([each]) => each === type)
    if (found) found[1] = Uint8Array.from(values)
    else this.add(type, ...values)
    return this
  }

  add(type: number, ...values: number[]): this {
    this.list.push([type, Uint8Array.from(values)])
    return this
  }

  remove(type: number): this {
    const at = this.list.findIndex(([each]) => each === type)
    this.list.splice(at, 1)
    return this
  }

  encode(): Uint8Array {
    const writer = new TlsWriter()
    writer.vector(2, (all) => {
      for (const [type, body] of this.list) all.extension(type, (each) => each.raw(body))
    })
    return writer.finish()
  }
}

/** The fields of a ClientHello. */
export interface HelloFields {
  version: number
  random: Uint8Array
  session: Uint8Array
  suites: Uint8Array
  compression: Uint8Array
  /** Undefined to leave even their length out. */
  extensions: Edit | undefined
  trailing: Uint8Array
}

/** A ClientHello with some fields changed. */
export function forgeClientHello(
  hello: Uint8Array,
  change: (fields: HelloFields, extensions: Edit) => unknown,
): Uint8Array {
  const reader = new TlsReader(hello, HEAD_BYTES)
  const version = reader.uint16()
  const random = reader.take(32).slice()
  const session = reader.vector8().rest().slice()
  const suites = reader.vector16().rest().slice()
  const compression = reader.vector8().rest().slice()
  const extensions = new Edit(readExtensions(reader.vector16()))
  const trailing = new Uint8Array(0)
  const fields = { version, random, session, suites, compression, extensions, trailing }
  const changed: HelloFields = fields
  change(changed, extensions)
  const writer = new TlsWriter().message(1, (all) => {
    all.uint16(changed.version).raw(changed.random)
    all.vector(1, (part) => part.raw(changed.session))
    all.vector(2, (part) => part.raw(changed.suites))
    all.vector(1, (part) => part.raw(changed.compression))
    if (changed.extensions) all.raw(changed.extensions.encode())
    all.raw(changed.trailing)
  })
  return writer.finish()
}

/** The fields of a ServerHello. */
export interface ServerHelloFields {
  version: number
  random: Uint8Array
  session: Uint8Array
  suite: number
  compression: number
  trailing: Uint8Array
}

export function forgeServerHello(
  hello: Uint8Array,
  change: (fields: ServerHelloFields, extensions: Edit) => unknown,
): Uint8Array {
  const reader = new TlsReader(hello, HEAD_BYTES)
  const fields: ServerHelloFields = {
    version: reader.uint16(),
    random: reader.take(32).slice(),
    session: reader.vector8().rest().slice(),
    suite: reader.uint16(),
    compression: reader.uint8(),
    trailing: new Uint8Array(0),
  }
  const extensions = new Edit(readExtensions(reader.vector16()))
  change(fields, extensions)
  const writer = new TlsWriter().message(2, (all) => {
    all.uint16(fields.version).raw(fields.random)
    all.vector(1, (part) => part.raw(fields.session))
    all.uint16(fields.suite).uint8(fields.compression)
    all.raw(extensions.encode()).raw(fields.trailing)
  })
  return writer.finish()
}

/** A message of which the extensions begin at `at` in its body: EncryptedExtensions 0, CertificateRequest 1. */
export function forgeExtensions(
  of: Uint8Array,
  at: number,
  change: (extensions: Edit) => unknown,
): Uint8Array {
  const reader = new TlsReader(of, HEAD_BYTES)
  const before = reader.take(at).slice()
  const extensions = new Edit(readExtensions(reader.vector16()))
  change(extensions)
  return message(of[0]!, concatBytes(before, extensions.encode()))
}

/** A Certificate with these entries. */
export function forgeCertificate(
  entries: readonly { readonly spki: Uint8Array; readonly extensions?: Uint8Array }[],
  context: Uint8Array = bytes(),
): Uint8Array {
  const writer = new TlsWriter().message(11, (all) => {
    all.vector(1, (part) => part.raw(context))
    all.vector(3, (list) => {
      for (const { spki, extensions = bytes(0, 0) } of entries) {
        list.vector(3, (part) => part.raw(spki)).raw(extensions)
      }
    })
  })
  return writer.finish()
}
