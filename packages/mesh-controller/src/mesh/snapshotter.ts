/**
 * Writes a snapshot of the own objects: reads them from the API in pages and hands them to the machine one by one.
 * Waits for room in the own log before each, so memory does not depend on how many there are.
 *
 * A page that fails is asked for again a few times. A list that fails or leads back to itself, or a store without room,
 * gives the snapshot up and begins another one after a delay; the receivers then replace the first. One that is refused
 * holds only the end back: without it nothing counts as absent, and what is put and deleted acts at once.
 */
import {
  abortable,
  Backoff,
  describeError,
  type Heartbeat,
  isWeirError,
  type Random,
  type Scope,
} from 'weir-mesh/runtime'
import {
  type Collection,
  isKubeError,
  isRefusal,
  type KubeClient,
  KubeError,
  type KubeObject,
  PageTurns,
  type ResourceRef,
} from '../kube/index.ts'
import type { ClusterIdentity } from './cluster-identity.ts'
import { placeOf, refusalOf } from './coverage.ts'
import type { ObjectName } from './names.ts'
import { observeWithContent } from './observation.ts'
import type { ReplicationEvent } from './replication-machine.ts'

export interface WatchedResource {
  /** `group/Kind`. */
  readonly name: string
  readonly ref: ResourceRef
  /** Undefined for all namespaces, and for cluster-scoped kinds. */
  readonly namespaces: readonly string[] | undefined
}

export interface SnapshotterOptions {
  readonly scope: Scope
  readonly client: KubeClient
  readonly random: Random
  readonly heartbeat: Heartbeat
  readonly cluster: ClusterIdentity
  readonly resources: () => readonly WatchedResource[]
  /** What the watch knows of a kind in a namespace. */
  readonly collection: (
    resource: WatchedResource,
    namespace: string | undefined,
  ) => Collection | undefined
  /** What the own objects take, as known now. */
  readonly bytes: () => number
  /** Objects born here, as known now. */
  readonly count: () => number
  readonly dispatch: (event: ReplicationEvent) => void
  /** See `OwnLog.inRoomOfSnapshot` and `inRoomOfBegin`. */
  readonly inRoom: (act: () => void) => Promise<void>
  readonly inRoomOfBegin: (act: () => void) => Promise<void>
  /** Settles when the store has all that was said so far; see `OwnLog.kept`. */
  readonly kept: () => Promise<void>
  /** Own objects that were not listed, or not as they could travel: they are named, so that nobody deletes them. */
  readonly unsent: () => Iterable<ObjectName>
  /** The store has no room for the snapshot: see `OwnLog.giveUp`. */
  readonly giveUp: () => void
  /** Takes the own object that the last item was too old for, if there was one. */
  readonly takeStale: () => ObjectName | undefined
}

interface Place {
  readonly resource: WatchedResource
  readonly namespace: string | undefined
}

const PAGE_OBJECTS = 128
/** A request is tried so often: with thousands of pages, some that fail must not begin it all anew. */
const TRIES_MAX = 6
const GIVEN_UP_MS_MAX = 30_000
/** As long as nothing has become less, a store without room is not asked more often. */
const FULL_MS_MAX = 300_000

export class Snapshotter {
  readonly #options: SnapshotterOptions
  readonly #backoff: Backoff
  #running = false
  #wanted = false
  #written = 0
  #held = ''
  #full = ''
  /** What the own objects took when the store had no room for them. */
  #fullBytes = 0
  #missing: readonly string[] = Object.freeze([])
  #wake: (() => void) | undefined

  constructor(options: SnapshotterOptions) {
    this.#options = options
    this.#backoff = new Backoff(options.random, { firstMs: 500, mostMs: FULL_MS_MAX })
    options.heartbeat.idle()
  }

  /** Snapshots that were completed. */
  get written(): number {
    return this.#written
  }

  /** Whether one is being written, or waits to begin again; one that waits for its end leaves the log to others. */
  get running(): boolean {
    return this.#running && this.#held === ''
  }

  /** Why the last one was given up when the store had no room for it, with what to do; else empty. */
  get full(): string {
    return this.#full
  }

  /** What the end waits for and what to do, empty when it waits for nothing. */
  get held(): string {
    return this.#held
  }

  /** Kinds and namespaces that the end waits for. */
  get missing(): readonly string[] {
    return this.#missing
  }

