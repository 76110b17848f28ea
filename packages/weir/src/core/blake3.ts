/**
 * BLAKE3-256, unkeyed: the hash of operations, payloads, topics and protocol names.
 *
 * Our own because bao needs the chaining values of chunks and parents, which no package gives. The tree, the flags and
 * the counter are those of sections 2.1 to 2.5 of the BLAKE3 paper.
 *
 * Memory: scratch of two blocks and one stack of 54 chaining values, for the whole process.
 */
import { assert } from '../runtime/index.ts'
import { compress } from './blake3-compress.ts'
import type { Hash } from './ids.ts'

export const CHUNK_BYTES = 1024
const BLOCK_BYTES = 64
/** A tree over 2^64 bytes has 54 levels. */
const STACK_MAX = 54

const CHUNK_START = 1
const CHUNK_END = 2
const PARENT = 4
const ROOT = 8

const iv = Int32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
)

// All hashing is synchronous and calls nothing of others, so one set of scratch serves every caller.
const cv = new Int32Array(8)
const tail = new Uint8Array(BLOCK_BYTES)
const tailView = new DataView(tail.buffer)
const sharedStack = new Int32Array(8 * STACK_MAX)
const pair = new Int32Array(16)
const pairBytes = new Uint8Array(pair.buffer)
const pairView = new DataView(pair.buffer)
const output = new DataView(new ArrayBuffer(32))
const outputBytes = new Uint8Array(output.buffer)

/** The hash of `bytes`. */
export function blake3(bytes: Uint8Array): Hash {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length
  if (length <= CHUNK_BYTES) {
    hashChunk(bytes, view, 0, length, 0, ROOT)
    return takeHash()
  }
  const chunks = Math.ceil(length / CHUNK_BYTES)
  let depth = 0
  for (let chunk = 0; chunk < chunks - 1; chunk++) {
    hashChunk(bytes, view, chunk * CHUNK_BYTES, CHUNK_BYTES, chunk, 0)
    depth = pushCv(sharedStack, depth, chunk + 1)
  }
  const start = (chunks - 1) * CHUNK_BYTES
  hashChunk(bytes, view, start, length - start, chunks - 1, 0)
  foldStack(sharedStack, depth)
  return takeHash()
}

/**
 * The chaining value of one chunk: a leaf of the tree.
 *
 * @param chunk At most 1024 bytes; shorter only for the last chunk.
 * @param index Position of the chunk, counted in chunks.
 * @param root Whether this chunk is the whole input: then the result is its hash.
 */
export function chunkCv(chunk: Uint8Array, index: number, root = false): Uint8Array {
  assert(chunk.length <= CHUNK_BYTES, 'a chunk has at most 1024 bytes')
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  hashChunk(chunk, view, 0, chunk.length, index, root ? ROOT : 0)
  return takeHash()
}

/** The chaining value over two others; with `root` the hash of everything under them. */
export function parentCv(left: Uint8Array, right: Uint8Array, root = false): Uint8Array {
  assert(left.length === 32 && right.length === 32, 'a chaining value has 32 bytes')
  pairBytes.set(left, 0)
  pairBytes.set(right, 32)
  cv.set(iv)
  compress(cv, pairView, 0, 0, 0, BLOCK_BYTES, root ? PARENT | ROOT : PARENT)
  return takeHash()
}

/**
 * Hashes input that comes in pieces.
 *
 * Memory: 1.9 kB an instance, whatever the length of the input.
 */
export class Blake3 {
  readonly #block = new Uint8Array(BLOCK_BYTES)
  readonly #blockView = new DataView(this.#block.buffer)
  readonly #cv = Int32Array.from(iv)
  readonly #stack = new Int32Array(8 * STACK_MAX)
  #depth = 0
  #blockBytes = 0
  #blocks = 0
  #chunks = 0

