/** How the terms of the demo are filled for `npm run costs`. */
import { type Account, BoundedMap, type CostCase, RingQueue } from 'weir-mesh/bounds'
import { demoTerms, LINE_CHARS_MAX } from './demo-memory.ts'

const terms = demoTerms()

/** A string of its own, as one that came from a pipe is. */
const own = (text: string, length: number) =>
  Buffer.from(text.padEnd(length, 'x').slice(0, length)).toString('latin1')

/** Lines with a character beyond Latin-1, which makes the others as wide. */
function fillLines(account: Account): unknown {
  const lines = new RingQueue<string>(account, { bytesOf: (line) => 2 * line.length })
  for (let at = 0; at < account.term.entriesMax; at++) {
    lines.push(Buffer.from(`€${own('', LINE_CHARS_MAX - 1)}`).toString())
  }
  return lines
}

function fillChanges(account: Account, index: number): unknown {
  const { entriesMax, payloadBytesMax } = account.term
  const bytes = payloadBytesMax / entriesMax
  const changes = new BoundedMap<string, object>(account, { bytesOf: () => bytes })
  for (let at = 0; at < entriesMax; at++) {
    changes.set(own(`${index}/${at}/`, bytes), { zone: 'zone-a', at: at + 0.5, what: 'created' })
  }
  return changes
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.lines, fill: fillLines },
  { term: terms.changes, fill: fillChanges },
])
