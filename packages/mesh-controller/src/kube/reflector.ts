/**
 * Keeps its owner told about all objects of one resource: what exists, what changes, what goes. Events of one object
 * come in order, one handler call at a time, and a handler that takes its time holds the cluster's stream back.
 *
 * Memory: an entry per object in the cache, charged to `kube.cache`; one incomplete object per namespace.
 */
import { describeError, type Heartbeats, WeirError } from 'weir-mesh/runtime'
import type { KubeClient } from './client.ts'
import type { LargeObject } from './metadata-scanner.ts'
import { type CachedObject, ObjectCache } from './object-cache.ts'
import { Pulse } from './pulse.ts'
import type { KubeObject, ResourceRef } from './types.ts'
import { type WatchFault, WatchLoop, type WatchSink } from './watch-loop.ts'

export interface ReflectorEvent<P> {
  readonly type: 'added' | 'modified' | 'deleted'
  /** Empty for a cluster-scoped object. */
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** For `deleted` a version at which it was gone. */
  readonly resourceVersion: string
  /** As the cluster sent it; for `deleted` its last state, absent when only a relist showed that it is gone. */
  readonly object: KubeObject | undefined
  /** Bytes of its JSON text, 0 without an object. */
  readonly bytes: number
  /** What was remembered of it before this event. */
  readonly previous: CachedObject<P> | undefined
  /** What is remembered now, absent for `deleted`. */
  readonly projection: P | undefined
}

export interface ReflectorOptions<P> {
  readonly client: KubeClient
  readonly resource: ResourceRef
  /** One watch each. Default: all namespaces, one watch. */
  readonly namespaces?: readonly string[]
  /** What is remembered of an object. */
  project(object: KubeObject): P
  /** Bytes of a projection, charged to `kube.cache`. Default 0. */
  bytesOf?(projection: P): number
  /** A returned promise holds the stream back. An error is logged and counted, and the event counts as delivered. */
  onEvent(event: ReflectorEvent<P>): Promise<void> | void
  /**
   * What is remembered of an object above `objectBytesMax` that was never read. Default: nothing, so that its deletion is
   * not told.
   */
  projectLarge?(large: LargeObject): P
  /** An object above `objectBytesMax`; what was remembered of it stays. */
  onLarge?(large: LargeObject, resource: ResourceRef): Promise<void> | void
  /** Every namespace was listed for the first time. */
  onSynced?(): void
  /**
   * Before a list that is not the first, and before what such a list lacks counts as deleted: what it throws ends the
   * attempt, and it is tried again after a wait.
   */
  beforeRelist?(): Promise<void>
  /** Before a watch that does not follow its own list; as `beforeRelist`. */
  beforeWatch?(): Promise<void>
  /** A list or a watch of this namespace has ended with this error; it is tried again. */
  onFailed?(namespace: string | undefined, error: unknown): void
  /** A list was completed; `again` from the second on. */
  onListed?(namespace: string | undefined, again: boolean): Promise<void> | void
  readonly heartbeats?: Heartbeats
  /** Objects per page of a list. Default 500. */
  readonly pageLimit?: number
  /** Length of one watch, drawn from this range. Default 300 to 600. */
  readonly watchSeconds?: { readonly min: number; readonly max: number }
  /** Silence that is allowed before the interval of bookmarks is known. Default 150 000 ms. */
  readonly silenceMsMax?: number
  /** Waits after failures. Default 800 to 30 000 ms. */
  readonly backoffMs?: { readonly first: number; readonly most: number }
  /** For tests: holds or fails a loop. */
  readonly fault?: WatchFault
}

export interface ReflectorState {
  readonly synced: boolean
  readonly objects: number
  readonly lists: number
  readonly watches: number
  /** Objects that were too many or too large to be remembered, since the start. */
  readonly notRemembered: number
  /** The last failures of loops that have not recovered, empty when all is well. */
  readonly problem: string
}

/** One namespace of the resource, or all of them: what one list shows. */
export interface Collection {
  readonly namespace: string | undefined
  /** Whether it was listed once. */
  readonly listed: boolean
  /** What went wrong last, empty when the last step went well. */
  readonly problem: string
  /** Whether the server refused it: what a person has to mend. */
  readonly refused: boolean
  /** The newest version that was seen of it; empty before it was listed. */
  readonly version: string
}

interface LoopState {
  readonly namespace: string | undefined
  readonly loop: WatchLoop
  readonly pulse: Pulse
  listedOnce: boolean
}

export class Reflector<P> implements AsyncDisposable {
  readonly resource: ResourceRef
  readonly #options: ReflectorOptions<P>
  readonly #scope
  readonly #cache: ObjectCache<P>
  readonly #loops: readonly LoopState[]
  #turn: Promise<void> = Promise.resolve()
  #round = 0
  #waitingForFirst: number
  #notRemembered = 0