  update(bytes: Uint8Array): this {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    while (at < bytes.length) {
      // The last block of a chunk is compressed only when more comes: it might be the root.
      if (this.#blockBytes === BLOCK_BYTES) this.#compressBlock(this.#blockView, 0)
      const left = bytes.length - at
      if (this.#blockBytes === 0 && left > BLOCK_BYTES) {
        this.#blockBytes = BLOCK_BYTES
        this.#compressBlock(view, at)
        at += BLOCK_BYTES
        continue
      }
      const part = Math.min(BLOCK_BYTES - this.#blockBytes, left)
      this.#block.set(bytes.subarray(at, at + part), this.#blockBytes)
      this.#blockBytes += part
      at += part
    }
    return this
  }

  /** The hash of all that was given so far; more may be given afterwards. */
  digest(): Hash {
    cv.set(this.#cv)
    tail.fill(0)
    tail.set(this.#block.subarray(0, this.#blockBytes))
    const start = this.#blocks === 0 ? CHUNK_START : 0
    const root = this.#depth === 0 ? ROOT : 0
    const low = this.#chunks | 0
    const high = Math.floor(this.#chunks / 0x100000000)
    compress(cv, tailView, 0, low, high, this.#blockBytes, start | CHUNK_END | root)
    foldStack(this.#stack, this.#depth)
    return takeHash()
  }

  /** Compresses a full block of the current chunk, and ends the chunk when it is the sixteenth. */
  #compressBlock(view: DataView, at: number): void {
    const last = this.#blocks === CHUNK_BYTES / BLOCK_BYTES - 1
    const flags = (this.#blocks === 0 ? CHUNK_START : 0) | (last ? CHUNK_END : 0)
    const high = Math.floor(this.#chunks / 0x100000000)
    compress(this.#cv, view, at, this.#chunks | 0, high, BLOCK_BYTES, flags)
    this.#blockBytes = 0
    this.#blocks++
    if (!last) return
    this.#blocks = 0
    this.#chunks++
    cv.set(this.#cv)
    this.#depth = pushCv(this.#stack, this.#depth, this.#chunks)
    this.#cv.set(iv)
  }
}

/** Leaves the chaining value of a chunk in `cv`. */
function hashChunk(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  length: number,
  index: number,
  rootFlag: number,
): void {
  const low = index | 0
  const high = Math.floor(index / 0x100000000)
  loadIv()
  let flags = CHUNK_START
  let at = start
  const end = start + length
  for (; end - at > BLOCK_BYTES; at += BLOCK_BYTES) {
    compress(cv, view, at, low, high, BLOCK_BYTES, flags)
    flags = 0
  }
  flags |= CHUNK_END | rootFlag
  const left = end - at
  if (left === BLOCK_BYTES) {
    compress(cv, view, at, low, high, BLOCK_BYTES, flags)
    return
  }
  for (let to = 0; to < left; to++) tail[to] = bytes[at + to]!
  tail.fill(0, left)
  compress(cv, tailView, 0, low, high, left, flags)
}

/** Puts the chaining value of chunk number `chunks` on the stack and joins the subtrees that it completes. */
function pushCv(stack: Int32Array, depthBefore: number, chunks: number): number {
  let depth = depthBefore
  for (let rest = chunks; rest % 2 === 0; rest /= 2) joinTop(stack, --depth, PARENT)
  stack.set(cv, depth * 8)
  return depth + 1
}

/** Joins the chaining value in `cv` with all of the stack, up to the root. */
function foldStack(stack: Int32Array, depthBefore: number): void {
  for (let depth = depthBefore - 1; depth >= 0; depth--) {
    joinTop(stack, depth, depth === 0 ? PARENT | ROOT : PARENT)
  }
}

/** Replaces `cv` by the parent of the stack's entry at `depth` and `cv`. */
function joinTop(stack: Int32Array, depth: number, flags: number): void {
  for (let at = 0; at < 8; at++) {
    pair[at] = stack[depth * 8 + at]!
    pair[at + 8] = cv[at]!
  }
  loadIv()
  compress(cv, pairView, 0, 0, 0, BLOCK_BYTES, flags)
}

function loadIv(): void {
  for (let at = 0; at < 8; at++) cv[at] = iv[at]!
}

function takeHash(): Hash {
  for (let at = 0; at < 8; at++) output.setInt32(at * 4, cv[at]!, true)
  return Uint8Array.prototype.slice.call(outputBytes) as Hash
}
