/**
 * One cluster: requests for single objects, lists and watches, each bounded and abortable.
 *
 * Objects are plain data as the server sent them; nothing is converted, so nothing is lost.
 *
 * Memory: what is being received is charged to `kube.responses` and `kube.streams`; an object that was returned
 * belongs to the caller.
 */
import type { Account, Ledger } from 'weir-mesh/bounds'
import { type Logger, type Random, type Scope, systemRandom } from 'weir-mesh/runtime'
import { checkObject } from './check-object.ts'
import { readChunks } from './chunks.ts'
import type { ClusterConfig } from './cluster-config.ts'
import { errorOfBody, KubeError } from './errors.ts'
import { buildEvent, type EventTarget, type EventText } from './event.ts'
import { isJsonObject, type Json, type JsonObject, parseJson, stringifyJson } from './json.ts'
import { ListSplitter } from './list-splitter.ts'
import { type KubeTerms, READ_AHEAD_BYTES } from './memory.ts'
import { StreamedBody } from './streamed-body.ts'
import { type Call, describeCall, type RequestFault, Transport } from './transport.ts'
import { apiVersionOf, EVENTS, type KubeObject, pathOf, type ResourceRef } from './types.ts'

export interface KubeClientOptions {
  readonly config: ClusterConfig
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: KubeTerms
  readonly log?: Logger
  readonly random?: Random
  /** Shown in the audit log of the cluster. Default `weir-mesh-controller`. */
  readonly userAgent?: string
  /** Who owns the fields that are written. Default `weir-mesh-controller`. */
  readonly fieldManager?: string
  /** For tests: called before each attempt of a request. */
  readonly fault?: RequestFault
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Default 30 000 ms. */
  readonly deadlineMs?: number
}

export interface WriteOptions extends CallOptions {
  /** Validate and answer, but keep nothing. */
  readonly dryRun?: boolean
}

export interface PatchOptions extends WriteOptions {
  /** The patch is refused with `KUBE_CONFLICT` when the object has another version. */
  readonly resourceVersion?: string
  /** Patch `/status` instead of the object. */
  readonly subresource?: 'status'
}

export interface DeleteOptions extends WriteOptions {
  /** Delete only this incarnation of the object, else `KUBE_CONFLICT`. */
  readonly uid?: string
  readonly resourceVersion?: string
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
}

export interface ListOptions extends CallOptions {
  readonly namespace?: string
  readonly limit?: number
  readonly continue?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

export interface KubeList {
  readonly items: KubeObject[]
  readonly resourceVersion: string
  readonly continue: string | undefined
}

const PASS_SILENCE_MS = 30_000

export class KubeClient {
  readonly scope: Scope
  readonly log: Logger
  readonly random: Random
  readonly ledger: Ledger
  readonly terms: KubeTerms
  readonly #transport: Transport
  readonly #fieldManager: string
  readonly #fieldQuery: string

