/**
 * Sizes that the plan counts with and the protocol holds to. They stand alone, so that who plans loads no protocol.
 */

/** An object may have this many bytes of content; a larger one stays in its zone and is reported. */
export const CONTENT_BYTES_MAX = 1024 * 1024
/** And this many values, names included: a tree takes memory by the value. */
export const CONTENT_ITEMS_MAX = 16 * 1024
/** A chunk holds as many objects as fit, or a single larger one. */
export const CHUNK_BYTES_MAX = 64 * 1024
/** The largest body: one object with its names. */
export const BODY_BYTES_MAX = CONTENT_BYTES_MAX + 4096
