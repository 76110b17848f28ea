/**
 * Splits a byte stream into lines of a limited length. A line that is too long is left out whole and told; what follows
 * it is read on.
 *
 * Memory: one line and one chunk, charged to `cli.line`.
 */
import { type Account, limitError } from '../bounds/index.ts'

export type Line =
  | { readonly type: 'line'; readonly number: number; readonly text: string }
  | { readonly type: 'refused'; readonly number: number; readonly why: string }

const NEWLINE = 10

/** @param account of `cli.line`, taken in full and closed when the iteration ends. */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  account: Account,
  lineBytesMax: number,
): AsyncGenerator<Line, void> {
  const reserved = account.term.payloadBytesMax
  const admission = account.take(reserved)
  if (admission !== 'ok') throw limitError(account, admission, reserved)
  try {
    const line = new LineBuffer(lineBytesMax)
    for await (const chunk of chunks) {
      let start = 0
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        line.add(chunk.subarray(start, end))
        yield line.take()
        start = end + 1
      }
      line.add(chunk.subarray(start))
    }
    if (!line.empty) yield line.take()
  } finally {
    account.give(reserved)
    account[Symbol.dispose]()
  }
}

class LineBuffer {
  readonly #bytesMax: number
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #bytes = Buffer.alloc(0)
  #length = 0
  #tooLong = false
  #number = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get empty(): boolean {
    return this.#length === 0 && !this.#tooLong
  }

  add(part: Uint8Array): void {
    const length = this.#length + part.length
    // One more: a carriage return at the end is no part of the line.
    if (this.#tooLong || length > this.#bytesMax + 1) {
      this.#tooLong = true
      this.#length = 0
      return
    }
    if (length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.min(Math.max(2 * length, 256), this.#bytesMax + 1))
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    this.#bytes.set(part, this.#length)
    this.#length = length
  }

  take(): Line {
    const number = ++this.#number
    let end = this.#length
    if (end > 0 && this.#bytes[end - 1] === 13) end--
    const bytes = this.#bytes.subarray(0, end)
    const tooLong = this.#tooLong || end > this.#bytesMax
    this.#length = 0
    this.#tooLong = false
    if (tooLong) {
      return { type: 'refused', number, why: `it has more than ${this.#bytesMax} bytes` }
    }
    try {
      return { type: 'line', number, text: this.#decoder.decode(bytes) }
    } catch {
      return { type: 'refused', number, why: 'it is not UTF-8' }
    }
  }
}
