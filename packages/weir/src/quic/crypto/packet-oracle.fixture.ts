/**
 * Packet protection once more, for tests: written from RFC 9001 section 5 and as plain as can be, with a new object for
 * each step and numbers as BigInt, so that it shares no line with what it judges.
 */
import { createCipheriv, createHmac } from 'node:crypto'
import type { Suite } from '../contract.ts'

interface OracleKeys {
  readonly suite: Suite
  readonly key: Buffer
  readonly iv: Buffer
  readonly headerKey: Buffer
}

/** Keys of a phase: 0 is the first. The header key is always that of the first phase. */
export function oracleKeys(suite: Suite, secret: Uint8Array, phase = 0): OracleKeys {
  const length = suite === 0x1301 ? 16 : 32
  const headerKey = label(Buffer.from(secret), 'quic hp', length)
  let current: Buffer = Buffer.from(secret)
  for (let count = 0; count < phase; count++) current = label(current, 'quic ku', 32)
  const iv = label(current, 'quic iv', 12)
  return { suite, key: label(current, 'quic key', length), iv, headerKey }
}

/** A whole packet from its header, which ends with the packet number, and its payload. */
export function oracleSeal(
  keys: OracleKeys,
  header: Uint8Array,
  payload: Uint8Array,
  packetNumber: bigint,
): Buffer {
  const name = keys.suite === 0x1301 ? 'aes-128-gcm' : 'chacha20-poly1305'
  const number = BigInt(`0x${keys.iv.toString('hex')}`) ^ packetNumber
  const nonce = Buffer.from(number.toString(16).padStart(24, '0'), 'hex')
  const options = { authTagLength: 16 } as const
  const cipher = createCipheriv(name as 'aes-128-gcm', keys.key, nonce, options)
  cipher.setAAD(header)
  const sealed = [cipher.update(payload), cipher.final(), cipher.getAuthTag()]
  const packet = Buffer.concat([header, ...sealed])
  const numberLength = (header[0]! & 3) + 1
  const numberAt = header.length - numberLength
  const mask = maskOf(keys, packet.subarray(numberAt + 4, numberAt + 20))
  packet[0]! ^= mask[0]! & (header[0]! < 0x80 ? 0b11111 : 0b1111)
  for (let at = 0; at < numberLength; at++) packet[numberAt + at]! ^= mask[at + 1]!
  return packet
}

function maskOf({ suite, headerKey }: OracleKeys, sample: Buffer): Buffer {
  if (suite === 0x1301) return createCipheriv('aes-128-ecb', headerKey, null).update(sample)
  return createCipheriv('chacha20', headerKey, sample).update(Buffer.alloc(5))
}

/** HKDF-Expand-Label with an empty context and at most one block. */
function label(secret: Buffer, name: string, length: number): Buffer {
  const text = `tls13 ${name}`
  const info = Buffer.from(`\0${String.fromCharCode(length, text.length)}${text}\0\x01`, 'latin1')
  return createHmac('sha256', secret).update(info).digest().subarray(0, length)
}
