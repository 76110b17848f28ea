/**
 * What the header of an answer says about where its body ends and whether the connection stays, and nothing else of it:
 * RFC 9112 sections 6 and 9.3. Where two fields disagree the answer is refused, because two readers would see two ends.
 *
 * Memory: four values; no field is kept as it came, but `Retry-After`.
 */
import { invalidAnswer } from './errors.ts'

// A name has no space around it, neither before it (a fold, section 5.2) nor before the colon (section 5.1).
const FIELD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*$/
const LENGTH = /^\d{1,15}$/
const KEEP_ALIVE = /(?:^|[\s,])timeout=(\d{1,6})(?:$|[\s,])/i
const RETRY_AFTER_CHARS_MAX = 64

/** How the body of an answer ends. */
export type Ending = 'none' | 'length' | 'chunked' | 'close'

export class AnswerFraming {
  #length: number | undefined
  #chunked = false
  #close = false
  #retryAfter: string | undefined
  #idleMs: number | undefined

  /** The length that is said, for the ending `length`. */
  get length(): number | undefined {
    return this.#length
  }

  get retryAfter(): string | undefined {
    return this.#retryAfter
  }

  /** Whether the connection may carry another request after this answer. */
  get persistent(): boolean {
    return !this.#close
  }

  /** For how long an idle connection may be used, by the server's `Keep-Alive`. */
  get idleMs(): number | undefined {
    return this.#idleMs
  }

  /**
   * Takes a line of the header, without its CRLF.
   *
   * @throws {KubeError} `KUBE_HTTP_INVALID` for what is not a field, and for fields that contradict each other.
   */
  field(line: string): void {
    if (!FIELD.test(line)) throw invalidAnswer('a line of the header is not a field')
    const colon = line.indexOf(':')
    // By the length of the name first: most fields are none of these.
    if (colon === 14 && isNamed(line, 'content-length')) this.#contentLength(textAfter(line, colon))
    else if (colon === 17 && isNamed(line, 'transfer-encoding')) {
      this.#transferEncoding(textAfter(line, colon))
    } else if (colon === 10 && isNamed(line, 'connection')) {
      const options = textAfter(line, colon).toLowerCase().split(',')
      if (options.some((option) => trim(option) === 'close')) this.#close = true
    } else if (colon === 10 && isNamed(line, 'keep-alive')) {
      const seconds = KEEP_ALIVE.exec(textAfter(line, colon))?.[1]
      // A second early, so that a request does not meet the end of the connection; never less than a half.
      if (seconds) this.#idleMs = Math.max(Number(seconds) * 1000 - 1000, Number(seconds) * 500)
    } else if (colon === 11 && isNamed(line, 'retry-after')) {
      this.#retryAfter = textAfter(line, colon).slice(0, RETRY_AFTER_CHARS_MAX)
    }
  }

  /**
   * How the body ends, after the last field: section 6.3.
   *
   * @throws {KubeError} `KUBE_HTTP_INVALID`.
   */
  ending(status: number, minor: number): Ending {
    if (minor === 0) {
      // Section 6.1: with a version that has no such field the framing is wrong, whatever it says.
      if (this.#chunked) throw invalidAnswer('Transfer-Encoding in an answer of HTTP/1.0')
      this.#close = true
    }
    if (status === 204 || status === 304) return 'none'
    if (this.#chunked) {
      if (this.#length !== undefined) {
        throw invalidAnswer('both Content-Length and Transfer-Encoding')
      }
      return 'chunked'
    }
    if (this.#length !== undefined) return this.#length === 0 ? 'none' : 'length'
    this.#close = true
    return 'close'
  }

  #contentLength(value: string): void {
    for (const part of value.split(',')) {
      const digits = trim(part)
      if (!LENGTH.test(digits)) throw invalidAnswer('Content-Length is not a number')
      const length = Number(digits)
      if (this.#length !== undefined && this.#length !== length) {
        throw invalidAnswer('Content-Length is said twice, and not the same')
      }
      this.#length = length
    }
  }

  #transferEncoding(value: string): void {
    // Nothing else was offered (section 6.1), and a coding that is not known has no known end.
    if (this.#chunked || value.toLowerCase() !== 'chunked') {
      throw invalidAnswer('Transfer-Encoding is not chunked, once')
    }
    this.#chunked = true
  }
}

function isNamed(line: string, name: string): boolean {
  return line.slice(0, name.length).toLowerCase() === name
}

function textAfter(line: string, colon: number): string {
  return trim(line.slice(colon + 1))
}

/** Without spaces and tabs around it: `trim` would take more away than the grammar allows. */
function trim(text: string): string {
  return text.replace(/^[\t ]+|[\t ]+$/g, '')
}
