/**
 * ChaCha20 and Poly1305 (RFC 8439) in WebAssembly with 128-bit vectors, built here instruction by instruction.
 *
 * Only additions, multiplications, shifts and bitwise operations touch secrets, and no address or branch depends on one.
 *
 * Memory: about 5 KB of module, made once.
 */
import {
  add32,
  add64,
  addLanes,
  and64,
  below32,
  below64,
  type Code,
  firstLane,
  get,
  I32,
  I64,
  i32,
  i64,
  left64,
  leftLanes,
  load32,
  load32as64,
  load64,
  loadLanes,
  loop,
  multiply64,
  or64,
  orLanes,
  right64,
  rightLanes,
  rightSigned64,
  set,
  shuffle,
  store32,
  store64,
  storeLanes,
  V128,
  type WasmFunction,
  wasmModule,
  xor64,
  xorLanes,
} from './wasm.ts'

/** The initial state of RFC 8439 section 2.3: constants, key, counter, nonce. */
export const STATE_AT = 0
export const STATE_KEY_AT = STATE_AT + 16
export const STATE_COUNTER_AT = STATE_AT + 48
/** State of Poly1305: r in limbs, the second half of the one-time key, the sum in limbs. */
const LIMBS_AT = 64
const PAD_AT = LIMBS_AT + 40
const SUM_AT = PAD_AT + 16
/** What `finish` leaves. */
export const TAG_AT = SUM_AT + 40
/** The memory from here on is the caller's. */
export const FREE_AT = 256

/** Blocks of key stream side by side: fewer leave the vector units idle, more do not fit in the registers. */
const BLOCKS = 4
/** `stream` writes whole multiples of this. */
export const STRIDE_BYTES = 64 * BLOCKS

const zero = i32(0)

const blocks = Object.freeze(Array.from({ length: BLOCKS }, (_, block) => block))
/** A row of the state of one block: four words, in one vector. */
const row = (block: number, index: number): number => 4 + 4 * block + index
const ROWS = Object.freeze([0, 1, 2, 3])
/** The same step for every block, one after the other, because they do not wait for each other. */
const each = (step: (block: number) => Code): Code => blocks.map(step)

