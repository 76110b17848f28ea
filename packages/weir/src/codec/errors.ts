/**
 * The coded errors of every decoder and encoder in this folder.
 *
 * Input from peers ends in exactly one of the `DECODE_` codes; nothing else may escape a decoder. The messages name
 * the place in the input, because the input itself is never printed.
 */
import { WeirError } from '../runtime/index.ts'

/** The input ends before the value does. */
export function truncated(offset: number, what: string): WeirError {
  return new WeirError(
    'DECODE_TRUNCATED',
    `The input ends at byte ${offset}, inside ${what}; the sender cut it short.`,
  )
}

/** Something is left after the value. */
export function trailing(offset: number, left: number): WeirError {
  return new WeirError(
    'DECODE_TRAILING',
    `${left} bytes are left after the value that ends at byte ${offset}; the sender must send one value.`,
  )
}

/** Bytes that do not mean what is read here. */
export function malformed(offset: number, what: string): WeirError {
  return new WeirError('DECODE_MALFORMED', `At byte ${offset}: ${what}.`)
}

/** A value that is readable and not written in its only permitted form. */
export function notCanonical(offset: number, what: string): WeirError {
  return new WeirError(
    'DECODE_NOT_CANONICAL',
    `At byte ${offset}: ${what}; only the deterministic form is accepted.`,
  )
}

/** A length, count or depth above the limit of the reader. Raised before memory is held for it. */
export function overLimit(scope: string, limit: number, used: number, wanted: number): WeirError {
  return new WeirError(
    'DECODE_LIMIT',
    `${scope}: ${wanted} wanted with ${used} of ${limit} used; the sender must send less.`,
    { limit: { scope, limit, used, wanted } },
  )
}

/** A value of our own program that has no encoding. */
export function unencodable(what: string): WeirError {
  return new WeirError('ENCODE_UNSUPPORTED', `${what}; convert it before it is encoded.`)
}

/** A value of our own program that is larger or deeper than the writer may write. */
export function encodeLimit(scope: string, limit: number, used: number, wanted: number): WeirError {
  return new WeirError(
    'ENCODE_LIMIT',
    `${scope}: ${wanted} wanted with ${used} of ${limit} used; split the value or raise the limit.`,
    { limit: { scope, limit, used, wanted } },
  )
}
