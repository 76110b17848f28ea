/**
 * The integrity tag of Retry packets (RFC 9001 section 5.8), which are not encrypted: it shows that the sender saw the
 * client's first packet, and that the packet is whole.
 */
import { createCipheriv, timingSafeEqual } from 'node:crypto'
import { TAG_BYTES } from '../packet/header.ts'

const key = Uint8Array.from(Buffer.from('be0c690b9f66575a1d766b54e368c84e', 'hex'))
const nonce = Uint8Array.from(Buffer.from('461599d35d632bf2239825bb', 'hex'))

/** @param packet The Retry packet up to its tag. */
export function retryTag(originalDestinationId: Uint8Array, packet: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-gcm', key, nonce)
  const pseudo = new Uint8Array(1 + originalDestinationId.length + packet.length)
  pseudo[0] = originalDestinationId.length
  pseudo.set(originalDestinationId, 1)
  pseudo.set(packet, 1 + originalDestinationId.length)
  cipher.setAAD(pseudo)
  cipher.final()
  return cipher.getAuthTag()
}

/** Whether a whole Retry packet answers the Initial packet that was sent to `originalDestinationId`. */
export function isRetryAuthentic(originalDestinationId: Uint8Array, packet: Uint8Array): boolean {
  const tagAt = packet.length - TAG_BYTES
  if (tagAt < 0) return false
  const tag = retryTag(originalDestinationId, packet.subarray(0, tagAt))
  return timingSafeEqual(tag, packet.subarray(tagAt))
}
