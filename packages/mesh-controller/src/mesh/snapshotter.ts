/**
 * Writes a snapshot of the own objects: reads them from the API in pages and hands them to the machine one by one.
 * Waits for room in the own log before each, so memory does not depend on how many there are.
 *
 * A list that fails gives the snapshot up and begins another one after a delay; the receivers then replace the first.
 */
import { Backoff, describeError, type Heartbeat, type Random, type Scope } from 'weir-mesh/runtime'
import { type KubeClient, KubeError, type KubeObject, type ResourceRef } from '../kube/index.ts'
import type { ClusterIdentity } from './cluster-identity.ts'
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
  /** Objects born here, as known now. */
  readonly count: () => number
  readonly dispatch: (event: ReplicationEvent) => void
  readonly room: () => Promise<void>
  readonly roomForBegin: () => Promise<void>
  /** Takes the own object that the last item was too old for, if there was one. */
  readonly takeStale: () => ObjectName | undefined
}

const PAGE_OBJECTS = 128

export class Snapshotter {
  readonly #options: SnapshotterOptions
  readonly #backoff: Backoff
  #running = false
  #wanted = false
  #written = 0

  constructor(options: SnapshotterOptions) {
    this.#options = options
    this.#backoff = new Backoff(options.random, { firstMs: 500, mostMs: 30_000 })
    options.heartbeat.idle()
  }

  /** Snapshots that were completed. */
  get written(): number {
    return this.#written
  }

  get running(): boolean {
    return this.#running
  }

  /** Wants a snapshot; one that is being written counts for it. */
  request(): void {
    this.#wanted = true
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
          await this.#write(signal)
          this.#written++
          this.#backoff.reset()
        } catch (error) {
          if (signal.aborted) return
          if (!(error instanceof KubeError)) throw error
          this.#options.dispatch({ type: 'snapshot-abort' })
          this.#wanted = true
          const delayMs = this.#backoff.next()
          scope.log.warn('the snapshot has to begin again', {
            error: describeError(error),
            delayMs,
          })
          heartbeat.idle()
          await scope.sleep(delayMs)
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

  async #write(signal: AbortSignal): Promise<void> {
    const { cluster, count, dispatch, room, roomForBegin, resources } = this.#options
    await cluster.check(signal)
    await roomForBegin()
    dispatch({ type: 'snapshot-begin', cluster: cluster.uid, count: count() })
    for (const resource of resources()) {
      for (const namespace of resource.namespaces ?? [undefined]) {
        await this.#list(resource, namespace, signal)
      }
    }
    await room()
    dispatch({ type: 'snapshot-end' })
  }

  async #list(
    resource: WatchedResource,
    namespace: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    let limit = PAGE_OBJECTS
    let token: string | undefined
    do {
      this.#options.heartbeat.beat()
      try {
        const page = await this.#options.client.list(resource.ref, {
          limit,
          signal,
          ...(namespace === undefined ? {} : { namespace }),
          ...(token === undefined ? {} : { continue: token }),
        })
        for (const object of page.items) await this.#item(resource, object, signal)
        token = page.continue
      } catch (error) {
        // Large objects: the same page in smaller steps.
        if (
          !(error instanceof KubeError && error.code === 'KUBE_RESPONSE_TOO_LARGE') ||
          limit === 1
        )
          throw error
        limit = Math.max(limit >> 1, 1)
      }
    } while (token !== undefined)
  }

  async #item(resource: WatchedResource, object: KubeObject, signal: AbortSignal): Promise<void> {
    await this.#options.room()
    this.#dispatch(resource, object)
    const stale = this.#options.takeStale()
    if (!stale) return
    try {
      const namespace = stale.namespace === '' ? undefined : stale.namespace
      this.#dispatch(
        resource,
        await this.#options.client.get(resource.ref, namespace, stale.name, { signal }),
      )
      this.#options.takeStale()
    } catch (error) {
      // Deleted meanwhile: its deletion is published by the watch.
      if (!(error instanceof KubeError && error.code === 'KUBE_NOT_FOUND')) throw error
    }
  }

  #dispatch(resource: WatchedResource, object: KubeObject): void {
    const { observed, content } = observeWithContent(object)
    if (observed.owner !== '') return
    const { name, namespace } = object.metadata
    this.#options.dispatch({
      type: 'snapshot-item',
      name: { resource: resource.name, namespace: namespace ?? '', name },
      version: observed.version,
      hash: observed.hash,
      content,
    })
  }
}
