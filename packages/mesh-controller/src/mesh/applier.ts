/**
 * Writes one object to the API server: creates it, patches it, or deletes it, each with a precondition, so that nothing
 * is overwritten that was not seen. What to do after a failure is the machine's matter.
 *
 * Memory: the objects of one write, charged to `mesh.applies`.
 */

import type { Account } from 'weir-mesh/bounds'
import { logId } from 'weir-mesh/core'
import { abortable, type Logger, WeirError } from 'weir-mesh/runtime'
import type { LogStore } from 'weir-mesh/store'
import {
  apiVersionOf,
  diffPatch,
  isJsonObject,
  type JsonObject,
  type KubeClient,
  KubeError,
  type KubeObject,
  type ResourceRef,
} from '../kube/index.ts'
import { contentOf, countItems, decodeContent } from './content.ts'
import type { Action } from './decide.ts'
import {
  OWNER_CLUSTER_ANNOTATION,
  OWNER_POSITION_ANNOTATION,
  OWNER_VERSION_ANNOTATION,
  OWNER_ZONE_LABEL,
} from './markers.ts'
import { APPLY_BYTES_PER_BYTE, APPLY_BYTES_PER_ITEM } from './memory.ts'
import { describeObject } from './names.ts'
import { observe } from './observation.ts'
import { formatPosition, type Position } from './position.ts'
import { decodeBody } from './protocol.ts'
import type { Outcome } from './replication-machine.ts'
import { type Desired, isState, type Observed, type Row } from './row.ts'
import type { Zone } from './zone.ts'

export interface ApplierOptions {
  readonly client: KubeClient
  readonly store: LogStore
  /** Of `mesh.applies`: an entry per write, and what its objects take. */
  readonly account: Account
  readonly log: Logger
  /** The collection of a configured resource, by `group/Kind` and namespace. */
  readonly resourceOf: (resource: string, namespace: string) => ResourceRef | undefined
  readonly signal: AbortSignal
}

/** What has to be written, to which version of the object, and that object as it is known. */
interface Change {
  readonly patch: JsonObject | undefined
  readonly resourceVersion: string | undefined
  readonly seen: Observed
}

export class Applier {
  readonly #options: ApplierOptions
  /** Writes that wait for bytes, in the order in which they came: nobody overtakes, or a large one could wait for ever. */
  #waiting = 0
  #turn: Promise<void> = Promise.resolve()
  #freed: PromiseWithResolvers<void> | undefined

  constructor(options: ApplierOptions) {
    this.#options = options
  }

  /**
   * Carries out an action.
   *
   * @returns how it ended; `failed` and `conflict` are tried again by the machine.
   * @throws what is not an answer of the API server: a bug.
   */
  async apply(row: Row, action: Exclude<Action, { type: 'none' }>): Promise<Outcome> {
    const resource = this.#options.resourceOf(row.resource, row.namespace)
    // A kind that this zone does not replicate: remembered, because it may be configured at the next start.
    if (!resource) return { type: 'missing' }
    const { account } = this.#options
    let charged = 0
    let entered = 0
    try {
      account.require(0, 1)
      entered = 1
      if (action.type === 'delete') return await this.#delete(row, resource, action)
      const { zone, logKey, seq, part } = action.desired
      const read = () => this.#content(zone, logKey, seq, part)
      let bytes = await read()
      if (!bytes) return { type: 'missing' }
      const cost = applyBytes(bytes)
      if (this.#waiting === 0 && account.freeBytes >= cost) account.require(cost)
      else {
        bytes = undefined // read again after the wait: what waits holds nothing
        await this.#reserve(cost)
      }
      charged = cost
      bytes ??= await read()
      if (!bytes) return { type: 'missing' }
      const content = decodeContent(bytes)
      return action.type === 'create'
        ? await this.#create(row, resource, action, content)
        : await this.#update(row, resource, action, content)
    } catch (error) {
      return this.#failed(row, action, error)
    } finally {
      this.#give(charged, entered)
    }
  }

  /** Takes bytes as soon as writes that run give back enough. @throws {WeirError} `LIMIT` when they can never fit. */
  async #reserve(bytes: number): Promise<void> {
    const { account, signal } = this.#options
    const before = this.#turn
    const granted = Promise.withResolvers<void>()
    this.#turn = granted.promise
    this.#waiting++
    try {
      await before
      while (account.freeBytes < bytes && account.bytes > 0) {
        this.#freed ??= Promise.withResolvers<void>()
        await abortable(this.#freed.promise, signal)
      }
      account.require(bytes)
    } finally {
      this.#waiting--
      granted.resolve()
    }
  }

  #give(bytes: number, entries: number): void {
    this.#options.account.give(bytes, entries)
    this.#freed?.resolve()
    this.#freed = undefined
  }

