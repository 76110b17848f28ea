/**
 * Frames of p2panda's streams: a length of four bytes, big-endian, and that many bytes.
 *
 * A frame is refused by its length before a byte is held for it. Only what has arrived of an unfinished frame is
 * held, never what its length promises, and every byte of that is asked for first.
 */
import { assert, WeirError } from '../runtime/index.ts'
import { encodeLimit, overLimit } from './errors.ts'

const HEAD_BYTES = 4
const FIRST_CAPACITY_BYTES = 1024

/** Who pays for the bytes of an unfinished frame: `Account` has these two methods. */
export interface FrameCharge {
  /** Asked before memory is held; everything but `ok` refuses the frame. */
  take(bytes: number): string
  give(bytes: number): void
}

export interface FrameReaderOptions {
  /** Longest accepted payload in bytes. Upstream takes 128 MiB; that much would be held for one peer. */
  readonly frameBytesMax: number
  /** Charged for the capacity that unfinished frames hold. */
  readonly charge?: FrameCharge
}

/**
 * Cuts a stream into frames.
 *
 *     reader.push(chunk)
 *     for (let frame = reader.next(); frame; frame = reader.next()) handle(frame)
 *
 * A frame is valid until the next call of `next` or `push`; who keeps it copies it.
 *
 * Memory: between two chunks at most `frameBytesMax` bytes, charged to `charge`; `heldBytes` says how many.
 */
export class FrameReader implements Disposable {
  readonly #frameBytesMax: number
  readonly #charge: FrameCharge | undefined
  readonly #head = new Uint8Array(HEAD_BYTES)
  #headBytes = 0
  #length = 0
  #partial: Uint8Array | undefined
  #partialBytes = 0
  #chunk: Uint8Array | undefined
  #offset = 0

  constructor(options: FrameReaderOptions) {
    this.#frameBytesMax = options.frameBytesMax
    this.#charge = options.charge
  }

  /** Bytes of memory held for an unfinished frame: what is charged now. */
  get heldBytes(): number {
    return this.#partial?.length ?? 0
  }

  /** Whether the stream may end here. */
  get atBoundary(): boolean {
    return this.#headBytes === 0 && this.#chunk === undefined
  }

  /** Gives the next bytes of the stream; the ones before must be used up (`next` gave undefined). */
  push(chunk: Uint8Array): void {
    assert(this.#chunk === undefined, 'push before next gave undefined')
    if (chunk.length === 0) return
    this.#chunk = chunk
    this.#offset = 0
  }

  /**
   * The payload of the next complete frame, or undefined when more bytes are needed.
   *
   * @throws {WeirError} `DECODE_LIMIT` for a frame above the cap, `FRAME_NO_MEMORY` when the charge is refused. The
   *   stream cannot be read on after that.
   */
  next(): Uint8Array | undefined {
    const chunk = this.#chunk
    if (this.#partial !== undefined && this.#partialBytes === this.#length) this.#drop()
    if (chunk === undefined) return undefined
    if (!this.#readHead(chunk)) return this.#used()
    if (this.#length > this.#frameBytesMax) {
      throw overLimit('bytes of a frame', this.#frameBytesMax, 0, this.#length)
    }
    const missing = this.#length - this.#partialBytes
    const there = chunk.length - this.#offset
    if (this.#partial === undefined && there >= missing) {
      const start = this.#offset
      this.#offset += missing
      this.#headBytes = 0
      return chunk.subarray(start, this.#offset)
    }
    this.#keep(chunk, Math.min(missing, there))
    if (this.#partialBytes < this.#length) return this.#used()
    this.#headBytes = 0
    return this.#partial?.subarray(0, this.#length)
  }

  /** Gives back what is held. The reader cannot be used afterwards. */
  [Symbol.dispose](): void {
    this.#chunk = undefined
    this.#drop()
    this.#headBytes = 0
  }

  /** Whether the head is complete. */
  #readHead(chunk: Uint8Array): boolean {
    if (this.#headBytes === HEAD_BYTES) return true
    while (this.#headBytes < HEAD_BYTES) {
      if (this.#offset === chunk.length) return false
      this.#head[this.#headBytes++] = chunk[this.#offset++]!
    }
    const [a, b, c, d] = this.#head as unknown as [number, number, number, number]
    this.#length = a * 0x1000000 + ((b << 16) | (c << 8) | d)
    this.#partialBytes = 0
    return true
  }

  /** Copies what has come of an unfinished frame; the memory grows by doubling, so a slow sender holds little. */
  #keep(chunk: Uint8Array, bytes: number): void {
    const wanted = this.#partialBytes + bytes
    const held = this.heldBytes
    if (wanted > held) {
      const capacity = Math.min(this.#length, Math.max(wanted, held * 2, FIRST_CAPACITY_BYTES))
      const admission = this.#charge?.take(capacity - held) ?? 'ok'
      if (admission !== 'ok') {
        throw new WeirError(
          'FRAME_NO_MEMORY',
          `No memory for a frame of ${this.#length} bytes (${admission}); close the stream and retry later.`,
          { retryable: true },
        )
      }
      const larger = new Uint8Array(capacity)
      if (this.#partial !== undefined) larger.set(this.#partial.subarray(0, this.#partialBytes))
      this.#partial = larger
    }
    this.#partial?.set(chunk.subarray(this.#offset, this.#offset + bytes), this.#partialBytes)
    this.#partialBytes = wanted
    this.#offset += bytes
  }

  #used(): undefined {
    this.#chunk = undefined
    return undefined
  }

  #drop(): void {
    const held = this.heldBytes
    this.#partial = undefined
    this.#partialBytes = 0
    if (held > 0) this.#charge?.give(held)
  }
}

/** The payload behind its length, in bytes of its own. */
export function encodeFrame(payload: Uint8Array, frameBytesMax = 0xffffffff): Uint8Array {
  if (payload.length > frameBytesMax) {
    throw encodeLimit('bytes of a frame', frameBytesMax, 0, payload.length)
  }
  const frame = new Uint8Array(HEAD_BYTES + payload.length)
  writeFrameHead(frame, payload.length)
  frame.set(payload, HEAD_BYTES)
  return frame
}

/** Writes the length of a frame to the first four bytes of `bytes`. */
export function writeFrameHead(bytes: Uint8Array, length: number): void {
  bytes[0] = length >>> 24
  bytes[1] = length >>> 16
  bytes[2] = length >>> 8
  bytes[3] = length
}

/** Writes frames for one stream, within the cap that its peer accepts. Holds nothing. */
export class FrameWriter {
  readonly #frameBytesMax: number

  constructor(options: { readonly frameBytesMax: number }) {
    this.#frameBytesMax = options.frameBytesMax
  }

  /** @throws {WeirError} `ENCODE_LIMIT` above the cap. */
  frame(payload: Uint8Array): Uint8Array {
    return encodeFrame(payload, this.#frameBytesMax)
  }
}
