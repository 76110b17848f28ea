/** Randomness as a value that is passed in: the system's for keys, a seeded one for simulations. */
import { assert } from './errors.ts'

export interface Random {
  /** Fresh bytes; the caller owns them. */
  bytes(length: number): Uint8Array
  /** A uniform integer in [0, limit); limit at most 2^32. */
  below(limit: number): number
}

/** Taken when it is used: it takes 15 ms to load, and a process that only plans draws nothing. */
const crypto = () => process.getBuiltinModule('node:crypto')

/** From the operating system: the only source for keys, tokens and salts. */
export const systemRandom: Random = Object.freeze({
  bytes: (length: number) => crypto().randomFillSync(new Uint8Array(length)),
  below: (limit: number) => (limit <= 1 ? 0 : crypto().randomInt(limit)),
})

/**
 * The same sequence for the same seed, on every machine: xoshiro128** (Blackman and Vigna, 2018), seeded by
 * splitmix32. Not for secrets.
 */
export function seededRandom(seed: number): Random {
  let mix = seed >>> 0
  const split = (): number => {
    mix = (mix + 0x9e3779b9) | 0
    let word = mix ^ (mix >>> 16)
    word = Math.imul(word, 0x21f0aaad)
    word ^= word >>> 15
    word = Math.imul(word, 0x735a2d97)
    return (word ^ (word >>> 15)) >>> 0
  }
  const state = new Uint32Array([split(), split(), split(), split() | 1])
  const next = (): number => {
    const s1 = state[1] as number
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0
    state[2]! ^= state[0]!
    state[3]! ^= s1
    state[1]! ^= state[2]!
    state[0]! ^= state[3]!
    state[2]! ^= s1 << 9
    state[3] = rotateLeft(state[3]!, 11)
    return result
  }
  return {
    bytes(length) {
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; at++) bytes[at] = next() & 255
      return bytes
    },
    below(limit) {
      assert(limit >= 0 && limit <= 2 ** 32, 'limit of below() is out of range')
      return limit <= 1 ? 0 : Math.floor((next() / 2 ** 32) * limit)
    },
  }
}

const rotateLeft = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))
