/**
 * The native binding, and the two shapes of bytes that it has had.
 *
 * Version 1.1.0 takes and gives bytes as arrays of numbers, 8 bytes of heap for each; the next one takes `Uint8Array`.
 * Which one is installed is tried once, when this file is loaded.
 *
 * The path names the file because the `main` field of the package points to one that does not exist.
 */
import {
  Endpoint,
  EndpointAddr,
  EndpointId,
  presetMinimal,
  RelayMode,
} from '@number0/iroh/index.js'

export type {
  BiStream as NativeBiStream,
  Connection as NativeConnection,
  Endpoint as NativeEndpoint,
  Incoming as NativeIncoming,
  RecvStream as NativeRecvStream,
  SendStream as NativeSendStream,
} from '@number0/iroh/index.js'
export { Endpoint, EndpointAddr, EndpointId, presetMinimal, RelayMode }

// With RUST_BACKTRACE=1 in the environment the first error of the binding, a peer that is not up yet, would read the
// debug information of the C library and keep it: 31 MB and half a second. Read once, at that first error.
process.env['RUST_LIB_BACKTRACE'] ??= '0'

/** Whether the binding takes bytes as they are. */
const takesBytes = (() => {
  try {
    // The base point of Ed25519 is a valid key: only the shape can be refused.
    const key = new Uint8Array(32).fill(0x66)
    key[0] = 0x58
    EndpointId.fromBytes(key as unknown as number[])
    return true
  } catch {
    return false
  }
})()

/** Bytes in the shape that the binding takes. */
export function toNative(bytes: Uint8Array): number[] {
  if (takesBytes) return bytes as unknown as number[]
  const { length } = bytes
  const array = new Array<number>(length)
  for (let at = 0; at < length; at++) array[at] = bytes[at]!
  return array
}

/** Bytes of our own from what the binding gave. */
export function fromNative(bytes: ArrayLike<number>): Uint8Array {
  return bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes)
}
