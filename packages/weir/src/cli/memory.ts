/** What the commands hold beside the node: the line that is being read. */
import { type Terms, term } from '../bounds/index.ts'

/** What a read of standard input brings at most. */
const INPUT_CHUNK_BYTES = 64 * 1024

/** Longest line that any plan has room for. */
export const LINE_BYTES_MAX = 1024 * 1024

export const LINE_TERMS: Terms<'line'> = Object.freeze({
  line: term({
    name: 'cli.line',
    why: 'the line that is being read, as bytes, as text and as an operation',
    arena: 'buffers',
    // A text has two bytes for each character when one of them needs it.
    payloadBytesMax: 4 * LINE_BYTES_MAX + INPUT_CHUNK_BYTES + 1024,
    shedAt: 'never',
  }),
})
