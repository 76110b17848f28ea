/**
 * The 32-byte names of the mesh, told apart by type: a topic never lands where a node id is wanted.
 *
 * An id has memory of its own; what comes from a network buffer is copied before it is branded.
 */
import { copyBytes, fromHex, malformed, toHex } from '../codec/index.ts'

export const ID_BYTES = 32

declare const nodeIdBrand: unique symbol
declare const topicIdBrand: unique symbol
declare const hashBrand: unique symbol
declare const logIdBrand: unique symbol

/** Ed25519 public key of a node, which is also the author of its operations. */
export type NodeId = Uint8Array & { readonly [nodeIdBrand]: true }
/** A topic. Who knows it may join it: it is a secret of its members. */
export type TopicId = Uint8Array & { readonly [topicIdBrand]: true }
/** A BLAKE3 hash: of an operation, a payload. */
export type Hash = Uint8Array & { readonly [hashBrand]: true }
/** The name of a log of an author. */
export type LogId = Uint8Array & { readonly [logIdBrand]: true }

export type AnyId = NodeId | TopicId | Hash | LogId

/** Brands 32 bytes as a node id; it is not checked to be a usable key: `admitKey` does that. */
export function nodeId(bytes: Uint8Array): NodeId {
  return checked(bytes) as NodeId
}

export function topicId(bytes: Uint8Array): TopicId {
  return checked(bytes) as TopicId
}

export function hashId(bytes: Uint8Array): Hash {
  return checked(bytes) as Hash
}

export function logId(bytes: Uint8Array): LogId {
  return checked(bytes) as LogId
}

/** From 64 hex digits, as users and config files write ids. */
export function nodeIdFromHex(text: string): NodeId {
  return fromHex(text, ID_BYTES) as NodeId
}

export function topicIdFromHex(text: string): TopicId {
  return fromHex(text, ID_BYTES) as TopicId
}

export function hashFromHex(text: string): Hash {
  return fromHex(text, ID_BYTES) as Hash
}

export function logIdFromHex(text: string): LogId {
  return fromHex(text, ID_BYTES) as LogId
}

/** 64 lower-case hex digits: for people. */
export function idHex(id: Uint8Array): string {
  return toHex(id)
}

/** The first ten hex digits: for logs. */
export function shortId(id: Uint8Array): string {
  return toHex(id.subarray(0, 5))
}

/**
 * An id as a key of a map: one character a byte, half the memory of hex.
 *
 * Two ids have the same key exactly when they are equal, and keys order as the bytes do. Not for printing.
 */
export function idKey(id: Uint8Array): string {
  if (id.length !== ID_BYTES) return Buffer.from(id).toString('latin1')
  // In one call: joined from parts it would stay a tree of strings of 193 bytes; this takes 49.
  // biome-ignore format: as a table
  return String.fromCharCode(
    id[0]!, id[1]!, id[2]!, id[3]!, id[4]!, id[5]!, id[6]!, id[7]!,
    id[8]!, id[9]!, id[10]!, id[11]!, id[12]!, id[13]!, id[14]!, id[15]!,
    id[16]!, id[17]!, id[18]!, id[19]!, id[20]!, id[21]!, id[22]!, id[23]!,
    id[24]!, id[25]!, id[26]!, id[27]!, id[28]!, id[29]!, id[30]!, id[31]!,
  )
}

/** Whether `key` is the key of `id`, without making one. */
export function isKeyOf(key: string, id: Uint8Array): boolean {
  if (key.length !== id.length) return false
  for (let at = 0; at < id.length; at++) if (key.charCodeAt(at) !== id[at]) return false
  return true
}

/** The bytes of a key made by `idKey`. */
export function keyBytes(key: string): Uint8Array {
  return copyBytes(Buffer.from(key, 'latin1'))
}

const z32Alphabet = 'ybndrfg8ejkmcpqxot1uwisza345h769'

/** z-base-32, the form in which iroh's DNS and pkarr records name a node. */
export function toZ32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += z32Alphabet[(held >>> bits) & 31]
    }
    held &= (1 << bits) - 1
  }
  if (bits > 0) text += z32Alphabet[(held << (5 - bits)) & 31]
  return text
}

function checked(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== ID_BYTES) {
    throw malformed(0, `an id has ${bytes.length} bytes where ${ID_BYTES} are needed`)
  }
  return bytes
}
