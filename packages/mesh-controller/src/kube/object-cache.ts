/**
 * What a Reflector remembers of each object: enough to tell on a relist what is new, changed and gone, and the
 * projection that its owner wants.
 *
 * Memory: one entry per object in a BoundedMap; names, versions and projections are charged to `kube.cache`.
 */
import { type Account, type Admission, BoundedMap } from 'weir-mesh/bounds'
import type { ObjectMeta } from './types.ts'

/** An object as it is remembered. */
export interface CachedObject<P> {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly resourceVersion: string
  readonly projection: P
}

interface Entry<P> extends CachedObject<P> {
  // The round of lists in which the object was seen last.
  round: number
}

export class ObjectCache<P> implements Disposable {
  readonly #entries: BoundedMap<string, Entry<P>>

  constructor(account: Account, bytesOf: (projection: P) => number) {
    this.#entries = new BoundedMap<string, Entry<P>>(account, {
      evict: 'oldest',
      bytesOf: (key, entry) =>
        key.length +
        entry.namespace.length +
        entry.name.length +
        entry.uid.length +
        entry.resourceVersion.length +
        bytesOf(entry.projection),
    })
  }

  get size(): number {
    return this.#entries.size
  }

  get(namespace: string, name: string): CachedObject<P> | undefined {
    return this.#entries.peek(keyOf(namespace, name))
  }

  /** Remembers an object, in this round. @returns `ok`, or why it is not remembered; an older entry is then gone. */
  set(meta: ObjectMeta, projection: P, round: number): Admission {
    const namespace = meta.namespace ?? ''
    const key = keyOf(namespace, meta.name)
    const admission = this.#entries.set(key, {
      namespace,
      name: meta.name,
      uid: meta.uid ?? '',
      resourceVersion: meta.resourceVersion ?? '',
      projection,
      round,
    })
    if (admission !== 'ok') this.#entries.delete(key)
    return admission
  }

  /** The object was seen unchanged in this round. */
  touch(namespace: string, name: string, round: number): void {
    const entry = this.#entries.peek(keyOf(namespace, name))
    if (entry) entry.round = round
  }

  delete(namespace: string, name: string): void {
    this.#entries.delete(keyOf(namespace, name))
  }

  /** Objects of a namespace (of all when undefined) that this round did not see; they stay until deleted. */
  missing(namespace: string | undefined, round: number): CachedObject<P>[] {
    const missing: CachedObject<P>[] = []
    for (const entry of this.#entries.values()) {
      if (entry.round !== round && (namespace === undefined || entry.namespace === namespace)) {
        missing.push(entry)
      }
    }
    return missing
  }

  values(): IterableIterator<CachedObject<P>> {
    return this.#entries.values()
  }

  [Symbol.dispose](): void {
    this.#entries[Symbol.dispose]()
  }
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`
}
