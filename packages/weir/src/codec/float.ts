/**
 * The shortest of the three IEEE 754 widths that holds a value, RFC 8949 section 4.2.1.
 *
 * NaN: only `f97e00` is written and, as a value, read; a JavaScript number has no payload to give back.
 */
const scratch = new DataView(new ArrayBuffer(8))

/** Bits of the 16-bit float that equals the 32-bit float `bits`, or -1 when there is none. NaN keeps its payload. */
export function halfFromSingle(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const exponent = (bits >>> 23) & 0xff
  const fraction = bits & 0x7fffff
  if (exponent === 0xff) return fraction & 0x1fff ? -1 : sign | 0x7c00 | (fraction >>> 13)
  if (exponent === 0) return fraction === 0 ? sign : -1
  if (exponent >= 113 && exponent <= 142) {
    return fraction & 0x1fff ? -1 : sign | ((exponent - 112) << 10) | (fraction >>> 13)
  }
  // Below 2^-14 the 16-bit form has no implicit bit: its fraction counts units of 2^-24.
  if (exponent < 103 || exponent > 142) return -1
  const shift = 126 - exponent
  const whole = fraction | 0x800000
  return whole & ((1 << shift) - 1) ? -1 : sign | (whole >>> shift)
}

/** The value of a 16-bit float. */
export function halfToNumber(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  const size =
    exponent === 0
      ? fraction * 2 ** -24
      : exponent === 31
        ? fraction === 0
          ? Infinity
          : NaN
        : (1024 + fraction) * 2 ** (exponent - 25)
  return bits & 0x8000 ? -size : size
}

/** Bits of `value` as a 32-bit float; exact only when `Math.fround(value)` is `value`. */
export function singleBits(value: number): number {
  scratch.setFloat32(0, value)
  return scratch.getUint32(0)
}

/** Whether the 64-bit float of these two words is also a 32-bit float, NaN payloads included. */
export function fitsSingle(high: number, low: number): boolean {
  if ((high & 0x7ff00000) === 0x7ff00000) return (low & 0x1fffffff) === 0
  scratch.setUint32(0, high)
  scratch.setUint32(4, low)
  const value = scratch.getFloat64(0)
  return Math.fround(value) === value
}
