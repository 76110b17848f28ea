/**
 * Which 32 bytes are an Ed25519 point that we work with: RFC 8032 section 5.1.3, made strict.
 *
 * OpenSSL has differed between Node releases in what it accepts, upstream verifies with dalek's `verify_strict`, and
 * two nodes that disagree about one signature fork a log. So what is doubtful is refused here first, in our own code:
 * encodings that are not canonical, and the eight points of small order, which verify signatures nobody made.
 */
const P = 2n ** 255n - 19n
/** -121665 / 121666, the constant of the curve. */
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n
/** Order of the base point, little-endian. */
const groupOrder = Uint8Array.from(
  Buffer.from('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'hex'),
)

/** y of the points of small order, little-endian, without the sign bit: orders 4, 1, 8, 8, 2. */
const smallOrderY = Object.freeze(
  [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex'))),
)

/** Whether y is below 2^255 - 19: every other encoding of a point has a canonical twin. */
export function isCanonicalY(bytes: Uint8Array): boolean {
  if ((bytes[31]! & 0x7f) !== 0x7f) return true
  for (let at = 30; at > 0; at--) if (bytes[at] !== 0xff) return true
  return bytes[0]! < 0xed
}

/** Whether the bytes are a canonical encoding of a point whose order divides 8. */
export function isSmallOrder(bytes: Uint8Array): boolean {
  for (const y of smallOrderY) {
    let differs = (bytes[31]! & 0x7f) ^ y[31]!
    for (let at = 0; at < 31 && differs === 0; at++) differs |= bytes[at]! ^ y[at]!
    if (differs === 0) return true
  }
  return false
}

/** Whether the scalar s of a signature is below the order of the group: else anyone makes a second one. */
export function isReducedScalar(scalar: Uint8Array): boolean {
  for (let at = 31; at >= 0; at--) {
    const difference = scalar[at]! - groupOrder[at]!
    if (difference !== 0) return difference < 0
  }
  return false
}

/**
 * Whether the bytes decode to a point of the curve, as dalek decides it: y is taken modulo p.
 *
 * About 0.1 ms: for keys that arrive outside of signed data. A signature by a key that is no point fails anyway.
 */
export function isCurvePoint(bytes: Uint8Array): boolean {
  let y = 0n
  for (let at = 31; at >= 0; at--)
    y = (y << 8n) | BigInt(at === 31 ? bytes[at]! & 0x7f : bytes[at]!)
  const y2 = (y * y) % P
  const u = (y2 - 1n + P) % P
  const v = (D * y2 + 1n) % P
  // x^2 = u/v has a root exactly when uv is a square or zero; Euler's criterion.
  const product = (u * v) % P
  return product === 0n || power(product, (P - 1n) / 2n) === 1n
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  let square = base
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % P
    square = (square * square) % P
  }
  return result
}
