/**
 * Cuts a watch stream into its lines, one JSON text each.
 *
 * A line above the cap is never held: it is passed over byte by byte, and what comes out in its place says whose it was.
 *
 * Memory: the incomplete line, charged to `account`; its cap is the cap of a line.
 */
import type { Account } from 'weir-mesh/bounds'
import { KubeError } from './errors.ts'
import { HeldBytes } from './held-bytes.ts'
import { type LargeObject, MetadataScanner } from './metadata-scanner.ts'

/** A complete text, valid until the next piece is taken, or what is known of one that was too large. */
export type Piece = Buffer | LargeObject

const NEWLINE = 0x0a

export class LineSplitter implements Disposable {
  readonly #held: HeldBytes
  #passing: MetadataScanner | undefined

  constructor(account: Account) {
    this.#held = new HeldBytes(account)
  }

  /** The lines that end in this chunk. */
  *push(chunk: Buffer): IterableIterator<Piece> {
    let from = 0
    while (from < chunk.length) {
      const end = chunk.indexOf(NEWLINE, from)
      if (end < 0) {
        this.#keep(chunk.subarray(from))
        return
      }
      const piece = this.#complete(chunk.subarray(from, end))
      from = end + 1
      if (piece) yield piece
      this.#held.clear()
    }
  }

  [Symbol.dispose](): void {
    this.#held[Symbol.dispose]()
  }

  #complete(rest: Buffer): Piece | undefined {
    if (!this.#passing && this.#held.length === 0) return rest.length === 0 ? undefined : rest
    this.#keep(rest)
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
    this.#passing = new MetadataScanner({ inWatchEvent: true })
    this.#passing.push(this.#held.bytes)
    this.#passing.push(bytes)
    this.#held.clear()
  }
}

/** The shared bytes are used up for the moment: the stream ends and is opened again later. */
export function busy(): KubeError {
  return new KubeError(
    'KUBE_BUSY',
    'no memory for another answer of the cluster at the moment; it is asked again later',
    { retryable: true },
  )
}
