/**
 * Answers of HTTP/1.1 (RFC 9112) out of bytes as they come: a machine without a socket, and the same bytes lead to the
 * same place however they are cut.
 *
 * It is strict, because who disagrees with a proxy about where an answer ends takes the rest for the next answer
 * (sections 11.1 and 11.2): lines end with CRLF, nothing is folded, a length is one number and never stands beside
 * `Transfer-Encoding`, and what comes after the end belongs to nobody.
 *
 * Memory: an incomplete line, at most `HEAD_BYTES_MAX`; of a header only what `AnswerFraming` keeps.
 */
import { AnswerFraming } from './answer-framing.ts'
import { invalidAnswer } from './errors.ts'

/** Bytes of all lines of a header, with those of interim answers before it; of a trailer as many. As in node:http. */
export const HEAD_BYTES_MAX = 16 * 1024
export const FIELDS_MAX = 128
/** Bytes of the line with the size of a chunk. */
export const CHUNK_LINE_BYTES_MAX = 256
/** Answers with 1xx before the one that counts. */
export const INTERIM_MAX = 8

export interface AnswerHead {
  readonly status: number
  /** Bytes of the body; undefined when only its end tells. */
  readonly length: number | undefined
  readonly retryAfter: string | undefined
}

/** What an answer does to its reader; what a call throws ends the answer. */
export interface AnswerSink {
  head(head: AnswerHead): void
  /** A part of the body, valid during the call and not empty. */
  body(bytes: Buffer): void
}

type State =
  | 'complete'
  | 'status'
  | 'fields'
  | 'length'
  | 'close'
  | 'chunk-size'
  | 'chunk'
  | 'chunk-end'
  | 'trailer'
  | 'broken'

const LF = 0x0a
const NOTHING = Buffer.alloc(0)
const HELD_BYTES_FIRST = 256
// The space before an absent reason is required, and yet often left out (section 4).
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/
const CHUNK_SIZE = /^([0-9A-Fa-f]{1,12})(?:;[\t\x20-\x7e\x80-\xff]*)?$/

export class AnswerParser {
  #state: State = 'complete'
  #framing = new AnswerFraming()
  #status = 0
  #minor = 0
  #held = NOTHING
  #heldLength = 0
  /** Bytes that lines may still take. */
  #lineBytes = 0
  #fields = 0
  #interim = 0
  /** Bytes of the body, or of the chunk, that are still to come. */
  #left = 0
  #at = 0
  #begun = false
  #excess = false

  /** An answer is due now. */
  begin(): void {
    this.#state = 'status'
    this.#framing = new AnswerFraming()
    this.#lineBytes = HEAD_BYTES_MAX
    this.#fields = 0
    this.#interim = 0
    this.#begun = false
  }

  /** Whether the answer that was due has come as a whole, or none is due. */
  get complete(): boolean {
    return this.#state === 'complete'
  }

  /** Whether a byte of the answer has come. */
  get begun(): boolean {
    return this.#begun
  }

  /** Whether the connection may carry another request. Bytes that nobody asked for end it (section 6.3). */
  get persistent(): boolean {
    return this.#state === 'complete' && this.#framing.persistent && !this.#excess
  }

  /** For how long an idle connection may be used, by the server's `Keep-Alive`. */
  get idleMs(): number | undefined {
    return this.#framing.idleMs
  }

