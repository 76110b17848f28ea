/**
 * What V8 really takes for the things our containers are made of, measured on Node 26 and held by `npm run costs`.
 * Terms are computed from these, so a change of the engine shows there and not in production.
 */

/** A node of BoundedMap: object with eight fields, the boxed expiry, and what hangs on it without its payload. */
export const MAP_NODE_BYTES = 136
/** A value of MultiMap beside its key's node. */
export const MULTI_VALUE_BYTES = 152
/** A key's own node and value list in MultiMap. */
export const MULTI_KEY_BYTES = 280
/** A slot of RingQueue: the reference and the charged size. */
export const RING_SLOT_BYTES = 16
/** An id in IdSet: 32 packed bytes and its share of the slot table, for two generations. */
export const ID_BYTES = 2 * (32 + 8)
/** A Uint8Array with its own buffer, without its bytes: view, buffer, backing store and allocator rounding. */
export const BUFFER_SHELL_BYTES = 220
/** A string of its own, without its characters. */
export const STRING_SHELL_BYTES = 24
/** A small plain object with up to six fields. */
export const OBJECT_BYTES = 88
/** A promise with one reaction. */
export const PROMISE_BYTES = 200
/** A key, cipher or hash object of node:crypto, mostly outside the heap. */
export const NATIVE_KEY_BYTES = 1_700

/** The least power of two that is not below `entries`. */
export function powerOfTwo(entries: number): number {
  let size = 1
  while (size < entries) size *= 2
  return size
}

/**
 * Bytes of the table under a container. A V8 `Map` grows in steps: at 2^k entries its table holds 28 bytes for
 * each, one more doubles it, so a cap is rounded up to a power of two and the plan takes the full table. While it
 * grows the old and the new table live together, which is half of the new one again.
 */
export function tableBytes(entriesMax: number, table: 'map' | 'slab' | 'ring' | 'none'): number {
  switch (table) {
    case 'map':
      return 64 + powerOfTwo(Math.max(entriesMax, 4)) * 42
    case 'ring':
      return 64 + powerOfTwo(Math.max(entriesMax, 4)) * RING_SLOT_BYTES
    case 'slab':
    case 'none':
      return 0
  }
}
