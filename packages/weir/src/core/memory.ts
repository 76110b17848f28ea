/** What the core may hold: key objects of authors, and signatures that wait for a thread. */
import {
  BUFFER_SHELL_BYTES,
  MAP_NODE_BYTES,
  OBJECT_BYTES,
  PROMISE_BYTES,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from '../bounds/index.ts'
import { ID_BYTES } from './ids.ts'

/**
 * Signatures with Node's thread pool at a time. A queue of 12 ms for one thread: as long as the thread that feeds it is
 * away with a batch of frames, an append or a collection. With 8 the verifying thread stood still for a third of a
 * catch-up. Files and names wait in the same queue, so it is not longer.
 */
export const VERIFY_RUNNING_MAX = 64
/** A job that was handed over, outside the heap: native object, copy of message and signature; 2 460 B of RSS. */
export const RUNNING_JOB_BYTES = 2_500

/** A public key alone takes less than a pair: 850 B with its map entry, measured by `npm run costs`. */
const PUBLIC_KEY_BYTES = 950

export interface CoreLimits {
  /** Authors whose key object is kept ready. Default 256; 1.1 kB each. */
  readonly verifierKeysMax?: number
  /** Signatures that wait for or are in verification. Default 256. */
  readonly verifyJobsMax?: number
  /** Bytes of their messages, once in the heap and once in the thread. Default 256 KiB; 160 kB come on top. */
  readonly verifyBytesMax?: number
}

export function coreTerms(limits: CoreLimits = {}): Terms<'verifierKeys' | 'verifyJobs'> {
  return {
    verifierKeys: term({
      name: 'core.verifier-keys',
      why: 'key objects of authors, ready for the next signature',
      arena: 'native',
      table: 'map',
      entriesMax: limits.verifierKeysMax ?? 256,
      shellBytes: PUBLIC_KEY_BYTES + MAP_NODE_BYTES + STRING_SHELL_BYTES + ID_BYTES,
      overflow: 'evict',
      shedAt: 2,
    }),
    verifyJobs: term({
      name: 'core.verify-jobs',
      why: 'signatures that wait for a verifying thread, with their messages',
      entriesMax: limits.verifyJobsMax ?? 256,
      // The job, what it calls back, the promise, and the views of message and signature.
      shellBytes: 5 * OBJECT_BYTES + PROMISE_BYTES + BUFFER_SHELL_BYTES,
      // The pool takes the bytes of its running jobs when it is opened.
      payloadBytesMax:
        (limits.verifyBytesMax ?? 256 * 1024) + VERIFY_RUNNING_MAX * RUNNING_JOB_BYTES,
      overflow: 'refuse',
    }),
  }
}
