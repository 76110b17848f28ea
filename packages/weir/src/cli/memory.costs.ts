/** How the term of the commands is filled for `npm run costs`. */
import type { Account, CostCase } from '../bounds/index.ts'
import { LINE_BYTES_MAX, LINE_TERMS } from './memory.ts'

const CHUNK_BYTES = 64 * 1024

/** Bytes, text and operation of a longest line; one character beyond Latin-1 makes all of its text two bytes wide. */
function fillLine(account: Account): unknown {
  account.require(account.term.payloadBytesMax)
  const line = Buffer.alloc(LINE_BYTES_MAX, 'a')
  line.write('€')
  const text = new TextDecoder().decode(line)
  const operation = Buffer.alloc(LINE_BYTES_MAX)
  return [line, text, operation, Buffer.alloc(CHUNK_BYTES)]
}

export const costs: readonly CostCase[] = Object.freeze([{ term: LINE_TERMS.line, fill: fillLine }])
