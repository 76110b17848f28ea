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

/** A public key alone takes less than a pair: 850 B with its map entry, measured by `npm run costs`. */
const PUBLIC_KEY_BYTES = 950

export interface CoreLimits {
  /** Authors whose key object is kept ready. Default 256; 1.1 kB each. */
  readonly verifierKeysMax?: number
  /** Signatures that wait for or are in verification. Default 256. */
  readonly verifyJobsMax?: number
  /** Bytes of their messages, once in the heap and once in the thread. Default 256 KiB. */
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
      payloadBytesMax: limits.verifyBytesMax ?? 256 * 1024,
      overflow: 'refuse',
    }),
  }
}
