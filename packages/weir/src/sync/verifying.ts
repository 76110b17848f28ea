/** How the signatures of a batch are verified: in this thread, or on the thread pool of Node. */
import {
  type Header,
  type Verifier,
  type VerifyPool,
  verifyHeader,
  verifySignature,
} from '../core/index.ts'
import { WeirError } from '../runtime/index.ts'

export interface BatchVerifier {
  /** One answer for each header, in order. A rejection says that they could not be verified at all. */
  verify(headers: readonly Header[]): Promise<readonly boolean[]>
}

/** In this thread: about 8 ms for a batch of 64, one batch at a time. */
export function verifyHere(verifier: Verifier): BatchVerifier {
  return {
    verify: async (headers) => headers.map((header) => verifyHeader(header, verifier)),
  }
}

/** On the thread pool, so that this thread is free and several work at once. */
export function verifyOnPool(pool: VerifyPool): BatchVerifier {
  return {
    verify: (headers) =>
      new Promise((resolve, reject) => {
        const answers: boolean[] = new Array(headers.length).fill(false)
        let left = headers.length
        const answer = (at: number, valid: boolean | undefined) => {
          if (valid === undefined) reject(new WeirError('CLOSED', 'the verify pool was closed'))
          answers[at] = valid ?? false
          if (--left === 0) resolve(answers)
        }
        for (const [at, message] of signedMessages(headers)) {
          const { author, signature } = headers[at]!
          const admission = pool.submit(author, message, signature, (valid) => answer(at, valid))
          // A pool that is full of other topics' work is no reason to wait: this thread can do it too.
          if (admission !== 'ok') answer(at, verifySignature(author, message, signature))
        }
      }),
  }
}

/** What was signed, in one buffer for the batch: one of its own for each costs an allocation outside the heap. */
function* signedMessages(headers: readonly Header[]): IterableIterator<[number, Uint8Array]> {
  let bytes = 0
  for (const header of headers) bytes += header.signedLength
  const buffer = new Uint8Array(bytes)
  let start = 0
  for (const [at, header] of headers.entries()) {
    header.writeSigned(buffer, start)
    const end = start + header.signedLength
    yield [at, buffer.subarray(start, end)]
    start = end
  }
}
