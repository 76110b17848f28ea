/**
 * The body of a list or watch on its way to a reader that may be slow: while the reader has a chunk to take, the
 * connection is not read.
 *
 * Memory: the chunk that the reader has, and what came before the reading stopped, at most what the system hands over
 * at once (64 KiB); the term of the stream plans both.
 */

const CHUNK_BYTES_FIRST = 4096
const NOTHING = Buffer.alloc(0)

/** The connection that a body comes from. */
export interface BodySource {
  /** Reads on. */
  resume(): void
  destroy(): void
}

export class StreamedBody {
  readonly status: number
  #source: BodySource | undefined
  /** What the reader has, one buffer for all chunks. */
  #chunk = NOTHING
  #pending: Buffer | undefined
  #ended = false
  #error: Error | undefined
  #resolve: ((chunk: Buffer | undefined) => void) | undefined
  #reject: ((error: Error) => void) | undefined

  constructor(status: number, source: BodySource) {
    this.status = status
    this.#source = source
  }

  /** Whether the reader has enough for now. */
  get full(): boolean {
    return this.#pending !== undefined
  }

  /**
   * The next chunk, valid until this is called again; undefined at the end. What came before the connection broke
   * comes first.
   *
   * @throws what broke the body.
   */
  next(): Promise<Buffer | undefined> {
    const chunk = this.#pending
    if (chunk) {
      this.#pending = undefined
      this.#source?.resume()
      return Promise.resolve(chunk)
    }
    if (this.#error) return Promise.reject(this.#error)
    if (this.#ended) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** Ends it early, with its connection: the reader wants no more. A reader that waits is told why. */
  destroy(error: Error): void {
    this.#pending = undefined
    const source = this.#source
    this.broken(error)
    source?.destroy()
  }

  /** A part has come; it is copied. */
  push(bytes: Buffer): void {
    if (!this.#resolve) {
      this.#pending = joined(this.#pending, bytes)
      return
    }
    if (bytes.length > this.#chunk.length) {
      let size = CHUNK_BYTES_FIRST
      while (size < bytes.length) size *= 2
      this.#chunk = Buffer.allocUnsafeSlow(size)
    }
    bytes.copy(this.#chunk)
    this.#settled()?.(this.#chunk.subarray(0, bytes.length))
  }

  /** All has come. */
  end(): void {
    this.#source = undefined
    this.#ended = true
    this.#settled()?.(undefined)
  }

  /** No more will come. */
  broken(error: Error): void {
    if (this.#ended || this.#error) return
    this.#source = undefined
    this.#error = error
    const reject = this.#reject
    this.#settled()
    reject?.(error)
  }

  #settled(): ((chunk: Buffer | undefined) => void) | undefined {
    const resolve = this.#resolve
    this.#resolve = undefined
    this.#reject = undefined
    return resolve
  }
}

/** Not from the shared slabs of `Buffer`, which a few bytes would keep alive. */
function joined(before: Buffer | undefined, bytes: Buffer): Buffer {
  const length = before?.length ?? 0
  const all = Buffer.allocUnsafeSlow(length + bytes.length)
  before?.copy(all)
  bytes.copy(all, length)
  return all
}
