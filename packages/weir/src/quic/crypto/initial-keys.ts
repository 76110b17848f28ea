/**
 * The keys of Initial packets (RFC 9001 section 5.2): anyone who sees the connection id has them.
 */
import type { LevelSecrets, PacketKeys } from '../contract.ts'
import { AES_128_GCM } from './aead.ts'
import { expandLabel, HASH_BYTES, hkdfExtract } from './hkdf.ts'
import { packetKeys } from './packet-keys.ts'

const salt = Uint8Array.from(Buffer.from('38762cf7f55934b34d179ae6a4c80cadccbb7f0a', 'hex'))

/** Keys of one level, for both directions, seen from this side. */
export interface LevelKeys {
  readonly read: PacketKeys
  readonly write: PacketKeys
}

/** @param id The destination connection id of the client's first Initial packet, or of the Retry that it answers. */
export function initialKeys(id: Uint8Array, role: 'client' | 'server'): LevelKeys {
  const secret = hkdfExtract(salt, id)
  const client = initialDirection(secret, 'client in')
  const server = initialDirection(secret, 'server in')
  return role === 'client' ? { read: server, write: client } : { read: client, write: server }
}

function initialDirection(secret: Uint8Array, label: string): PacketKeys {
  return packetKeys(AES_128_GCM, expandLabel(secret, label, HASH_BYTES))
}

/** The keys for secrets that TLS gave; they are copied. */
export function levelKeys(secrets: LevelSecrets): LevelKeys {
  return {
    read: packetKeys(secrets.suite, secrets.read, true),
    write: packetKeys(secrets.suite, secrets.write),
  }
}