  /** Something was listed that could not be: the end may have waited for it. */
  listed(): void {
    if (this.#held !== '') this.#wake?.()
  }

  /** The own objects are others now: one that found no room may fit when they have become less. */
  changed(): void {
    if (this.#full !== '' && this.#options.bytes() < this.#fullBytes) this.#wake?.()
  }

  /** Wants a snapshot; one that is being written counts for it, and one that waits for its end is begun anew. */
  request(): void {
    if (this.running) return
    this.#wanted = true
    if (this.#held !== '') this.#wake?.()
    if (this.#running || this.#options.scope.closed) return
    this.#running = true
    this.#options.scope.spawn('snapshot', (signal) => this.#run(signal))
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { scope, heartbeat } = this.#options
    try {
      while (this.#wanted && !signal.aborted) {
        this.#wanted = false
        heartbeat.beat()
        try {
          if (await this.#write(signal)) this.#written++
          this.#full = ''
          this.#backoff.reset()
        } catch (error) {
          if (signal.aborted) return
          const full = isWeirError(error, 'OWN_LOG_FULL')
          if (!full && !(error instanceof KubeError)) throw error
          this.#full = full ? describeError(error) : ''
          if (full) this.#options.giveUp()
          this.#options.dispatch({ type: 'snapshot-abort' })
          this.#wanted = true
          const delayMs = this.#backoff.next()
          scope.log.warn('the snapshot has to begin again', {
            error: describeError(error),
            delayMs: full ? delayMs : Math.min(delayMs, GIVEN_UP_MS_MAX),
          })
          heartbeat.idle()
          await this.#rest(delayMs, signal)
        }
      }
      heartbeat.idle()
    } catch (error) {
      if (!signal.aborted) heartbeat.stop(describeError(error))
      throw error
    } finally {
      this.#running = false
    }
  }

  /** @returns whether it was ended; otherwise another one is wanted in its place. */
  async #write(signal: AbortSignal): Promise<boolean> {
    const { cluster, count, dispatch, inRoom, inRoomOfBegin, resources } = this.#options
    await cluster.check(signal)
    await inRoomOfBegin(() =>
      dispatch({ type: 'snapshot-begin', cluster: cluster.uid, count: count() }),
    )
    let left: readonly Place[] = resources().flatMap((resource) =>
      (resource.namespaces ?? [undefined]).map((namespace) => ({ resource, namespace })),
    )
    const waits = new Backoff(this.#options.random, { firstMs: 500, mostMs: 30_000 })
    try {
      for (;;) {
        left = await this.#listAll(left, signal)
        if (left.length === 0) break
        await inRoom(() => dispatch({ type: 'snapshot-flush' }))
        await this.#hold(waits.next(), signal)
        if (this.#wanted) return false
        await cluster.check(signal)
      }
    } finally {
      this.#held = ''
      this.#missing = Object.freeze([])
    }
    for (const name of this.#options.unsent()) {
      this.#options.heartbeat.beat()
      await inRoom(() => dispatch({ type: 'snapshot-held', name }))
    }
    await inRoom(() => {})
    // The address may lead to another cluster since the begin, and what that one lacks is not deleted.
    await this.#asked(() => cluster.check(signal), signal)
    await inRoom(() => dispatch({ type: 'snapshot-end' }))
    // What still waits may find the store full: then another one would be asked for at once, and again.
    this.#options.heartbeat.idle()
    await this.#options.kept()
    return true
  }

  /** @returns those that are refused. */
  async #listAll(places: readonly Place[], signal: AbortSignal): Promise<Place[]> {
    const refused: Place[] = []
    let held = ''
    for (const place of places) {
      const problem = await this.#listOne(place, signal)
      if (problem === undefined) continue
      refused.push(place)
      held ||= problem
    }
    if (held !== '' && this.#held === '') {
      this.#options.scope.log.warn('a snapshot cannot end yet', { reason: held })
    }
    this.#held = held
    this.#missing = refused.map(({ resource, namespace }) => placeOf(resource, namespace))
    return refused
  }

  /** @returns why a place is refused, undefined when it was listed. */
  async #listOne({ resource, namespace }: Place, signal: AbortSignal): Promise<string | undefined> {
    const name = placeOf(resource, namespace)
    // Only what the watch has listed is known to be born here; the rest would be left out, and then be deleted elsewhere.
    const known = this.#options.collection(resource, namespace)
    if (!known?.listed) {
      const problem = known?.problem ?? ''
      return known?.refused ? refusalOf(name, problem) : `${name} are not listed yet: ${problem}`
    }
    try {
      await this.#list(resource, namespace, known.version, signal)
      return undefined
    } catch (error) {
      if (!isRefusal(error)) throw error
      return refusalOf(name, describeError(error))
    }
  }

  /** A store without room is left alone for longer, until the own objects have become less. */
  async #rest(delayMs: number, signal: AbortSignal): Promise<void> {
    const { scope, bytes } = this.#options
    this.#fullBytes = bytes()
    await scope.sleep(Math.min(delayMs, GIVEN_UP_MS_MAX))
    if (this.#full === '' || delayMs <= GIVEN_UP_MS_MAX || bytes() < this.#fullBytes) return
    await this.#woken('snapshot rest', delayMs - GIVEN_UP_MS_MAX, signal)
  }

  /** Waits until it may have changed, or a snapshot is wanted in place of this one. */
  async #hold(delayMs: number, signal: AbortSignal): Promise<void> {
    const { heartbeat } = this.#options
    if (this.#wanted) return
    heartbeat.idle()
    await this.#woken('snapshot end', delayMs, signal)
    heartbeat.beat()
  }

  async #woken(name: string, delayMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    const timer = this.#options.scope.timer(name, delayMs, resolve)
    try {
      await abortable(promise, signal)
    } finally {
      timer.cancel()
      this.#wake = undefined
    }
  }

  /** Asks again after a wait, as long as the answer may be another one. */
  async #asked<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { scope, heartbeat, random } = this.#options
    const waits = new Backoff(random, { mostMs: 5_000 })
    for (;;) {
      try {
        return await ask()
      } catch (error) {
        if (!isKubeError(error) || !error.retryable || signal.aborted) throw error
        const delayMs = waits.next()
        if (waits.failures >= TRIES_MAX) throw error
        heartbeat.idle()
        await scope.sleep(delayMs)
        heartbeat.beat()
      }
    }
  }

  async #list(
    resource: WatchedResource,
    namespace: string | undefined,
    seen: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, cluster, heartbeat } = this.#options
    let limit = PAGE_OBJECTS
    let token: string | undefined
    const pages = new PageTurns()
    for (;;) {
      heartbeat.beat()
      const page = {
        limit,
        signal,
        ...(namespace === undefined ? {} : { namespace }),
        ...(token === undefined ? {} : { continue: token }),
      }
      try {
        const {
          items,
          resourceVersion,
          continue: next,
        } = await this.#asked(() => client.list(resource.ref, page), signal)
        cluster.checkVersion(seen, resourceVersion)
        if (items[0]) pages.object(items[0].metadata)
        pages.turn(next ?? '')
        for (const object of items) await this.#item(resource, object, signal)
        if (next === undefined) return
        token = next
      } catch (error) {
        if (!isKubeError(error, 'KUBE_RESPONSE_TOO_LARGE')) throw error
        // Large objects: the same page in smaller steps, and one that is too large alone does not travel.
        if (limit > 1) limit >>= 1
        else {
          token = await this.#asked(() => client.passOver(resource.ref, page), signal)
          if (token === undefined) return
          pages.turn(token)
        }
      }
    }
  }

  async #item(resource: WatchedResource, object: KubeObject, signal: AbortSignal): Promise<void> {
    await this.#dispatch(resource, object)
    const stale = this.#options.takeStale()
    if (!stale) return
    try {
      const namespace = stale.namespace === '' ? undefined : stale.namespace
      await this.#dispatch(
        resource,
        await this.#asked(
          () => this.#options.client.get(resource.ref, namespace, stale.name, { signal }),
          signal,
        ),
      )
      this.#options.takeStale()
    } catch (error) {
      // Deleted meanwhile: its deletion is published by the watch.
      if (!(error instanceof KubeError && error.code === 'KUBE_NOT_FOUND')) throw error
    }
  }

  async #dispatch(resource: WatchedResource, object: KubeObject): Promise<void> {
    const { observed, content } = observeWithContent(object)
    if (observed.owner !== '' || !content) return // what cannot travel is named at the end, see `unsent`
    const { name, namespace } = object.metadata
    await this.#options.inRoom(() =>
      this.#options.dispatch({
        type: 'snapshot-item',
        name: { resource: resource.name, namespace: namespace ?? '', name },
        version: observed.version,
        hash: observed.hash,
        content,
      }),
    )
  }
}
