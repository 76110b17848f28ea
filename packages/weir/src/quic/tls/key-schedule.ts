/**
 * The secrets of a handshake without pre-shared keys (RFC 8446 section 7.1).
 *
 * Memory: three secrets of 32 bytes, zeroed by `wipe`. What is handed out is the caller's to zero.
 */
import { timingSafeEqual } from 'node:crypto'
import { expandLabel, HASH_BYTES, hkdfExtract, hmacSha256, sha256 } from '../crypto/hkdf.ts'

export type Side = 'client' | 'server'

/** Traffic secrets of one level. */
export interface SidedSecrets {
  readonly client: Uint8Array
  readonly server: Uint8Array
}

const zeros: Uint8Array = new Uint8Array(HASH_BYTES)
const hashOfNothing = sha256(new Uint8Array(0))
/** Without a pre-shared key the early secret is the same for everyone. */
const earlySecret = hkdfExtract(zeros, zeros)

const derive = (secret: Uint8Array, label: string, hash: Uint8Array): Uint8Array =>
  expandLabel(secret, label, HASH_BYTES, hash)

/** The salt of the next secret. */
const derived = (secret: Uint8Array): Uint8Array => derive(secret, 'derived', hashOfNothing)

export class KeySchedule {
  #handshake: Uint8Array = zeros
  #clientFinished: Uint8Array = zeros
  #serverFinished: Uint8Array = zeros

  /** @param hash Of the messages up to ServerHello. */
  handshake(shared: Uint8Array, hash: Uint8Array): SidedSecrets {
    const secret = hkdfExtract(derived(earlySecret), shared)
    const client = derive(secret, 'c hs traffic', hash)
    const server = derive(secret, 's hs traffic', hash)
    this.#handshake = secret
    this.#clientFinished = expandLabel(client, 'finished', HASH_BYTES)
    this.#serverFinished = expandLabel(server, 'finished', HASH_BYTES)
    return { client, server }
  }

  /** @param hash Of the messages up to the Finished of the server. */
  application(hash: Uint8Array): SidedSecrets {
    const salt = derived(this.#handshake)
    const secret = hkdfExtract(salt, zeros)
    const secrets = {
      client: derive(secret, 'c ap traffic', hash),
      server: derive(secret, 's ap traffic', hash),
    }
    salt.fill(0)
    secret.fill(0)
    return secrets
  }

  /** The content of a Finished message (RFC 8446 section 4.4.4). */
  finished(side: Side, hash: Uint8Array): Uint8Array {
    return hmacSha256(side === 'client' ? this.#clientFinished : this.#serverFinished, hash)
  }

  /** In constant time. */
  isFinished(side: Side, hash: Uint8Array, received: Uint8Array): boolean {
    return received.length === HASH_BYTES && timingSafeEqual(this.finished(side, hash), received)
  }

  wipe(): void {
    // Where there was no secret yet this zeroes zeros.
    for (const secret of [this.#handshake, this.#clientFinished, this.#serverFinished]) {
      secret.fill(0)
    }
    this.#handshake = this.#clientFinished = this.#serverFinished = zeros
  }
}
