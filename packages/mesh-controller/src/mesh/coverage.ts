/**
 * What of the configured kinds and namespaces can be read. One that is refused holds up nothing else: the zone begins when
 * each of them was listed or refused, and at least one was listed.
 *
 * The rule: what was not listed is not said to be absent. The snapshot stays open until all were listed, so the other zones
 * keep what they have of the rest.
 *
 * Memory: the names of what is refused, at most one per configured namespace; it asks the reflectors for the rest.
 */
import type { Logger } from 'weir-mesh/runtime'
import type { Collection, Reflector } from '../kube/index.ts'
import type { WatchedResource } from './snapshotter.ts'

export interface Watched {
  readonly resource: WatchedResource
  readonly reflector: Reflector<undefined>
}

export class Coverage {
  readonly #log: Logger
  #watched: readonly Watched[] = Object.freeze([])
  #told: readonly string[] = Object.freeze([])

  constructor(log: Logger) {
    this.#log = log
  }

  /** From here on these are looked at. */
  follow(watched: readonly Watched[]): void {
    this.#watched = Object.freeze([...watched])
  }

  /** Whether replication may begin. */
  get suffices(): boolean {
    let listed = 0
    for (const collection of this.#places()) {
      if (collection.listed) listed++
      else if (!collection.refused) return false
    }
    return listed > 0
  }

  /** What is known of a kind in a namespace. */
  collection(resource: WatchedResource, namespace: string | undefined): Collection | undefined {
    const found = this.#watched.find((each) => each.resource === resource)
    return found?.reflector.collection(namespace)
  }

  /** Kinds and namespaces that are refused now, in words. */
  refused(): string[] {
    return [...this.#places()].filter(({ refused }) => refused).map(({ place }) => place)
  }

  /** Something was listed or has failed: says once what is refused and what to do. */
  changed(): void {
    for (const { place, refused, problem } of this.#places()) {
      if (!refused || this.#told.includes(place)) continue
      this.#log.error('a kind or namespace is refused', { reason: refusalOf(place, problem) })
    }
    this.#told = Object.freeze(this.refused())
  }

  /** What is wrong with the first one of which something is, with what to do; undefined when all is well. */
  get problem(): string | undefined {
    for (const { place, refused, problem } of this.#places()) {
      if (problem !== '') return refused ? refusalOf(place, problem) : `${place}: ${problem}`
    }
    return undefined
  }

  *#places(): IterableIterator<Collection & { readonly place: string }> {
    for (const { resource, reflector } of this.#watched) {
      for (const collection of reflector.collections()) {
        yield { ...collection, place: placeOf(resource, collection.namespace) }
      }
    }
  }
}

/** A kind and a namespace as people name them. */
export function placeOf({ ref }: WatchedResource, namespace: string | undefined): string {
  if (!ref.namespaced) return ref.plural
  return `${ref.plural} in ${namespace === undefined ? 'all namespaces' : `the namespace ${namespace}`}`
}

export function refusalOf(place: string, problem: string): string {
  return `${place} cannot be read (${problem}): give the account of this controller the verbs get, list and watch there, or take it out of the config; it is tried again for ever, the rest is replicated meanwhile, and nothing of it is deleted in other zones`
}
