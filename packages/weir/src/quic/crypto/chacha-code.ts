/**
 * ChaCha20 (RFC 8439 section 2.4) as WebAssembly, on vectors of four words.
 *
 * Only additions, shifts and bitwise operations touch secrets, and no address or branch depends on one.
 */
import { BLOCKS, MASK_AT, STATE_AT, STATE_COUNTER_AT, STRIDE_BYTES } from './chacha-layout.ts'
import {
  add32,
  addLanes,
  below32,
  type Code,
  firstLane,
  get,
  I32,
  i32,
  leftLanes,
  load32,
  loadLanes,
  loop,
  orLanes,
  rightLanes,
  set,
  shuffle,
  store32,
  storeLanes,
  V128,
  type WasmFunction,
  xorLanes,
} from './wasm.ts'

const zero = i32(0)
/** A row of the state of one block: four words, in one vector. */
const row = (block: number, index: number): number => 4 + 4 * block + index
const ROWS = Object.freeze([0, 1, 2, 3])
/** The same step for every block, one after the other, because they do not wait for each other. */
const each = (blocks: number, step: (block: number) => Code): Code =>
  Array.from({ length: blocks }, (_, block) => step(block))

const ROUND = 3

/** `stream(from, to, end)`: what is at `from`, xor the key stream from the counter on, goes to [to, end). */
export function stream(): WasmFunction {
  const from = 0
  const to = 1
  const end = 2
  const finish = each(BLOCKS, (block) =>
    ROWS.map((index) => {
      const offset = 64 * block + 16 * index
      const mixed = xorLanes(keyStream(block, index), loadLanes(get(from), offset))
      return storeLanes(get(to), offset, mixed)
    }),
  )
  const counter = add32(load32(zero, STATE_COUNTER_AT), i32(BLOCKS))
  const strides = [
    blockFunction(BLOCKS),
    finish,
    store32(zero, STATE_COUNTER_AT, counter),
    set(from, add32(get(from), i32(STRIDE_BYTES))),
    set(to, add32(get(to), i32(STRIDE_BYTES))),
  ]
  return {
    name: 'stream',
    parameters: [I32, I32, I32],
    locals: [I32, ...new Array(4 * BLOCKS).fill(V128)],
    body: loop(strides, below32(get(to), get(end))),
  }
}

/** `mask()`: leaves the first 16 bytes of one block at `MASK_AT`. */
export function mask(): WasmFunction {
  return {
    name: 'mask',
    parameters: [],
    locals: [I32, I32, I32, I32, ...new Array(4).fill(V128)],
    body: [blockFunction(1), storeLanes(zero, MASK_AT, keyStream(0, 0))],
  }
}

/** A row as it is before the rounds. The blocks differ in their counters. */
function initial(block: number, index: number): Code {
  const loaded = loadLanes(zero, STATE_AT + 16 * index)
  return index === 3 && block > 0 ? addLanes(loaded, firstLane(block)) : loaded
}

const keyStream = (block: number, index: number): Code =>
  addLanes(get(row(block, index)), initial(block, index))

/** The twenty rounds, on so many blocks side by side. */
function blockFunction(blocks: number): Code {
  const begin = each(blocks, (block) =>
    ROWS.map((index) => set(row(block, index), initial(block, index))),
  )
  const rounds = [
    quarters(blocks),
    turnRows(blocks, [1, 2, 3]),
    quarters(blocks),
    turnRows(blocks, [3, 2, 1]),
    set(ROUND, add32(get(ROUND), i32(-1))),
  ]
  return [begin, set(ROUND, i32(10)), loop(rounds, get(ROUND))]
}

/** The quarter round of RFC 8439 section 2.1 on the four columns of each block. */
function quarters(blocks: number): Code {
  const steps = [
    [0, 1, 3, 16],
    [2, 3, 1, 12],
    [0, 1, 3, 8],
    [2, 3, 1, 7],
  ] as const
  return steps.map(([sum, other, mixed, bits]) => [
    each(blocks, (block) => {
      const target = row(block, sum)
      return set(target, addLanes(get(target), get(row(block, other))))
    }),
    each(blocks, (block) => {
      const target = row(block, mixed)
      return set(target, xorLanes(get(target), get(row(block, sum))))
    }),
    each(blocks, (block) => set(row(block, mixed), rotated(row(block, mixed), bits))),
  ])
}

/** Moves the rows but the first by so many words: diagonals become columns, and back. */
function turnRows(blocks: number, words: readonly number[]): Code {
  return each(blocks, (block) =>
    words.map((count, index) => {
      const local = row(block, index + 1)
      const order = Array.from({ length: 16 }, (_, at) => (at + 4 * count) & 15)
      return set(local, shuffle(get(local), order))
    }),
  )
}

/** Each lane to the left by so many bits; whole bytes move faster as a shuffle. */
function rotated(local: number, bits: number): Code {
  if (bits % 8 === 0) {
    const bytes = bits / 8
    const order = Array.from({ length: 16 }, (_, at) => (at & 12) + ((at - bytes) & 3))
    return shuffle(get(local), order)
  }
  return orLanes(leftLanes(get(local), i32(bits)), rightLanes(get(local), i32(32 - bits)))
}