/** `stream(from, to, end)`: what is at `from`, xor the key stream from the counter on, goes to [to, end). */
function stream(): WasmFunction {
  const from = 0
  const to = 1
  const end = 2
  const round = 3
  const initial = (block: number, index: number): Code => {
    const loaded = loadLanes(zero, STATE_AT + 16 * index)
    return index === 3 && block > 0 ? addLanes(loaded, firstLane(block)) : loaded
  }
  const begin = each((block) => ROWS.map((index) => set(row(block, index), initial(block, index))))
  const finish = each((block) =>
    ROWS.map((index) => {
      const key = addLanes(get(row(block, index)), initial(block, index))
      const offset = 64 * block + 16 * index
      return storeLanes(get(to), offset, xorLanes(key, loadLanes(get(from), offset)))
    }),
  )
  const rounds = [
    quarters(),
    turnRows([1, 2, 3]),
    quarters(),
    turnRows([3, 2, 1]),
    set(round, add32(get(round), i32(-1))),
  ]
  const counter = add32(load32(zero, STATE_COUNTER_AT), i32(BLOCKS))
  const strides = [
    begin,
    set(round, i32(10)),
    loop(rounds, get(round)),
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

/** The quarter round of RFC 8439 section 2.1 on the four columns of each block. */
function quarters(): Code {
  const steps = [
    [0, 1, 3, 16],
    [2, 3, 1, 12],
    [0, 1, 3, 8],
    [2, 3, 1, 7],
  ] as const
  return steps.map(([sum, other, mixed, bits]) => [
    each((block) => {
      const target = row(block, sum)
      return set(target, addLanes(get(target), get(row(block, other))))
    }),
    each((block) => {
      const target = row(block, mixed)
      return set(target, xorLanes(get(target), get(row(block, sum))))
    }),
    each((block) => set(row(block, mixed), rotated(row(block, mixed), bits))),
  ])
}

/** Moves the rows but the first by so many words: diagonals become columns, and back. */
function turnRows(words: readonly number[]): Code {
  return each((block) =>
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

const LIMB_MASK = (1n << 26n) - 1n
const limb = (value: Code, shift: bigint): Code =>
  and64(shift === 0n ? value : right64(value, i64(shift)), i64(LIMB_MASK))

/** `key(at)`: takes the one-time key of 32 bytes, clamps r (RFC 8439 section 2.5), and sets the sum to 0. */
function key(): WasmFunction {
  const at = 0
  // Five limbs of 26 bits; the bits that are clamped are left out of the masks.
  const masks = [0x3ffffffn, 0x3ffff03n, 0x3ffc0ffn, 0x3f03fffn, 0x00fffffn]
  const limbs = masks.map((mask, index) => {
    const word = load32as64(get(at), 3 * index)
    const value = and64(right64(word, i64(BigInt(2 * index))), i64(mask))
    return [store64(zero, LIMBS_AT + 8 * index, value), store64(zero, SUM_AT + 8 * index, i64(0n))]
  })
  return {
    name: 'key',
    parameters: [I32],
    locals: [],
    body: [
      limbs,
      store64(zero, PAD_AT, load64(get(at), 16)),
      store64(zero, PAD_AT + 8, load64(get(at), 24)),
    ],
  }
}

const FIVE = [0, 1, 2, 3, 4] as const

/** `absorb(at, end)`: adds whole blocks of 16 bytes to the sum, at least one (RFC 8439 section 2.5). */
function absorb(): WasmFunction {
  const at = 0
  const end = 1
  const r = (index: number) => 2 + index
  /** Five times r: what passes 2^130 comes back so. */
  const s = (index: number) => 6 + index
  const h = (index: number) => 11 + index
  const d = (index: number) => 16 + index
  const begin = FIVE.map((index) => [
    set(r(index), load64(zero, LIMBS_AT + 8 * index)),
    index > 0 ? set(s(index), multiply64(get(r(index)), i64(5n))) : [],
    set(h(index), load64(zero, SUM_AT + 8 * index)),
  ])
  const take = FIVE.map((index) => {
    const shifted = right64(load32as64(get(at), 3 * index), i64(BigInt(2 * index)))
    const value = index < 4 ? and64(shifted, i64(LIMB_MASK)) : or64(shifted, i64(1n << 24n))
    return set(h(index), add64(get(h(index)), value))
  })
  const products = FIVE.map((index) => {
    const terms = FIVE.map((from) =>
      multiply64(get(h(from)), get(from <= index ? r(index - from) : s(index - from + 5))),
    )
    return set(d(index), terms.reduce(add64))
  })
  return {
    name: 'absorb',
    parameters: [I32, I32],
    locals: new Array(19).fill(I64),
    body: [
      begin,
      loop(
        [take, products, carry(d, h), set(at, add32(get(at), i32(16)))],
        below32(get(at), get(end)),
      ),
      FIVE.map((index) => store64(zero, SUM_AT + 8 * index, get(h(index)))),
    ],
  }
}

/** Limbs of any size to limbs of 26 bits, but for a little in the second one. */
function carry(from: (index: number) => number, to: (index: number) => number): Code {
  const over = (local: number): Code => right64(get(local), i64(26n))
  const up = [0, 1, 2, 3].map((index) => [
    set(from(index + 1), add64(get(from(index + 1)), over(from(index)))),
    set(to(index), limb(get(from(index)), 0n)),
  ])
  return [
    up,
    set(to(0), add64(get(to(0)), multiply64(over(from(4)), i64(5n)))),
    set(to(4), limb(get(from(4)), 0n)),
    set(to(1), add64(get(to(1)), over(to(0)))),
    set(to(0), limb(get(to(0)), 0n)),
  ]
}

/** `finish()`: the sum modulo 2^130 - 5, plus the second half of the one-time key, is the tag. */
function finish(): WasmFunction {
  const h = (index: number) => index
  const g = (index: number) => 5 + index
  const keep = 10
  const low = 11
  const high = 12
  const begin = FIVE.map((index) => set(h(index), load64(zero, SUM_AT + 8 * index)))
  // h + 5 - 2^130 is not negative when h is not below the modulus.
  const over = (local: number): Code => right64(get(local), i64(26n))
  const reduced = [
    set(g(0), add64(get(h(0)), i64(5n))),
    [1, 2, 3, 4].map((index) => set(g(index), add64(get(h(index)), over(g(index - 1))))),
    set(g(4), add64(get(g(4)), i64(-(1n << 26n)))),
    set(keep, rightSigned64(get(g(4)), i64(63n))),
    FIVE.map((index) => {
      const other = and64(limb(get(g(index)), 0n), xor64(get(keep), i64(-1n)))
      return set(h(index), or64(and64(get(h(index)), get(keep)), other))
    }),
  ]
  const at = (index: number, bits: bigint): Code => left64(get(h(index)), i64(bits))
  const lowBits = or64(or64(get(h(0)), at(1, 26n)), at(2, 52n))
  const highBits = or64(or64(right64(get(h(2)), i64(12n)), at(3, 14n)), at(4, 40n))
  const pad = load64(zero, PAD_AT)
  return {
    name: 'finish',
    parameters: [],
    locals: new Array(13).fill(I64),
    body: [
      begin,
      carry(h, h),
      reduced,
      set(low, add64(lowBits, pad)),
      set(high, add64(add64(highBits, load64(zero, PAD_AT + 8)), below64(get(low), pad))),
      store64(zero, TAG_AT, get(low)),
      store64(zero, TAG_AT + 8, get(high)),
    ],
  }
}

/** The functions, with a memory of so many pages of 64 KiB. */
export const chachaModule = (pages: number): Uint8Array<ArrayBuffer> =>
  wasmModule(pages, [stream(), key(), absorb(), finish()])
