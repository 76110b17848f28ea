/**
 * Poly1305 (RFC 8439 section 2.5) as WebAssembly, with five limbs of 26 bits.
 *
 * Only additions, multiplications, shifts and bitwise operations touch secrets, and no address or branch depends on one.
 */
import { LIMBS_AT, PAD_AT, SUM_AT, TAG_AT } from './chacha-layout.ts'
import {
  add32,
  add64,
  and64,
  below32,
  below64,
  type Code,
  get,
  I32,
  I64,
  i32,
  i64,
  left64,
  load32as64,
  load64,
  loop,
  multiply64,
  or64,
  right64,
  rightSigned64,
  set,
  store64,
  type WasmFunction,
  xor64,
} from './wasm.ts'

const zero = i32(0)
const LIMB_MASK = (1n << 26n) - 1n
const limb = (value: Code, shift: bigint): Code =>
  and64(shift === 0n ? value : right64(value, i64(shift)), i64(LIMB_MASK))

/** `key(at)`: takes the one-time key of 32 bytes, clamps r (RFC 8439 section 2.5), and sets the sum to 0. */
export function key(): WasmFunction {
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
export function absorb(): WasmFunction {
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
export function finish(): WasmFunction {
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