  constructor(options: ReflectorOptions<P>) {
    const { client, resource } = options
    const namespaces: readonly (string | undefined)[] =
      resource.namespaced && options.namespaces ? options.namespaces : [undefined]
    if (namespaces.length === 0) {
      throw new WeirError(
        'KUBE_NO_NAMESPACE',
        `${resource.plural}: the list of namespaces is empty`,
      )
    }
    this.resource = resource
    this.#options = options
    this.#scope = client.scope.child(`reflector ${resource.plural}`)
    const cache = client.ledger.require(client.terms.cache, { label: resource.plural })
    this.#cache = new ObjectCache<P>(cache, (projection) => options.bytesOf?.(projection) ?? 0)
    this.#scope.own('cache', this.#cache)
    this.#waitingForFirst = namespaces.length
    try {
      this.#loops = Object.freeze(namespaces.map((namespace) => this.#start(namespace)))
    } catch (error) {
      void this.#scope.close() // what was begun ends; closing never fails
      throw error
    }
  }

  /** Whether every namespace was listed once. */
  get synced(): boolean {
    return this.#waitingForFirst === 0
  }

  get state(): ReflectorState {
    let problem = ''
    let lists = 0
    let watches = 0
    for (const state of this.#loops) {
      lists += state.loop.lists
      watches += state.loop.watches
      problem ||= collectionOf(state).problem
    }
    return {
      synced: this.synced,
      objects: this.#cache.size,
      lists,
      watches,
      notRemembered: this.#notRemembered,
      problem,
    }
  }

