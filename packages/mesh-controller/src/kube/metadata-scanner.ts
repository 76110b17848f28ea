/**
 * Finds who an object is while its text is passed over because it is too large to be held: name, namespace, uid and
 * resourceVersion of its metadata.
 *
 * Memory: at most 64 bytes of a key and 256 of a value, whatever the text is.
 */
import { type Json, parseJson } from './json.ts'

/** What is known about an object that was too large. Fields that were not found are absent. */
export interface LargeObject {
  readonly type?: string
  readonly name?: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  /** Bytes of the text. */
  readonly bytes: number
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const COLON = 0x3a
const COMMA = 0x2c
const VALUE_BYTES_MAX = 256
const FIELDS = Object.freeze(['name', 'namespace', 'uid', 'resourceVersion'] as const)

type Field = (typeof FIELDS)[number] | 'type'

export class MetadataScanner {
  // The depth at which the fields of the object stand: 1 for an object, 2 for an object inside a watch event.
  readonly #objectDepth: number
  readonly #text = Buffer.alloc(VALUE_BYTES_MAX)
  readonly #found: { [field in Field]?: string } = {}
  #textLength = 0
  #depth = 0
  #inString = false
  #escaped = false
  #isKey = false
  #key = ''
  #inObject: boolean
  #inMetadata = false
  #bytes = 0

  constructor(options: { readonly inWatchEvent: boolean }) {
    this.#objectDepth = options.inWatchEvent ? 2 : 1
    this.#inObject = !options.inWatchEvent
  }

  /** Reads on; a text may come in any pieces. */
  push(bytes: Buffer): void {
    this.#bytes += bytes.length
    for (let at = 0; at < bytes.length; at++) this.#step(bytes[at] as number)
  }

  result(): LargeObject {
    return { ...this.#found, bytes: this.#bytes }
  }

  #step(byte: number): void {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false
      else if (byte === BACKSLASH) this.#escaped = true
      else if (byte === QUOTE) return this.#endString()
      // The escape itself is kept too: the value is decoded as JSON when it is complete.
      if (this.#textLength < VALUE_BYTES_MAX) this.#text[this.#textLength] = byte
      this.#textLength++
      return
    }
    switch (byte) {
      case QUOTE:
        this.#inString = true
        this.#textLength = 0
        return
      case OPEN_OBJECT:
      case OPEN_LIST:
        this.#enter()
        this.#isKey = byte === OPEN_OBJECT
        return
      case CLOSE_OBJECT:
      case CLOSE_LIST:
        this.#leave()
        return
      case COLON:
        this.#isKey = false
        return
      case COMMA:
        // Inside a list a string may follow that is taken for a key; its depth is never one that we read.
        this.#isKey = true
        return
    }
  }

  #enter(): void {
    this.#depth++
    if (this.#depth === this.#objectDepth && this.#objectDepth === 2) {
      this.#inObject = this.#key === 'object'
    }
    if (this.#depth === this.#objectDepth + 1) {
      this.#inMetadata = this.#inObject && this.#key === 'metadata'
    }
  }

  #leave(): void {
    if (this.#depth === this.#objectDepth + 1) this.#inMetadata = false
    if (this.#depth === this.#objectDepth && this.#objectDepth === 2) this.#inObject = false
    this.#depth--
  }

  #endString(): void {
    this.#inString = false
    if (this.#textLength > VALUE_BYTES_MAX) {
      if (this.#isKey) this.#key = ''
      return
    }
    const inFields = this.#inMetadata && this.#depth === this.#objectDepth + 1
    const inEvent = this.#objectDepth === 2 && this.#depth === 1
    const inObject = this.#inObject && this.#depth === this.#objectDepth
    if (!inFields && !inEvent && !inObject) return
    const text = decode(this.#text.toString('utf8', 0, this.#textLength))
    if (this.#isKey) {
      this.#key = text
      return
    }
    if (inEvent && this.#key === 'type') this.#found.type ??= text
    if (!inFields) return
    for (const field of FIELDS) if (this.#key === field) this.#found[field] ??= text
  }
}

function decode(escaped: string): string {
  if (!escaped.includes('\\')) return escaped
  try {
    const value: Json = parseJson(`"${escaped}"`)
    return typeof value === 'string' ? value : ''
  } catch {
    return ''
  }
}
