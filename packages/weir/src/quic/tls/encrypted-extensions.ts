/** EncryptedExtensions (RFC 8446 section 4.3.1): what the server chose beside the keys. */
import { equalBytes } from '../../codec/index.ts'
import { Alert, refuse } from './alerts.ts'
import { OFFERED } from './client-hello.ts'
import {
  checkExtensions,
  Extension,
  RAW_PUBLIC_KEY,
  readExtensions,
  readProtocols,
  requireExtension,
  writeProtocols,
} from './extensions.ts'
import { MessageType } from './messages.ts'
import type { TlsReader } from './reader.ts'
import { TlsWriter } from './writer.ts'

const allowed: readonly number[] = Object.freeze([
  Extension.supportedGroups,
  Extension.applicationProtocol,
  Extension.clientCertificateType,
  Extension.serverCertificateType,
  Extension.transportParameters,
])

export function encodeEncryptedExtensions(
  protocol: Uint8Array,
  parameters: Uint8Array,
): Uint8Array {
  const writer = new TlsWriter({ sizeHint: 256 })
  writer.message(MessageType.encryptedExtensions, (message) =>
    message.vector(2, (extensions) => {
      writeProtocols(extensions, [protocol])
      for (const type of [Extension.clientCertificateType, Extension.serverCertificateType]) {
        extensions.extension(type, (body) => body.uint8(RAW_PUBLIC_KEY))
      }
      extensions.extension(Extension.transportParameters, (body) => body.raw(parameters))
    }),
  )
  return writer.finish()
}

/** @returns a view of the transport parameters of the server. */
export function readEncryptedExtensions(body: TlsReader, offered: Uint8Array): Uint8Array {
  const extensions = readExtensions(body.vector16())
  body.done()
  checkExtensions(extensions, allowed, OFFERED)
  const protocols = requireExtension(
    extensions,
    Extension.applicationProtocol,
    readProtocols,
    Alert.noApplicationProtocol,
  )
  if (protocols.length !== 1 || !equalBytes(protocols[0]!, offered)) {
    refuse(Alert.illegalParameter, 'the server chooses a protocol that was not offered')
  }
  for (const type of [Extension.clientCertificateType, Extension.serverCertificateType]) {
    const chosen = requireExtension(
      extensions,
      type,
      (value) => value.uint8(),
      Alert.handshakeFailure,
    )
    if (chosen !== RAW_PUBLIC_KEY) {
      refuse(Alert.illegalParameter, 'the server chooses certificates that were not offered')
    }
  }
  return requireExtension(extensions, Extension.transportParameters, (all) => all.rest())
}
