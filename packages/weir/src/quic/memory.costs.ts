/** How the terms of QUIC are filled for `npm run costs`. */
import type { Account, CostCase } from '../bounds/index.ts'
import { transportLimits } from '../transport/index.ts'
import { ApplicationKeys } from './connection/application-keys.ts'
import { AES_128_GCM, CHACHA20_POLY1305 } from './crypto/aead.ts'
import { levelKeys } from './crypto/initial-keys.ts'
import { quicLimits, quicTerms } from './memory.ts'

const terms = quicTerms(quicLimits(transportLimits({})))

/** A header of one byte and a number, and the sample of the header protection. */
const packet = new Uint8Array(64)

/** Keys in the middle of an update: both directions are used, and those of the phase before and after are there. */
function fillKeys(account: Account, index: number, suite: 0x1301 | 0x1303): unknown {
  const kept: ApplicationKeys[] = []
  for (let each = 0; each < account.term.entriesMax; each++) {
    if (account.take(0, 1) !== 'ok') throw new Error('a place for each connection')
    const secret = new Uint8Array(32).fill(index + each)
    const { read, write } = levelKeys({ suite, read: secret, write: secret })
    const keys = new ApplicationKeys(read, write, 1, 2)
    keys.sealed(0)
    keys.update(0)
    keys.forPacket(1 - keys.phase, 2)
    for (const used of [keys.read, keys.write]) used.unmask(packet, 0, 1)
    kept.push(keys)
  }
  return kept
}

export const costs: readonly CostCase[] = Object.freeze([
  {
    term: terms.keys,
    variant: 'AES',
    fill: (account: Account, index: number) => fillKeys(account, index, AES_128_GCM),
  },
  {
    term: terms.keys,
    variant: 'ChaCha20',
    fill: (account: Account, index: number) => fillKeys(account, index, CHACHA20_POLY1305),
  },
])
