/**
 * What V8 really takes for the things our containers are made of, measured on Node 26 and held by `npm run costs`.
 * Terms are computed from these, so a change of the engine shows there and not in production.
 */

/** An account, with its node in the ledger's list. */
export const ACCOUNT_BYTES = 176
/** A BoundedMap or MultiMap with its table's header and its options, beside the table. */
export const MAP_BYTES = 432
/** A slot in the table of a V8 map: key, value, chain, and half a bucket. */
const MAP_SLOT_BYTES = 28
/** A node of BoundedMap: six fields and, with a ttl, the boxed expiry. Key and value are the term's own. */
export const MAP_NODE_BYTES = 92
/** A value of MultiMap under a key of its own: slots of a small table. */
export const MULTI_VALUE_BYTES = 112
/** What a key of MultiMap costs beside its values: the inner map. */
export const MULTI_KEY_BYTES = 88
/** A RingQueue with its options, beside the slots. */
export const RING_BYTES = 448
/** A slot of RingQueue: the reference and the charged size. */
export const RING_SLOT_BYTES = 16
/** An IdSet without its ids. */
export const ID_SET_BYTES = 1_400
/** An id in IdSet: 32 packed bytes, 8 of slot table and its share of the page, for two generations. */
export const ID_BYTES = 2 * (32 + 8 + 3)
/** A Uint8Array with its own buffer, without its bytes: view, buffer, backing store and allocator rounding. */
export const BUFFER_SHELL_BYTES = 224
/** A string of its own, without its characters. */
export const STRING_SHELL_BYTES = 24
/** A small plain object with up to six fields. */
export const OBJECT_BYTES = 88
/** A promise that somebody waits for: its resolving functions, one reaction and the promise of that. */
export const PROMISE_BYTES = 400
/** A cipher object of node:crypto, mostly outside the heap; a key object takes half, a hash object a third of it. */
export const NATIVE_KEY_BYTES = 1_500

/** The least power of two that is not below `entries`. */
export function powerOfTwo(entries: number): number {
  let size = 1
  while (size < entries) size *= 2
  return size
}

/**
 * Bytes of an account with the container and its table. A V8 `Map` grows in steps: a table of 2^k slots doubles when
 * it is full of entries and of the places of deleted ones, and keeps those until half of it is deleted. A map that
 * stays at a cap of 2^k while entries come and go therefore ends with 2^(k+1) slots: two for each entry. While it is
 * rebuilt the old and the new table live together; that is garbage a moment later and part of the head-room for it.
 */
export function tableBytes(entriesMax: number, table: 'map' | 'slab' | 'ring' | 'none'): number {
  const slots = powerOfTwo(Math.max(entriesMax, 4))
  switch (table) {
    case 'map':
      return ACCOUNT_BYTES + MAP_BYTES + slots * 2 * MAP_SLOT_BYTES
    case 'ring':
      return ACCOUNT_BYTES + RING_BYTES + slots * RING_SLOT_BYTES
    case 'slab':
      return ACCOUNT_BYTES + ID_SET_BYTES
    case 'none':
      return ACCOUNT_BYTES
  }
}
