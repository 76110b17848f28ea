/** Where the functions of `chacha-module` find what they work on, in their memory. */

/** The initial state of RFC 8439 section 2.3: constants, key, counter, nonce. */
export const STATE_AT = 0
export const STATE_KEY_AT = STATE_AT + 16
export const STATE_COUNTER_AT = STATE_AT + 48
/** State of Poly1305: r in limbs, the second half of the one-time key, the sum in limbs. */
export const LIMBS_AT = 64
export const PAD_AT = LIMBS_AT + 40
export const SUM_AT = PAD_AT + 16
/** What `finish` leaves. */
export const TAG_AT = SUM_AT + 40
/** What `mask` leaves. */
export const MASK_AT = TAG_AT + 16
/** The memory from here on is the caller's. */
export const FREE_AT = 256

/** Blocks of key stream side by side: fewer leave the vector units idle, more do not fit in the registers. */
export const BLOCKS = 4
/** `stream` writes whole multiples of this. */
export const STRIDE_BYTES = 64 * BLOCKS
