/** ServerHello and HelloRetryRequest (RFC 8446 sections 4.1.3 and 4.1.4), which have one form. */
import { equalBytes } from '../../codec/index.ts'
import { Alert, refuse } from './alerts.ts'
import { OFFERED, RANDOM_BYTES } from './client-hello.ts'
import {
  checkExtensions,
  Extension,
  type Extensions,
  parseExtension,
  readExtensions,
  requireExtension,
  TLS_1_2,
  TLS_1_3,
} from './extensions.ts'
import { SHARE_BYTES, X25519 } from './key-share.ts'
import { MessageType } from './messages.ts'
import type { TlsReader } from './reader.ts'
import { TlsWriter } from './writer.ts'

/** The random of a HelloRetryRequest: SHA-256 of its name. */
export const RETRY_RANDOM: Uint8Array = Uint8Array.from(
  Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex'),
)
/** How the random of a TLS 1.3 server ends that speaks 1.2 or older: "DOWNGRD" and 1 or 0. */
const downgrade = Uint8Array.from(Buffer.from('444f574e475244', 'hex'))

/** @param share Undefined in a HelloRetryRequest that asks for an X25519 share. */
export function encodeServerHello(
  random: Uint8Array,
  suite: number,
  share: Uint8Array | undefined,
): Uint8Array {
  const writer = new TlsWriter()
  writer.message(MessageType.serverHello, (message) => {
    message.uint16(TLS_1_2).raw(random).uint8(0).uint16(suite).uint8(0)
    message.vector(2, (extensions) => {
      extensions.extension(Extension.supportedVersions, (body) => body.uint16(TLS_1_3))
      extensions.extension(Extension.keyShare, (body) => {
        body.uint16(X25519)
        if (share) body.vector(2, (key) => key.raw(share))
      })
    })
  })
  return writer.finish()
}

/** Views of the message. */
export interface ServerHello {
  readonly retry: boolean
  readonly suite: number
  readonly extensions: Extensions
}

/** What both forms have in common is checked. */
export function decodeServerHello(body: TlsReader): ServerHello {
  const version = body.uint16()
  const random = body.take(RANDOM_BYTES)
  const session = body.vector8()
  const suite = body.uint16()
  const compression = body.uint8()
  const extensions = readExtensions(body.left > 0 ? body.vector16() : body)
  body.done()
  checkVersion(version, random, extensions)
  if (session.left > 0) refuse(Alert.illegalParameter, 'the server echoes a session id')
  if (compression !== 0) refuse(Alert.illegalParameter, 'the server compresses')
  return { retry: equalBytes(random, RETRY_RANDOM), suite, extensions }
}

function checkVersion(version: number, random: Uint8Array, extensions: Extensions): void {
  const selected = parseExtension(extensions, Extension.supportedVersions, (body) => body.uint16())
  if (selected === undefined) {
    const end = random.subarray(RANDOM_BYTES - 8)
    if (equalBytes(end.subarray(0, 7), downgrade) && end[7]! <= 1) {
      refuse(Alert.illegalParameter, 'somebody forced an older version on the server')
    }
    refuse(Alert.protocolVersion, 'the server does not speak TLS 1.3')
  }
  if (version !== TLS_1_2) refuse(Alert.protocolVersion, 'the server speaks another version')
  if (selected !== TLS_1_3) refuse(Alert.illegalParameter, 'the server selects another version')
}

/** The share of the server. */
export function serverShare({ extensions }: ServerHello): Uint8Array {
  checkExtensions(extensions, [Extension.supportedVersions, Extension.keyShare], OFFERED)
  return requireExtension(extensions, Extension.keyShare, (body) => {
    const group = body.uint16()
    const share = body.vector16(1).rest()
    if (group !== X25519 || share.length !== SHARE_BYTES) {
      refuse(Alert.illegalParameter, 'the share of the server is not of X25519')
    }
    return share
  })
}

/** What a HelloRetryRequest asks for: a view of its cookie, and whether a share is wanted. */
export interface RetryRequest {
  readonly cookie: Uint8Array | undefined
  readonly share: boolean
}

/** @param shared Whether our ClientHello had a share: then asking for one is against the rules. */
export function retryRequest({ extensions }: ServerHello, shared: boolean): RetryRequest {
  checkExtensions(
    extensions,
    [Extension.supportedVersions, Extension.keyShare, Extension.cookie],
    OFFERED,
  )
  const cookie = parseExtension(extensions, Extension.cookie, (body) => body.vector16(1).rest())
  const group = parseExtension(extensions, Extension.keyShare, (body) => body.uint16())
  if (group !== undefined && (group !== X25519 || shared)) {
    refuse(Alert.illegalParameter, 'the server asks for a share that we sent or did not offer')
  }
  if (!cookie && group === undefined) {
    refuse(Alert.illegalParameter, 'a HelloRetryRequest that changes nothing')
  }
  return { cookie, share: group !== undefined }
}