  async #delete(
    row: Row,
    resource: ResourceRef,
    action: Extract<Action, { type: 'delete' }>,
  ): Promise<Outcome> {
    try {
      const { signal } = this.#options
      await this.#options.client.delete(resource, namespaceOf(row), row.name, {
        uid: action.uid,
        signal,
      })
    } catch (error) {
      if (!(error instanceof KubeError && error.code === 'KUBE_NOT_FOUND')) throw error
    }
    return { type: 'gone', uid: action.uid }
  }

  async #create(
    row: Row,
    resource: ResourceRef,
    { desired, made }: Extract<Action, { type: 'create' }>,
    content: JsonObject,
  ): Promise<Outcome> {
    const object = toObject(row, resource, desired, content, made)
    const written = await this.#options.client.create(resource, object, {
      signal: this.#options.signal,
    })
    return this.#written(row, resource, desired, content, written)
  }

  async #update(
    row: Row,
    resource: ResourceRef,
    { desired, made }: Extract<Action, { type: 'update' }>,
    content: JsonObject,
  ): Promise<Outcome> {
    const wanted = toObject(row, resource, desired, content, made)
    const { client, signal } = this.#options
    const { patch, resourceVersion, seen } =
      (await this.#patchOfGiven(row, resource, desired, wanted)) ??
      (await this.#patchOfPresent(row, resource, wanted))
    // Deleted and made anew by hand: look again before it is overwritten.
    if (seen.uid !== row.observed?.uid) return { type: 'conflict', observed: seen }
    if (!patch) return { type: 'written', observed: seen, sent: desired }
    const written = await client.mergePatch(resource, namespaceOf(row), row.name, patch, {
      signal,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    })
    return this.#written(row, resource, desired, content, written)
  }

  /** The patch from what the server has, as it says itself. */
  async #patchOfPresent(row: Row, resource: ResourceRef, wanted: KubeObject): Promise<Change> {
    const { client, signal } = this.#options
    const present = await client.get(resource, namespaceOf(row), row.name, { signal })
    return {
      seen: observedNow(row, present),
      patch: diffPatch(comparable(present), comparable(wanted)),
      resourceVersion: present.metadata.resourceVersion,
    }
  }

  /**
   * The patch from what the server was given last, when its object has not changed since and the log still has that: a
   * request less. The version as precondition makes a change that was not seen yet a conflict, and then it is asked.
   */
  async #patchOfGiven(
    row: Row,
    resource: ResourceRef,
    desired: Desired,
    wanted: KubeObject,
  ): Promise<Change | undefined> {
    const { observed, givenLog, givenSeq, givenPart } = row
    if (givenSeq < 0 || !observed) return undefined
    const bytes = await this.#content(desired.zone, givenLog, givenSeq, givenPart)
    if (!bytes) return undefined
    const { account } = this.#options
    const cost = applyBytes(bytes)
    if (account.take(cost) !== 'ok') return undefined
    try {
      const past = { ...desired, version: '' }
      const given = toObject(row, resource, past, decodeContent(bytes), undefined)
      // The zone's cluster may be another by now; without this the patch would be empty for ever.
      given.metadata.annotations![OWNER_CLUSTER_ANNOTATION] = observed.cluster
      return {
        seen: observed,
        patch: diffPatch(comparable(given), comparable(wanted)),
        resourceVersion: observed.version,
      }
    } finally {
      this.#give(cost, 0)
    }
  }

  /** A status that the server did not take with the object goes to its subresource, when there is one. */
  async #written(
    row: Row,
    resource: ResourceRef,
    desired: Desired,
    content: JsonObject,
    written: KubeObject,
  ): Promise<Outcome> {
    let result = written
    const before = isJsonObject(written.status) ? written.status : {}
    const status = isJsonObject(content.status) ? diffPatch(before, content.status) : undefined
    if (status) {
      try {
        result = await this.#options.client.patchStatus(
          resource,
          namespaceOf(row),
          row.name,
          status,
          {
            signal: this.#options.signal,
          },
        )
      } catch (error) {
        // Without a status subresource the server pruned it: its schema has no status.
        if (!(error instanceof KubeError && error.status === 404)) throw error
      }
    }
    return { type: 'written', observed: observedNow(row, result), sent: desired }
  }

  /** The content of an object at a place in a zone's log; undefined when the log has it no more. */
  async #content(
    zone: Zone,
    logKey: string,
    seq: number,
    part: number,
  ): Promise<Uint8Array | undefined> {
    const id = logId(Buffer.from(logKey, 'latin1'))
    const name = { author: zone.author, logId: id }
    const page = await this.#options.store.read(name, seq, seq, 1)
    const body = page.operations[0]?.body
    if (!body) return undefined
    const decoded = decodeBody(body)
    if (decoded.kind === 'put') return decoded.item.content
    return decoded.kind === 'chunk' ? decoded.items[part]?.content : undefined
  }

  #failed(row: Row, action: Exclude<Action, { type: 'none' }>, error: unknown): Outcome {
    if (!(error instanceof WeirError)) throw error
    const lost = error.code === 'KUBE_CONFLICT' || error.code === 'KUBE_ALREADY_EXISTS'
    if (error.code === 'KUBE_NOT_FOUND' && action.type === 'update') {
      return { type: 'gone', uid: action.uid }
    }
    if (lost) return { type: 'conflict', observed: undefined }
    const level = row.failures === 3 ? 'warn' : 'debug'
    this.#options.log[level]('an object could not be written, it is tried again', {
      object: describeObject(row),
      action: action.type,
      attempts: row.failures + 1,
      error,
    })
    return { type: 'failed', reason: `${error.code}: ${error.message}` }
  }
}

