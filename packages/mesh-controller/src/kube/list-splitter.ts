/**
 * Cuts the answer to a list into its items while it arrives, so that a page is never held as a whole.
 *
 * It follows strings and depth only; each item and the rest of the answer are parsed by whoever takes them. An item
 * above the cap is passed over, as in LineSplitter.
 *
 * Memory: the incomplete item, charged to `account`, and at most 16 KiB of what is not items.
 */
import type { Account } from 'weir-mesh/bounds'
import { KubeError } from './errors.ts'
import { HeldBytes } from './held-bytes.ts'
import { isJsonObject, type JsonObject, parseJson } from './json.ts'
import { busy, type Piece } from './line-splitter.ts'
import { MetadataScanner } from './metadata-scanner.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const REST_BYTES_MAX = 16 * 1024
const ITEMS_KEY = /[^\\]"items"\s*:\s*\[$/

export class ListSplitter implements Disposable {
  readonly #held: HeldBytes
  #rest = ''
  #state: 'head' | 'items' | 'tail' = 'head'
  #depth = 0
  #inString = false
  #escaped = false
  #inItem = false
  #passing: MetadataScanner | undefined

  constructor(account: Account) {
    this.#held = new HeldBytes(account)
  }

  /** The items that end in this chunk. */
  *push(chunk: Buffer): IterableIterator<Piece> {
    let from = 0
    let at = 0
    while (at < chunk.length) {
      at = this.#scan(chunk, at)
      if (at < 0) break
      const byte = chunk[at] as number
      at++
      if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
        if (this.#state === 'items') {
          from = at - 1
          this.#inItem = true
        } else if (byte === OPEN_LIST && this.#depth === 2 && this.#state === 'head') {
          this.#addRest(chunk.subarray(from, at))
          from = at
          if (ITEMS_KEY.test(this.#rest)) this.#state = 'items'
        }
      } else if (this.#state === 'items' && this.#depth === 2) {
        const piece = this.#complete(chunk.subarray(from, at))
        from = at
        if (piece) yield piece
        this.#held.clear()
      } else if (this.#state === 'items' && this.#depth === 1) {
        this.#state = 'tail'
        from = at - 1 // the bracket that closes the empty list of the rest
      }
    }
    const left = chunk.subarray(from)
    if (this.#state !== 'items') this.#addRest(left)
    else if (this.#inItem) this.#keep(left)
  }

  /**
   * Goes on to the next bracket that stands where an item or the list may begin or end: what is deeper inside an
   * item is only counted. A plain loop over locals, because it runs over every byte.
   *
   * @returns the place of the bracket, -1 at the end of the chunk.
   */
  #scan(chunk: Buffer, start: number): number {
    const deep = this.#state === 'items' ? 2 : 3
    let inString = this.#inString
    let escaped = this.#escaped
    let depth = this.#depth
    let found = -1
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at] as number
      if (inString) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) inString = false
      } else if (byte === QUOTE) inString = true
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
        depth++
        if (depth <= deep + 1) {
          found = at
          break
        }
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        depth--
        if (depth <= deep) {
          found = at
          break
        }
      }
    }
    this.#inString = inString
    this.#escaped = escaped
    this.#depth = depth
    return found
  }

  /**
   * The answer without its items, after the last chunk.
   *
   * @throws {KubeError} `KUBE_RESPONSE_INVALID` when the answer broke off or was no list.
   */
  end(): JsonObject {
    const rest = this.#depth === 0 ? this.#parseRest() : undefined
    // A Go server writes null for a list without items.
    if (rest && (this.#state === 'tail' || rest['items'] === null)) return rest
    throw new KubeError('KUBE_RESPONSE_INVALID', 'the answer to a list is not a complete list', {
      retryable: true,
    })
  }

  [Symbol.dispose](): void {
    this.#held[Symbol.dispose]()
  }

  #complete(last: Buffer): Piece | undefined {
    this.#inItem = false
    if (!this.#passing && this.#held.length === 0) return last
    this.#keep(last)
    if (!this.#passing) return this.#held.bytes
    const large = this.#passing.result()
    this.#passing = undefined
    return large
  }

  #keep(bytes: Buffer): void {
    if (this.#passing) {
      this.#passing.push(bytes)
      return
    }
    const admission = this.#held.append(bytes)
    if (admission === 'ok') return
    if (admission !== 'cap') throw busy()
    this.#passing = new MetadataScanner({ inWatchEvent: false })
    this.#passing.push(this.#held.bytes)
    this.#passing.push(bytes)
    this.#held.clear()
  }

  #parseRest(): JsonObject | undefined {
    try {
      const rest = parseJson(Buffer.from(this.#rest, 'latin1').toString('utf8'))
      return isJsonObject(rest) ? rest : undefined
    } catch {
      return undefined // said by the caller: it is not a complete list
    }
  }

  #addRest(bytes: Buffer): void {
    if (this.#rest.length + bytes.length > REST_BYTES_MAX) {
      throw new KubeError('KUBE_RESPONSE_INVALID', 'the answer to a list holds more than a list')
    }
    this.#rest += bytes.toString('latin1')
  }
}
