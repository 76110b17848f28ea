/** How the terms of the Kubernetes client are filled for `npm run costs`. */
import type { Account, CostCase } from 'weir-mesh/bounds'
import { HeldBytes } from './held-bytes.ts'
import { DEFAULT_KUBE_LIMITS, kubeTerms } from './memory.ts'
import { ObjectCache } from './object-cache.ts'

const OBJECTS = 4_096
/** Key, namespace, name, uid and version of an object as in the demo. */
const NAME_BYTES = 16 + 7 + 8 + 36 + 13

const terms = kubeTerms({
  ...DEFAULT_KUBE_LIMITS,
  objectsMax: OBJECTS,
  cacheBytesMax: OBJECTS * NAME_BYTES,
})

/** A string of its own, as one that comes from a parsed text is. */
const own = (text: string) => Buffer.from(text).toString('latin1')

function fillCache(account: Account, index: number): unknown {
  const cache = new ObjectCache<undefined>(account, () => 0)
  for (let at = 0; at < account.term.entriesMax; at++) {
    const number = String(1_000_000 + at)
    const meta = {
      namespace: own('default'),
      name: own(`w${number}`),
      uid: own(`${String(index).padStart(8, '0')}-0000-4000-8000-${number.padStart(12, '0')}`),
      resourceVersion: own(`1795547${number.slice(1)}`),
    }
    cache.set(meta, undefined, 1)
  }
  return cache
}

function fillStream(account: Account): unknown {
  account.require(0, 1)
  const held = new HeldBytes(account)
  held.append(Buffer.alloc(account.term.payloadBytesMax, 1))
  // What node:http reads ahead: one chunk of its high-water mark.
  return [held, Buffer.alloc(64 * 1024, 1)]
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.cache, fill: fillCache },
  { term: terms.streams, fill: fillStream },
])