  /** Takes bytes. @throws {KubeError} `KUBE_HTTP_INVALID`, and what the sink throws; after that nothing is taken. */
  push(bytes: Buffer, sink: AnswerSink): void {
    this.#at = 0
    try {
      while (this.#at < bytes.length && this.#state !== 'broken') this.#step(bytes, sink)
    } catch (error) {
      this.#state = 'broken'
      this.#held = NOTHING
      throw error
    }
  }

  /** The server has ended the connection. @returns whether the answer is complete by that. */
  end(): boolean {
    if (this.#state === 'close') this.#state = 'complete'
    return this.#state === 'complete'
  }

  #step(bytes: Buffer, sink: AnswerSink): void {
    this.#begun = true
    switch (this.#state) {
      case 'length':
      case 'chunk': {
        const count = Math.min(this.#left, bytes.length - this.#at)
        this.#left -= count
        this.#body(bytes, count, sink)
        if (this.#left === 0) this.#state = this.#state === 'length' ? 'complete' : 'chunk-end'
        return
      }
      case 'close':
        return this.#body(bytes, bytes.length - this.#at, sink)
      case 'complete':
        this.#excess = true
        this.#at = bytes.length
        return
      default: {
        const line = this.#line(bytes)
        if (line !== undefined) this.#took(line, sink)
      }
    }
  }

  #took(line: string, sink: AnswerSink): void {
    switch (this.#state) {
      case 'status':
        return this.#statusLine(line)
      case 'fields':
        if (line === '') return this.#head(sink)
        this.#count()
        return this.#framing.field(line)
      case 'chunk-size':
        return this.#chunkSize(line)
      case 'chunk-end':
        if (line !== '') throw invalidAnswer('a chunk does not end where it should')
        this.#state = 'chunk-size'
        this.#lineBytes = CHUNK_LINE_BYTES_MAX
        return
      case 'trailer':
        if (line === '') this.#state = 'complete'
        else {
          // Checked and forgotten: a field that comes too late decides nothing (section 7.1.2).
          this.#count()
          new AnswerFraming().field(line)
        }
    }
  }

  #statusLine(line: string): void {
    const parts = STATUS_LINE.exec(line)
    if (!parts) throw invalidAnswer('it does not begin with a status line of HTTP/1.1')
    this.#minor = Number(parts[1])
    this.#status = Number(parts[2])
    this.#state = 'fields'
  }

  #head(sink: AnswerSink): void {
    if (this.#status < 200) {
      // RFC 9110 section 15.2: any number of them may come before the answer. 101 was not asked for.
      this.#interim++
      if (this.#status === 101 || this.#interim > INTERIM_MAX) {
        throw invalidAnswer(`an interim answer with status ${this.#status}`)
      }
      this.#framing = new AnswerFraming()
      this.#state = 'status'
      return
    }
    const framing = this.#framing
    const ending = framing.ending(this.#status, this.#minor)
    const length = ending === 'length' ? framing.length : ending === 'none' ? 0 : undefined
    this.#left = length ?? 0
    this.#lineBytes = CHUNK_LINE_BYTES_MAX
    this.#state = ending === 'none' ? 'complete' : ending === 'chunked' ? 'chunk-size' : ending
    sink.head({ status: this.#status, length, retryAfter: framing.retryAfter })
  }

  #chunkSize(line: string): void {
    const digits = CHUNK_SIZE.exec(line)?.[1]
    if (digits === undefined) throw invalidAnswer('the size of a chunk is not a number')
    this.#left = Number.parseInt(digits, 16)
    if (this.#left > 0) {
      this.#state = 'chunk'
      this.#lineBytes = 2
      return
    }
    this.#state = 'trailer'
    this.#lineBytes = HEAD_BYTES_MAX
    this.#fields = 0
  }

  #count(): void {
    this.#fields++
    if (this.#fields > FIELDS_MAX) throw invalidAnswer(`more than ${FIELDS_MAX} fields`)
  }

  #body(bytes: Buffer, count: number, sink: AnswerSink): void {
    const from = this.#at
    this.#at += count
    sink.body(bytes.subarray(from, this.#at))
  }

  /** The next line without its CRLF; undefined when the bytes end first, and then what there is of it is held. */
  #line(bytes: Buffer): string | undefined {
    const from = this.#at
    const end = bytes.indexOf(LF, from)
    this.#at = end < 0 ? bytes.length : end + 1
    this.#lineBytes -= this.#at - from
    if (this.#lineBytes < 0) throw invalidAnswer('a line or the header is too long')
    let text: string
    if (end < 0) {
      this.#hold(bytes, from)
      return undefined
    }
    if (this.#heldLength === 0) text = bytes.toString('latin1', from, end)
    else {
      this.#hold(bytes, from, end)
      text = this.#held.toString('latin1', 0, this.#heldLength)
      this.#held = NOTHING
      this.#heldLength = 0
    }
    // A bare LF or CR is a line end for some and none for others (section 2.2).
    const last = text.length - 1
    if (text.indexOf('\r') !== last || last < 0)
      throw invalidAnswer('a line does not end with CRLF')
    return text.slice(0, last)
  }

  #hold(bytes: Buffer, from: number, to = bytes.length): void {
    const length = this.#heldLength + to - from
    if (length > this.#held.length) {
      let size = Math.max(this.#held.length, HELD_BYTES_FIRST)
      while (size < length) size *= 2
      const held = Buffer.allocUnsafeSlow(size)
      this.#held.copy(held, 0, 0, this.#heldLength)
      this.#held = held
    }
    bytes.copy(this.#held, this.#heldLength, from, to)
    this.#heldLength = length
  }
}