/** An answer as the machine knows it already, when the watch was faster. */
function observedNow(row: Row, object: KubeObject): Observed {
  const { uid = '', resourceVersion = '' } = object.metadata
  return isState(row.observed, uid, resourceVersion) ? row.observed! : observe(object)
}

const namespaceOf = (row: Row): string | undefined =>
  row.namespace === '' ? undefined : row.namespace

/** The replica as it should be: the owner's content, and whose it is. */
function toObject(
  row: Row,
  resource: ResourceRef,
  desired: Desired,
  content: JsonObject,
  made: Position | undefined,
): KubeObject {
  const metadata = isJsonObject(content.metadata) ? content.metadata : {}
  const labels = isJsonObject(metadata.labels) ? metadata.labels : {}
  const annotations = isJsonObject(metadata.annotations) ? metadata.annotations : {}
  const { zone, version } = desired
  const replica = { owner: zone.name, namespace: row.namespace, name: row.name }
  return {
    ...content,
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    metadata: {
      name: row.name,
      ...(row.namespace === '' ? {} : { namespace: row.namespace }),
      labels: { ...(labels as Record<string, string>), [OWNER_ZONE_LABEL]: zone.name },
      annotations: {
        ...(annotations as Record<string, string>),
        [OWNER_CLUSTER_ANNOTATION]: zone.cluster,
        [OWNER_VERSION_ANNOTATION]: version,
        [OWNER_POSITION_ANNOTATION]: made ? formatPosition(replica, made) : '',
      },
    },
  }
}

/** What a patch may touch: the content, and labels and annotations with our markers. */
function comparable(object: KubeObject): JsonObject {
  const content = contentOf(object as unknown as JsonObject)
  const { labels, annotations } = object.metadata
  content.metadata = { labels: { ...labels }, annotations: { ...annotations } }
  return content
}

/** What writing an object with this content holds at most. */
export function applyBytes(content: Uint8Array): number {
  return APPLY_BYTES_PER_BYTE * content.length + APPLY_BYTES_PER_ITEM * countItems(content)
}