  constructor(options: KubeClientOptions) {
    this.scope = options.scope.child('kube')
    this.log = options.log ?? options.scope.log
    this.random = options.random ?? systemRandom
    this.ledger = options.ledger
    this.terms = options.terms
    this.#fieldManager = options.fieldManager ?? 'weir-mesh-controller'
    this.#fieldQuery = queryOf({ fieldManager: this.#fieldManager })
    this.#transport = new Transport({
      config: options.config,
      scope: this.scope,
      random: this.random,
      sockets: this.ledger.require(this.terms.sockets),
      userAgent: options.userAgent ?? 'weir-mesh-controller',
      ...(options.fault ? { fault: options.fault } : {}),
    })
  }

  /** @throws {KubeError} `KUBE_NOT_FOUND` and the others of `errors.ts`. */
  async get(
    resource: ResourceRef,
    namespace: string | undefined,
    name: string,
    options: CallOptions = {},
  ): Promise<KubeObject> {
    return this.#object({ method: 'GET', path: pathOf(resource, namespace, name), ...options })
  }

  /** A whole page in memory: for small collections. Large ones go through a Reflector. */
  async list(resource: ResourceRef, options: ListOptions = {}): Promise<KubeList> {
    const { namespace, signal, deadlineMs, ...query } = options
    const list = await this.json({
      method: 'GET',
      path: pathOf(resource, namespace) + queryOf(query),
      ...callOptions({ signal, deadlineMs }),
    })
    const metadata = isJsonObject(list['metadata']) ? list['metadata'] : {}
    const token = metadata['continue']
    // A collection without objects may have null.
    const items: readonly Json[] = Array.isArray(list['items']) ? list['items'] : []
    return {
      items: items.map(checkObject),
      resourceVersion: String(metadata['resourceVersion'] ?? ''),
      continue: typeof token === 'string' && token !== '' ? token : undefined,
    }
  }

  /**
   * Passes over the next object of a list, for one that is larger than an answer may be.
   *
   * @param options with a limit of 1.
   * @returns the token of the page that follows.
   */
  async passOver(resource: ResourceRef, options: ListOptions): Promise<string | undefined> {
    const { namespace, signal, deadlineMs, ...query } = options
    const path = pathOf(resource, namespace) + queryOf(query)
    const call = { method: 'GET', path, ...callOptions({ signal, deadlineMs }) } as const
    return this.#charged(async (account) => {
      const answer = await this.stream(call, account)
      account.require(READ_AHEAD_BYTES)
      using splitter = new ListSplitter(account)
      await readChunks(answer, {
        clock: this.scope.clock,
        scopeSignal: this.scope.signal,
        signal,
        silenceMs: () => PASS_SILENCE_MS,
        onChunk: (chunk) => {
          for (const _ of splitter.push(chunk));
        },
      })
      const metadata = splitter.end()['metadata']
      const token = isJsonObject(metadata) ? metadata['continue'] : undefined
      return typeof token === 'string' && token !== '' ? token : undefined
    })
  }

  /** @throws {KubeError} `KUBE_ALREADY_EXISTS`, `KUBE_INVALID`. */
  async create(
    resource: ResourceRef,
    object: KubeObject,
    options: WriteOptions = {},
  ): Promise<KubeObject> {
    return this.#object({
      method: 'POST',
      path: pathOf(resource, object.metadata.namespace) + this.#writeQuery(options),
      body: stringifyJson(object),
      ...callOptions(options),
    })
  }

  /** Replaces an object; `metadata.resourceVersion` is the precondition. @throws {KubeError} `KUBE_CONFLICT`. */
  async replace(
    resource: ResourceRef,
    object: KubeObject,
    options: WriteOptions & { readonly subresource?: 'status' } = {},
  ): Promise<KubeObject> {
    const { namespace, name } = object.metadata
    return this.#object({
      method: 'PUT',
      path: pathOf(resource, namespace, name, options.subresource) + this.#writeQuery(options),
      body: stringifyJson(object),
      ...callOptions(options),
    })
  }

  /** Applies a JSON merge patch. @throws {KubeError} `KUBE_CONFLICT` when `resourceVersion` is given and old. */
  async mergePatch(
    resource: ResourceRef,
    namespace: string | undefined,
    name: string,
    patch: JsonObject,
    options: PatchOptions = {},
  ): Promise<KubeObject> {
    return this.#object({
      method: 'PATCH',
      path: pathOf(resource, namespace, name, options.subresource) + this.#writeQuery(options),
      contentType: 'application/merge-patch+json',
      body: stringifyJson(withVersion(patch, options.resourceVersion)),
      ...callOptions(options),
    })
  }

  /** Applies a JSON merge patch to `/status`; the patch is the part below `status`. */
  async patchStatus(
    resource: ResourceRef,
    namespace: string | undefined,
    name: string,
    status: JsonObject,
    options: Omit<PatchOptions, 'subresource'> = {},
  ): Promise<KubeObject> {
    return this.mergePatch(
      resource,
      namespace,
      name,
      { status },
      { ...options, subresource: 'status' },
    )
  }

  /** Deletes an object. @throws {KubeError} `KUBE_NOT_FOUND`, `KUBE_CONFLICT` for a failed precondition. */
  async delete(
    resource: ResourceRef,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const { uid, resourceVersion, propagationPolicy, dryRun } = options
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    }
    await this.json({
      method: 'DELETE',
      path: pathOf(resource, namespace, name),
      body: stringifyJson({
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...(Object.keys(preconditions).length > 0 ? { preconditions } : {}),
        ...(propagationPolicy ? { propagationPolicy } : {}),
        ...(dryRun ? { dryRun: ['All'] } : {}),
      }),
      ...callOptions(options),
    })
  }

  /** Records a core event about an object. */
  async createEvent(
    target: EventTarget,
    text: EventText,
    options: CallOptions = {},
  ): Promise<KubeObject> {
    const event = buildEvent(target, text, {
      component: this.#fieldManager,
      random: this.random,
      wallMs: this.scope.clock.wallMs(),
    })
    return this.create(EVENTS, event, options)
  }

  /**
   * The collection in which objects of a kind are kept.
   *
   * @throws {KubeError} `KUBE_KIND_UNKNOWN` when the cluster has no such kind.
   */
  async findResource(
    group: string,
    version: string,
    kind: string,
    options: CallOptions = {},
  ): Promise<ResourceRef> {
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    let rows: Json | undefined
    try {
      rows = (await this.json({ method: 'GET', path, ...options }))['resources']
    } catch (error) {
      if (!(error instanceof KubeError) || error.code !== 'KUBE_NOT_FOUND') throw error
    }
    for (const row of Array.isArray(rows) ? rows : []) {
      if (!isJsonObject(row) || row['kind'] !== kind) continue
      const plural = row['name']
      if (typeof plural !== 'string' || plural.includes('/')) continue
      return { group, version, kind, plural, namespaced: row['namespaced'] === true }
    }
    throw new KubeError(
      'KUBE_KIND_UNKNOWN',
      `the cluster has no kind ${kind} in ${apiVersionOf({ group, version })}; install its CustomResourceDefinition`,
      { retryable: true },
    )
  }

  /** Sends a request and reads its JSON answer. @throws {KubeError} for any answer that is not a success. */
  async json(call: Call): Promise<JsonObject> {
    return this.#charged(async (account) => {
      const { status, text, retryAfterMs } = await this.#transport.send(call, account)
      if (status >= 300) throw errorOfBody(describeCall(call), status, text, retryAfterMs)
      const value = parseJson(text)
      if (isJsonObject(value)) return value
      throw new KubeError(
        'KUBE_RESPONSE_INVALID',
        `${describeCall(call)}: the answer is not an object`,
      )
    })
  }

  /** Begins a list or watch whose answer is read by the caller. @throws {KubeError} when it is not a success. */
  async stream(call: Call, account: Account): Promise<StreamedBody> {
    const answer = await this.#transport
      .open(call, account)
      .finally(() => account.give(account.bytes))
    if (answer instanceof StreamedBody) return answer
    throw errorOfBody(describeCall(call), answer.status, answer.text, answer.retryAfterMs)
  }

  /** Runs with an account for one answer, and gives back what is left in it. */
  async #charged<T>(use: (account: Account) => Promise<T>): Promise<T> {
    const account = this.ledger.open(this.terms.responses)
    if (!account) {
      throw new KubeError(
        'KUBE_BUSY',
        `${this.terms.responses.instancesMax} requests to the cluster run already`,
        { retryable: true },
      )
    }
    try {
      account.require(0, 1)
      return await use(account)
    } finally {
      account.give(account.bytes, account.entries)
      account[Symbol.dispose]()
    }
  }

  async #object(call: Call): Promise<KubeObject> {
    return checkObject(await this.json(call))
  }

  #writeQuery(options: WriteOptions): string {
    return options.dryRun ? `${this.#fieldQuery}&dryRun=All` : this.#fieldQuery
  }
}

/** A query string; undefined values are left out. */
export function queryOf(values: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') query.set(name, String(value))
  }
  return query.size === 0 ? '' : `?${query}`
}

function callOptions(options: {
  readonly signal?: AbortSignal | undefined
  readonly deadlineMs?: number | undefined
}): CallOptions {
  return {
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
  }
}

function withVersion(patch: JsonObject, resourceVersion: string | undefined): JsonObject {
  if (resourceVersion === undefined) return patch
  const metadata = isJsonObject(patch['metadata']) ? patch['metadata'] : {}
  return { ...patch, metadata: { ...metadata, resourceVersion } }
}
