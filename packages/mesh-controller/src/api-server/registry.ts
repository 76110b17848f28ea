/**
 * The kinds that are served now, each with its validator.
 *
 * Memory: one entry per version of a kind, planned as `api.kinds`.
 */
import { type Account, BoundedMap } from 'weir-mesh/bounds'
import { type JsonObject, stringifyJson } from '../kube/index.ts'
import { DEFINITION, EVENT, type Kind, NAMESPACE } from './kind.ts'
import type { Cause } from './status.ts'
import type { Validator } from './validate.ts'

export interface ServedKind {
  readonly kind: Kind
  readonly validate: Validator
}

/** Bytes of a schema as a tree and as compiled validator, for each byte of its text; measured. */
const SCHEMA_FACTOR = 2

const NO_CAUSES: readonly Cause[] = Object.freeze([])

export class Registry implements Disposable {
  readonly #kinds: BoundedMap<string, ServedKind>

  constructor(account: Account) {
    this.#kinds = new BoundedMap<string, ServedKind>(account, {
      evict: 'oldest',
      bytesOf: (_key, { kind }) =>
        kind.schema ? SCHEMA_FACTOR * stringifyJson(kind.schema).length : 0,
    })
    for (const kind of [NAMESPACE, EVENT, DEFINITION]) {
      this.add({ kind, validate: (_object: JsonObject) => [...NO_CAUSES] })
    }
  }

  /** @returns whether there was room. */
  add(served: ServedKind): boolean {
    const { group, version, plural } = served.kind
    return this.#kinds.set(`${group}/${version}/${plural}`, served) === 'ok'
  }

  find(group: string, version: string, plural: string): ServedKind | undefined {
    return this.#kinds.peek(`${group}/${version}/${plural}`)
  }

  remove(group: string, version: string, plural: string): void {
    this.#kinds.delete(`${group}/${version}/${plural}`)
  }

  /** All kinds in the order in which they were added. */
  *all(): IterableIterator<Kind> {
    for (const { kind } of this.#kinds.values()) yield kind
  }

  *inVersion(group: string, version: string): IterableIterator<Kind> {
    for (const kind of this.all()) {
      if (kind.group === group && kind.version === version) yield kind
    }
  }

  /** Versions of a group, each once, as discovery lists them. */
  versionsOf(group: string): string[] {
    const versions: string[] = []
    for (const kind of this.all()) {
      if (kind.group === group && !versions.includes(kind.version)) versions.push(kind.version)
    }
    return versions
  }

  /** Named groups, each once. */
  groups(): string[] {
    const groups: string[] = []
    for (const { group } of this.all()) {
      if (group !== '' && !groups.includes(group)) groups.push(group)
    }
    return groups
  }

  /** One kind of each collection. */
  collections(): Kind[] {
    const kinds: Kind[] = []
    for (const kind of this.all()) {
      const known = kinds.some((one) => one.group === kind.group && one.plural === kind.plural)
      if (!known) kinds.push(kind)
    }
    return kinds
  }

  [Symbol.dispose](): void {
    this.#kinds[Symbol.dispose]()
  }
}
