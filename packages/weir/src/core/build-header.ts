/** Makes and signs headers of our own operations. */
import { CborWriter } from '../codec/index.ts'
import { assert, WeirError } from '../runtime/index.ts'
import { blake3 } from './blake3.ts'
import { HEADER_VERSION, type Header, ownHeader, PAYLOAD_BYTES_MAX, SEQ_MAX } from './header.ts'
import type { Hash } from './ids.ts'
import type { KeyPair } from './keys.ts'

export interface HeaderFields {
  readonly seq: number
  /** Id of the operation before; needed exactly when `seq` is above 0. */
  readonly backlink?: Hash | undefined
  /** The payload; absent for none. An empty one cannot be written: upstream could not read the header. */
  readonly body?: Uint8Array | undefined
  /** One value in deterministic CBOR, for example from `encodeNodeExtensions`. */
  readonly extensions?: Uint8Array | undefined
}

/**
 * @throws {WeirError} `LOG_FULL` above the last sequence number, `BODY_EMPTY`, `BODY_TOO_LARGE`; a `DECODE_` code when
 *   the extensions are not one CBOR value within the limits of a header.
 */
export function buildHeader(key: KeyPair, fields: HeaderFields): Header {
  const { seq, backlink, body, extensions } = fields
  checkFields(fields)
  const payloadHash = body && blake3(body)
  const elements = 4 + (payloadHash ? 1 : 0) + (backlink ? 1 : 0) + (extensions ? 1 : 0)
  const write = (signature: Uint8Array | undefined): Uint8Array => {
    const writer = new CborWriter({ sizeHint: 192 + (extensions?.length ?? 0) })
    writer
      .array(elements + (signature ? 1 : 0))
      .int(HEADER_VERSION)
      .byteString(key.id)
    if (signature) writer.byteString(signature)
    writer.int(body?.length ?? 0)
    if (payloadHash) writer.byteString(payloadHash)
    writer.int(seq)
    if (backlink) writer.byteString(backlink)
    if (extensions) writer.raw(extensions)
    return writer.finish()
  }
  // Reading it back proves that every peer can.
  return ownHeader(write(key.sign(write(undefined))))
}

function checkFields({ seq, backlink, body }: HeaderFields): void {
  assert(Number.isInteger(seq) && seq >= 0, 'a sequence number is a whole number')
  assert((seq === 0) === (backlink === undefined), 'a backlink belongs to every seq above 0')
  assert(backlink === undefined || backlink.length === 32, 'a backlink has 32 bytes')
  if (seq > SEQ_MAX) {
    throw new WeirError('LOG_FULL', `The log has its last operation, ${SEQ_MAX}; start a new log.`)
  }
  if (body?.length === 0) {
    throw new WeirError('BODY_EMPTY', 'An empty body cannot be sent; leave it out instead.')
  }
  if (body !== undefined && body.length > PAYLOAD_BYTES_MAX) {
    throw new WeirError(
      'BODY_TOO_LARGE',
      `A body has at most ${PAYLOAD_BYTES_MAX} bytes; split it.`,
    )
  }
}
