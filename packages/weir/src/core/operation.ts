/**
 * An operation is a header and the body that it speaks of. The checks here are upstream's, in its order, except that a
 * prune flag does not reach behind the head.
 */
import { equalBytes } from '../codec/index.ts'
import { WeirError } from '../runtime/index.ts'
import { blake3 } from './blake3.ts'
import { decodeHeader, type Header } from './header.ts'

export interface Operation {
  readonly header: Header
  /** Absent when there is none, or when it was deleted: the header stays valid without it. */
  readonly body: Uint8Array | undefined
}

/** Why an operation does not belong where it was offered. */
export type OperationFault =
  | 'SIGNATURE_MISMATCH'
  | 'PAYLOAD_MISMATCH'
  | 'AUTHOR_MISMATCH'
  | 'SEQ_NOT_NEXT'
  | 'SEQ_BEHIND_HEAD'
  | 'BACKLINK_MISSING'
  | 'BACKLINK_MISMATCH'

/** What verifies: `Verifier`, or a stand-in of a test. */
export interface SignatureCheck {
  verify(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
}

/** Whether the author signed this header. */
export function verifyHeader(header: Header, verifier: SignatureCheck): boolean {
  return verifier.verify(header.author, header.signedBytes, header.signature)
}

/** Decodes and verifies. @throws {WeirError} as `decodeHeader`, or `SIGNATURE_MISMATCH`. */
export function decodeVerifiedHeader(bytes: Uint8Array, verifier: SignatureCheck): Header {
  const header = decodeHeader(bytes)
  if (!verifyHeader(header, verifier)) {
    throw new WeirError('SIGNATURE_MISMATCH', 'The header is not signed by its author; drop it.')
  }
  return header
}

/** Whether the body, when there is one, is what the header says. */
export function checkBody(header: Header, body: Uint8Array | undefined): OperationFault | 'ok' {
  if (body === undefined) return 'ok'
  const { payloadHash } = header
  // An empty body has a hash and a header without payload has none, so the two never fit.
  if (payloadHash === undefined || body.length !== header.payloadSize) return 'PAYLOAD_MISMATCH'
  return equalBytes(blake3(body), payloadHash) ? 'ok' : 'PAYLOAD_MISMATCH'
}

/** Signature and body. Version and the presence of hash and backlink were checked when the header was decoded. */
export function checkOperation(
  operation: Operation,
  verifier: SignatureCheck,
): OperationFault | 'ok' {
  if (!verifyHeader(operation.header, verifier)) return 'SIGNATURE_MISMATCH'
  return checkBody(operation.header, operation.body)
}

/** What the checks of a log need of its head: a `Header` is one, a row of a store too. */
export interface LogHead {
  readonly author: Uint8Array
  readonly seq: number
  readonly id: Uint8Array
}

/** Whether `header` is the next one after `head`. */
export function checkBacklink(head: LogHead, header: Header): OperationFault | 'ok' {
  if (!equalBytes(head.author, header.author)) return 'AUTHOR_MISMATCH'
  if (header.seq !== head.seq + 1) return 'SEQ_NOT_NEXT'
  const { backlink } = header
  if (backlink === undefined) return 'BACKLINK_MISSING'
  return equalBytes(backlink, head.id) ? 'ok' : 'BACKLINK_MISMATCH'
}

/**
 * Whether `header` may enter a log whose operation with the highest sequence number is `head`.
 *
 * With the prune flag an operation needs nothing before it, but must be above the head: upstream also takes older
 * ones, each of which would stay behind in the store for ever.
 */
export function checkPrunableBacklink(
  head: LogHead | undefined,
  header: Header,
  prune: boolean,
): OperationFault | 'ok' {
  if (head === undefined) return header.seq === 0 || prune ? 'ok' : 'BACKLINK_MISSING'
  if (!prune || header.seq === 0) return checkBacklink(head, header)
  if (!equalBytes(head.author, header.author)) return 'AUTHOR_MISMATCH'
  return header.seq > head.seq ? 'ok' : 'SEQ_BEHIND_HEAD'
}