  /** One by one, what `state` says of all. */
  *collections(): IterableIterator<Collection> {
    for (const state of this.#loops) yield collectionOf(state)
  }

  collection(namespace: string | undefined): Collection {
    return collectionOf(this.#stateOf(namespace))
  }

  /** What is remembered of an object; the namespace is empty for a cluster-scoped one. */
  get(namespace: string, name: string): CachedObject<P> | undefined {
    return this.#cache.get(namespace, name)
  }

  /** All that is remembered. */
  values(): IterableIterator<CachedObject<P>> {
    return this.#cache.values()
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #start(namespace: string | undefined): LoopState {
    const { client, resource, heartbeats, fault } = this.#options
    const label = namespace === undefined ? resource.plural : `${resource.plural}/${namespace}`
    const account = client.ledger.require(client.terms.streams, { label })
    account.require(0, 1)
    this.#scope.defer('stream account', () => {
      account.give(account.bytes, account.entries)
      account[Symbol.dispose]()
    })
    const pulse = this.#scope.own(
      'pulse',
      new Pulse({
        clock: this.#scope.clock,
        heartbeats,
        name: `kube-watch ${label}`,
        silenceMsMax: this.#options.silenceMsMax ?? 150_000,
      }),
    )
    const loop = new WatchLoop({
      client,
      scope: this.#scope,
      resource,
      namespace,
      account,
      pulse,
      sink: this.#sink(namespace),
      pageLimit: this.#options.pageLimit ?? 500,
      watchSeconds: this.#options.watchSeconds ?? { min: 300, max: 600 },
      backoffMs: this.#options.backoffMs ?? { first: 800, most: 30_000 },
      fault,
    })
    this.#scope.spawn(`watch ${label}`, async (signal) => {
      try {
        await loop.run(signal)
      } finally {
        if (!signal.aborted) pulse.ended('the watch loop has ended')
      }
    })
    return { namespace, loop, pulse, listedOnce: false }
  }

  /** The state of the loop of this namespace; loops run one turn after the constructor at the earliest. */
  #stateOf(namespace: string | undefined): LoopState {
    return this.#loops.find((state) => state.namespace === namespace) as LoopState
  }

  #sink(namespace: string | undefined): WatchSink {
    let round = 0
    return {
      listBegins: () => {
        this.#round++
        round = this.#round
        if (this.#stateOf(namespace).listedOnce) return this.#options.beforeRelist?.()
      },
      listed: (object, bytes) => this.#seen(object, bytes, round),
      listEnds: (version) => this.#listed(namespace, round, version),
      watched: (type, object, bytes) =>
        type === 'DELETED' ? this.#gone(object, bytes) : this.#seen(object, bytes, round),
      large: (large, listing) => this.#large(large, listing, round),
      watchBegins: () => this.#options.beforeWatch?.(),
      failed: (error) => this.#options.onFailed?.(namespace, error),
    }
  }

  #seen(object: KubeObject, bytes: number, round: number): Promise<void> | void {
    const meta = object.metadata
    const namespace = meta.namespace ?? ''
    const previous = this.#cache.get(namespace, meta.name)
    const sameObject = previous !== undefined && previous.uid === (meta.uid ?? '')
    if (sameObject && previous.resourceVersion === meta.resourceVersion) {
      this.#cache.touch(namespace, meta.name, round)
      return
    }
    const projection = this.#options.project(object)
    const before = previous && snapshot(previous)
    if (this.#cache.set(meta, projection, round) !== 'ok') this.#refused(namespace, meta.name)
    return this.#deliver({
      type: previous ? 'modified' : 'added',
      namespace,
      name: meta.name,
      uid: meta.uid ?? '',
      resourceVersion: meta.resourceVersion ?? '',
      object,
      bytes,
      previous: before,
      projection,
    })
  }

  #gone(object: KubeObject, bytes: number): Promise<void> | void {
    const meta = object.metadata
    const namespace = meta.namespace ?? ''
    const previous = this.#cache.get(namespace, meta.name)
    this.#cache.delete(namespace, meta.name)
    return this.#deliver({
      type: 'deleted',
      namespace,
      name: meta.name,
      uid: meta.uid ?? '',
      resourceVersion: meta.resourceVersion ?? '',
      object,
      bytes,
      previous: previous && snapshot(previous),
      projection: undefined,
    })
  }

  async #listed(namespace: string | undefined, round: number, version: string): Promise<void> {
    if (this.#stateOf(namespace).listedOnce) await this.#options.beforeRelist?.()
    for (const previous of this.#cache.missing(namespace, round)) {
      this.#cache.delete(previous.namespace, previous.name)
      await this.#deliver({
        type: 'deleted',
        namespace: previous.namespace,
        name: previous.name,
        uid: previous.uid,
        // Of the list: what went may have been newer than what was seen of it, as by an answer to a write.
        resourceVersion: version,
        object: undefined,
        bytes: 0,
        previous: snapshot(previous),
        projection: undefined,
      })
    }
    const state = this.#stateOf(namespace)
    const again = state.listedOnce
    state.listedOnce = true
    await this.#options.onListed?.(namespace, again)
    if (again) return
    this.#waitingForFirst--
    if (this.#waitingForFirst === 0) this.#options.onSynced?.()
  }

  async #large(large: LargeObject, listing: boolean, round: number): Promise<void> {
    const { client, resource, onLarge } = this.#options
    this.#count('kube_large_objects_total', 'Objects that were too large to be read.')
    if (large.name !== undefined) {
      const namespace = large.namespace ?? ''
      // It exists: a relist must not take it for deleted, and a watch may have said that it is.
      if (!listing && large.type === 'DELETED') await this.#goneUnread(namespace, large.name, large)
      else this.#remember(large, round)
    }
    client.log.warn('an object is too large to be read', {
      resource: resource.plural,
      namespace: large.namespace,
      name: large.name,
      bytes: large.bytes,
    })
    if (large.type === 'DELETED') return
    await this.#guard(() => onLarge?.(large, resource))
  }

  #remember(large: LargeObject, round: number): void {
    const { name = '', namespace = '', uid = '', resourceVersion = '' } = large
    const { projectLarge } = this.#options
    if (this.#cache.get(namespace, name) || !projectLarge) {
      return this.#cache.touch(namespace, name, round)
    }
    const admission = this.#cache.set(
      { name, namespace, uid, resourceVersion },
      projectLarge(large),
      round,
    )
    if (admission !== 'ok') this.#refused(namespace, name)
  }

  #goneUnread(namespace: string, name: string, large: LargeObject): Promise<void> | void {
    const previous = this.#cache.get(namespace, name)
    if (!previous) return
    this.#cache.delete(namespace, name)
    return this.#deliver({
      type: 'deleted',
      namespace,
      name,
      uid: previous.uid,
      resourceVersion: large.resourceVersion ?? previous.resourceVersion,
      object: undefined,
      bytes: 0,
      previous: snapshot(previous),
      projection: undefined,
    })
  }

  #refused(namespace: string, name: string): void {
    this.#notRemembered++
    this.#count('kube_cache_refused_total', 'Objects that are not remembered: the cache is full.')
    if (this.#notRemembered > 1) return
    this.#options.client.log.error('the cache is full: deletes of further objects can be missed', {
      resource: this.resource.plural,
      namespace,
      name,
    })
  }

  /** One handler call at a time, also when several namespaces are watched. */
  #deliver(event: ReflectorEvent<P>): Promise<void> | void {
    if (this.#loops.length <= 1) return this.#guard(() => this.#options.onEvent(event))
    this.#turn = this.#turn.then(() => this.#guard(() => this.#options.onEvent(event)))
    return this.#turn
  }

  #guard(run: () => Promise<void> | void): Promise<void> | void {
    try {
      const result = run()
      if (result) return result.catch((error: unknown) => this.#handlerFailed(error))
    } catch (error) {
      this.#handlerFailed(error)
    }
  }

  #handlerFailed(error: unknown): void {
    if (this.#scope.closed) return
    this.#count('kube_handler_failures_total', 'Event handlers that threw.')
    this.#options.client.log.error('an event handler failed', {
      resource: this.resource.plural,
      error: describeError(error),
    })
  }

  #count(name: string, help: string): void {
    this.#scope.counters.counter(name, help).add()
  }
}

function collectionOf({ namespace, loop, pulse, listedOnce }: LoopState): Collection {
  return {
    namespace,
    listed: listedOnce,
    problem: loop.problem || (pulse.stalled ? 'the watch is silent' : ''),
    refused: loop.refused,
    version: loop.version,
  }
}

/** The cache's own entry changes with the next event. */
function snapshot<P>(cached: CachedObject<P>): CachedObject<P> {
  const { namespace, name, uid, resourceVersion, projection } = cached
  return { namespace, name, uid, resourceVersion, projection }
}
