/** How the terms of core are filled for `npm run costs`. */
import { type Account, type CostCase, Ledger, planMemory } from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import { seededRandom } from '../runtime/index.ts'
import { KeyPair } from './keys.ts'
import { coreTerms } from './memory.ts'
import { Verifier } from './verifier.ts'
import { VerifyPool } from './verify-pool.ts'

/** A usual header is signed over about this many bytes; a message counts twice. */
const MESSAGE_BYTES = 150
/** Many, so that what runs outside the heap, planned and not measured here, is a small part. */
const JOBS = 2_048

const terms = coreTerms({ verifyJobsMax: JOBS, verifyBytesMax: JOBS * 2 * MESSAGE_BYTES })
const signer = KeyPair.fromSeed(new Uint8Array(32).fill(1))
const signature = signer.sign(new Uint8Array(MESSAGE_BYTES))

/** As many authors as the term has room for. */
function fillKeys(account: Account, index: number): unknown {
  const random = seededRandom(index)
  const verifier = new Verifier(account)
  for (let count = 0; count < account.term.entriesMax; count++) {
    verifier.admit(KeyPair.generate(random).id, signature)
  }
  return verifier
}

/** Jobs that wait for threads that never answer. */
function fillJobs(account: Account): unknown {
  const keys = coreTerms({ verifierKeysMax: 1 }).verifierKeys
  const ledger = new Ledger(planMemory([keys], { limitBytes: 2 ** 30 }))
  const verifier = new Verifier(ledger.require(keys))
  const pool = new VerifyPool(account, verifier, { offload() {} })
  const message = new Uint8Array(MESSAGE_BYTES)
  const held: { answer: Promise<boolean> | undefined }[] = []
  for (let count = 0; count < account.term.entriesMax; count++) {
    held.push({ answer: pool.verify(signer.id, copyBytes(message), signature.subarray(0)) })
  }
  return [pool, held]
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.verifierKeys, fill: fillKeys },
  { term: terms.verifyJobs, fill: fillJobs },
])
