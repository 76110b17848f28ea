/** What CBOR values look like in JavaScript, and how much of them a reader accepts. */

/**
 * A float that a JavaScript number cannot tell from an integer, such as `1.0`.
 *
 * Encoding `1` gives the integer `01`; encoding `new CborFloat(1)` gives `f93c00`. Decoders make one only when they
 * are asked to (`integralFloats: 'wrap'`).
 */
export class CborFloat {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }

  valueOf(): number {
    return this.value
  }

  toJSON(): number {
    return this.value
  }
}

/** A CBOR value: maps are a `Map`, or an object without prototype when the decoder was asked for it. */
export type CborValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | CborFloat
  | readonly CborValue[]
  | ReadonlyMap<CborValue, CborValue>
  | CborObject

export interface CborObject {
  readonly [key: string]: CborValue
}

/** Checked before memory is held for what they limit. */
export interface CborLimits {
  /** Most bytes of the whole input. */
  readonly bytesMax: number
  /** Deepest nesting of arrays, maps and tags; 1 admits an array of plain values. At most 512. */
  readonly depthMax: number
  /** Most values in total, keys included. */
  readonly itemsMax: number
  /** Longest string in bytes, largest array or map in entries. */
  readonly lengthMax: number
}

export interface CborDecodeOptions extends CborLimits {
  /** `object` gives objects without prototype and accepts text keys only. Default `map`. */
  readonly maps?: 'map' | 'object'
  /** What to do with a float such as `1.0`, which as a number would be encoded as an integer. Default `refuse`. */
  readonly integralFloats?: 'refuse' | 'wrap'
}

/** Major types of RFC 8949 section 3.1. */
export const major = Object.freeze({
  uint: 0,
  negative: 1,
  bytes: 2,
  text: 3,
  array: 4,
  map: 5,
  tag: 6,
  simple: 7,
})
