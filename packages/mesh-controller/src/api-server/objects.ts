/**
 * Create, update, patch and delete, with the rules of a Kubernetes API server. Every call is one step without a wait,
 * so two requests never meet half a change.
 */
import { randomUUID } from 'node:crypto'
import type { Clock, Random } from 'weir-mesh/runtime'
import {
  cloneJson,
  equalJson,
  isJsonObject,
  type Json,
  type JsonObject,
  stringifyJson,
} from '../kube/index.ts'
import { completeDefinition, definitionStatus, kindsOf, warningsOf } from './definitions.ts'
import {
  apiVersionOf,
  collectionOf,
  DEFINITION,
  EVENT,
  type Kind,
  keyOf,
  NAMESPACE,
} from './kind.ts'
import {
  checkMetadata,
  finalizersOf,
  metadataOf,
  metaText,
  nameSuffix,
  SERVER_FIELDS,
  timeText,
} from './metadata.ts'
import {
  changesSpec,
  checkEvent,
  checkNewFinalizers,
  checkType,
  completeNamespace,
  parseObject,
  placeIn,
  reportUnknown,
  textIn,
  type WriteOptions,
  withStatus,
} from './object-rules.ts'
import type { Registry, ServedKind } from './registry.ts'
import { applyDefaults, prune } from './schema.ts'
import { alreadyExists, badRequest, conflict, forbidden, invalid, notFound } from './status.ts'
import type { Store, Stored } from './store.ts'

export interface Preconditions {
  readonly uid?: string | undefined
  readonly resourceVersion?: string | undefined
}

export interface ObjectsOptions {
  readonly store: Store
  readonly registry: Registry
  readonly clock: Clock
  readonly random: Random
  readonly eventsMax: number
}

/** Namespaces that exist from the start and cannot be deleted. */
export const FIXED_NAMESPACES = Object.freeze(['default', 'kube-system'])

const QUIET: WriteOptions = Object.freeze({
  dryRun: false,
  fieldValidation: 'Ignore',
  warnings: Object.freeze([]) as unknown as string[],
})

export class Objects {
  readonly #options: ObjectsOptions
  #events = 0

  constructor(options: ObjectsOptions) {
    this.#options = options
  }

  /** The stored text in the version that was asked for. @throws {ApiError} 404. */
  read(kind: Kind, namespace: string, name: string): string {
    return textIn(kind, this.#stored(kind, namespace, name).text)
  }

  create(served: ServedKind, namespace: string, body: JsonObject, options: WriteOptions): string {
    const { kind } = served
    const { store, random } = this.#options
    const object = body
    checkType(kind, object)
    const metadata = metadataOf(object)
    if (metaText(object, 'resourceVersion') !== '') {
      throw badRequest('resourceVersion should not be set on objects to be created')
    }
    for (const field of SERVER_FIELDS) delete metadata[field]
    placeIn(kind, object, namespace)
    const prefix = metaText(object, 'generateName')
    if (metaText(object, 'name') === '' && prefix !== '') {
      metadata['name'] = prefix.slice(0, 248) + nameSuffix((limit) => random.below(limit))
    }
    checkMetadata(kind, object)
    const name = metaText(object, 'name')
    if (kind.namespaced && !store.get(keyOf(NAMESPACE, '', namespace))) {
      throw notFound(NAMESPACE, namespace)
    }
    if (store.get(keyOf(kind, namespace, name))) throw alreadyExists(kind, name)
    if (kind.custom && kind.hasStatus) delete object['status']
    this.#finish(served, object, undefined, options)
    metadata['uid'] = randomUUID()
    metadata['creationTimestamp'] = timeText(this.#options.clock.wallMs())
    if (kind.custom) metadata['generation'] = 1
    return this.#keep(kind, namespace, name, object, undefined, options)
  }

  /** Creates an object, or replaces the one of its name. */
  apply(served: ServedKind, namespace: string, body: JsonObject, options: WriteOptions): string {
    const name = metaText(body, 'name')
    const present = this.#options.store.get(keyOf(served.kind, namespace, name))
    if (!present) return this.create(served, namespace, body, options)
    metadataOf(body)['resourceVersion'] = String(present.revision)
    return this.update(served, namespace, name, body, false, options)
  }

  /** Replaces an object, or its status. */
  update(
    served: ServedKind,
    namespace: string,
    name: string,
    body: JsonObject,
    statusOnly: boolean,
    options: WriteOptions,
  ): string {
    const { kind } = served
    checkType(kind, body)
    placeIn(kind, body, namespace)
    const bodyName = metaText(body, 'name')
    if (bodyName !== name) {
      throw badRequest(
        `the name of the object (${bodyName}) does not match the name on the URL (${name})`,
      )
    }
    const stored = this.#stored(kind, namespace, name)
    if (kind.custom && metaText(body, 'resourceVersion') === '') {
      throw invalid(kind, name, [
        {
          reason: 'FieldValueInvalid',
          field: 'metadata.resourceVersion',
          message: 'Invalid value: 0x0: must be specified for an update',
        },
      ])
    }
    return this.#change(served, namespace, name, stored, body, statusOnly, options)
  }

  /** Changes an object by a function of its present state. */
  patch(
    served: ServedKind,
    namespace: string,
    name: string,
    apply: (current: JsonObject) => Json,
    statusOnly: boolean,
    options: WriteOptions,
  ): string {
    const { kind } = served
    const stored = this.#stored(kind, namespace, name)
    const next = apply(parseObject(textIn(kind, stored.text)))
    if (!isJsonObject(next)) throw badRequest('the patch does not leave an object')
    const body = cloneJson(next)
    checkType(kind, body)
    placeIn(kind, body, namespace)
    if (metaText(body, 'name') !== name) {
      throw badRequest(`the name of the object cannot be changed from "${name}"`)
    }
    return this.#change(served, namespace, name, stored, body, statusOnly, options)
  }

  /** @returns the uid of what was deleted, or the text of the object when finalizers keep it. */
  delete(
    kind: Kind,
    namespace: string,
    name: string,
    preconditions: Preconditions,
    dryRun: boolean,
  ): { readonly uid: string } | { readonly text: string } {
    const stored = this.#stored(kind, namespace, name)
    if (preconditions.uid !== undefined && preconditions.uid !== stored.uid) {
      const why = `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${stored.uid}`
      throw conflict(kind, name, why)
    }
    const wanted = preconditions.resourceVersion
    if (wanted !== undefined && wanted !== String(stored.revision)) {
      const why = `Precondition failed: ResourceVersion in precondition: ${wanted}, ResourceVersion in object meta: ${stored.revision}`
      throw conflict(kind, name, why)
    }
    if (kind === NAMESPACE && FIXED_NAMESPACES.includes(name)) {
      throw forbidden(kind, name, 'this namespace may not be deleted')
    }
    const object = parseObject(stored.text)
    if (finalizersOf(object).length > 0) {
      return { text: this.#markDeleted(kind, namespace, name, object, dryRun) }
    }
    if (!dryRun) this.#remove(kind, namespace, name, object)
    return { uid: stored.uid }
  }

  /** Deletes all objects of a collection, in one namespace or in all. @returns how many. */
  deleteCollection(kind: Kind, namespace: string, dryRun: boolean): number {
    const keys = this.#keys(collectionOf(kind) + (namespace ? `${namespace}/` : ''))
    for (const { objectNamespace, name } of keys) {
      this.delete(kind, objectNamespace, name, {}, dryRun)
    }
    return keys.length
  }

  /** Creates the namespaces that a cluster has from the start. */
  begin(): void {
    const served = this.#options.registry.find('', 'v1', 'namespaces') as ServedKind
    for (const name of FIXED_NAMESPACES) {
      const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
      this.create(served, '', body, QUIET)
    }
  }

  #change(
    served: ServedKind,
    namespace: string,
    name: string,
    stored: Stored,
    body: JsonObject,
    statusOnly: boolean,
    options: WriteOptions,
  ): string {
    const { kind } = served
    const current = parseObject(textIn(kind, stored.text))
    const wanted = metaText(body, 'resourceVersion')
    if (wanted !== '' && wanted !== String(stored.revision)) throw conflict(kind, name)
    const uid = metaText(body, 'uid')
    if (uid !== '' && uid !== stored.uid) {
      const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${stored.uid}`
      throw conflict(kind, name, why)
    }
    const next = statusOnly
      ? withStatus(current, body)
      : this.#withServerFields(kind, current, body)
    checkMetadata(kind, next)
    checkNewFinalizers(kind, name, current, next)
    this.#finish(served, next, current, options)
    if (equalJson(current, next)) return stringifyJson(current)
    if (kind.custom && changesSpec(current, next)) {
      const generation = metadataOf(current)['generation']
      metadataOf(next)['generation'] = typeof generation === 'number' ? generation + 1 : 1
    }
    const text = this.#keep(kind, namespace, name, next, current, options)
    const ends = metaText(next, 'deletionTimestamp') !== '' && finalizersOf(next).length === 0
    if (ends && !options.dryRun) this.#remove(kind, namespace, name, next)
    return text
  }

  #withServerFields(kind: Kind, current: JsonObject, body: JsonObject): JsonObject {
    const metadata = metadataOf(body)
    const before = metadataOf(current)
    for (const field of SERVER_FIELDS) {
      const value = before[field]
      if (value === undefined) delete metadata[field]
      else metadata[field] = value
    }
    if (kind.hasStatus) {
      const status = current['status']
      if (status === undefined) delete body['status']
      else body['status'] = cloneJson(status)
    }
    return body
  }

  /** Prunes, fills in defaults, validates, and adds what the kind itself wants. */
  #finish(
    served: ServedKind,
    object: JsonObject,
    current: JsonObject | undefined,
    options: WriteOptions,
  ): void {
    const { kind } = served
    const unknown: string[] = []
    if (kind.schema) {
      prune(object, kind.schema, (path) => unknown.push(path))
      applyDefaults(object, kind.schema)
    }
    reportUnknown(kind, unknown, options)
    const causes = served.validate(object)
    if (causes.length > 0) throw invalid(kind, metaText(object, 'name'), causes)
    if (kind === NAMESPACE) completeNamespace(object)
    if (kind === EVENT) checkEvent(object)
    if (kind === DEFINITION) {
      completeDefinition(object)
      kindsOf(object)
      for (const warning of warningsOf(object)) options.warnings.push(warning)
      object['status'] = definitionStatus(object, current, this.#options.clock.wallMs())
    }
  }

  #keep(
    kind: Kind,
    namespace: string,
    name: string,
    object: JsonObject,
    current: JsonObject | undefined,
    options: WriteOptions,
  ): string {
    const { store } = this.#options
    if (options.dryRun) return stringifyJson(object)
    if (kind === EVENT && !current) this.#makeRoomForEvent()
    if (kind === DEFINITION) this.#install(object, current)
    const storage = { group: kind.group, version: kind.storageVersion }
    object['apiVersion'] = apiVersionOf(storage)
    const write = (revision: number) => {
      metadataOf(object)['resourceVersion'] = String(revision)
      return stringifyJson(object)
    }
    try {
      const uid = metaText(object, 'uid')
      return textIn(kind, store.put(keyOf(kind, namespace, name), uid, write).text)
    } catch (error) {
      if (kind === EVENT && !current) this.#events--
      // What is served is what is stored.
      if (kind === DEFINITION)
        this.#serve(metaText(object, 'name'), current ? kindsOf(current) : [])
      throw error
    }
  }

  #install(definition: JsonObject, current: JsonObject | undefined): void {
    const name = metaText(definition, 'name')
    if (this.#serve(name, kindsOf(definition))) return
    this.#serve(name, current ? kindsOf(current) : [])
    throw forbidden(
      DEFINITION,
      name,
      'exceeded quota: this server serves as many kinds and schemas as its plan allows',
    )
  }

  /** Serves these kinds for a definition, and no others. @returns whether there was room for all. */
  #serve(definition: string, served: readonly ServedKind[]): boolean {
    const { registry } = this.#options
    for (const kind of [...registry.all()]) {
      const kept = served.some((one) => one.kind.version === kind.version)
      if (`${kind.plural}.${kind.group}` === definition && !kept) {
        registry.remove(kind.group, kind.version, kind.plural)
      }
    }
    return served.every((one) => registry.add(one))
  }

  #makeRoomForEvent(): void {
    const { store, eventsMax } = this.#options
    this.#events++
    if (this.#events <= eventsMax) return
    let oldest: { key: string; revision: number } | undefined
    for (const [key, stored] of store.range(collectionOf(EVENT))) {
      if (!oldest || stored.revision < oldest.revision) oldest = { key, revision: stored.revision }
    }
    if (oldest) this.#drop(oldest.key)
    this.#events--
  }

  #markDeleted(
    kind: Kind,
    namespace: string,
    name: string,
    object: JsonObject,
    dryRun: boolean,
  ): string {
    const metadata = metadataOf(object)
    if (metaText(object, 'deletionTimestamp') !== '' || dryRun) return stringifyJson(object)
    metadata['deletionTimestamp'] = timeText(this.#options.clock.wallMs())
    metadata['deletionGracePeriodSeconds'] = 0
    if (typeof metadata['generation'] === 'number') metadata['generation'] += 1
    return this.#keep(kind, namespace, name, object, object, QUIET)
  }

  #remove(kind: Kind, namespace: string, name: string, object: JsonObject): void {
    if (kind === NAMESPACE) this.#removeNamespaced(name)
    if (kind === DEFINITION) this.#uninstall(object)
    if (kind === EVENT) this.#events--
    this.#drop(keyOf(kind, namespace, name))
  }

  #removeNamespaced(namespace: string): void {
    for (const kind of this.#options.registry.collections()) {
      if (!kind.namespaced) continue
      for (const { key } of this.#keys(`${collectionOf(kind)}${namespace}/`)) {
        if (kind === EVENT) this.#events--
        this.#drop(key)
      }
    }
  }

  #uninstall(definition: JsonObject): void {
    const { registry } = this.#options
    const name = metaText(definition, 'name')
    for (const kind of [...registry.all()]) {
      if (!kind.custom || `${kind.plural}.${kind.group}` !== name) continue
      for (const { key } of this.#keys(collectionOf(kind))) this.#drop(key)
      registry.remove(kind.group, kind.version, kind.plural)
    }
  }

  #drop(key: string): void {
    this.#options.store.delete(key, (revision, stored) => {
      const object = parseObject(stored.text)
      metadataOf(object)['resourceVersion'] = String(revision)
      return stringifyJson(object)
    })
  }

  #keys(prefix: string): { key: string; objectNamespace: string; name: string }[] {
    const keys = []
    for (const [key] of this.#options.store.range(prefix)) {
      const [name, objectNamespace] = key.split('/').reverse()
      keys.push({ key, objectNamespace: objectNamespace ?? '', name: name ?? '' })
    }
    return keys
  }

  #stored(kind: Kind, namespace: string, name: string): Stored {
    const stored = this.#options.store.get(keyOf(kind, namespace, name))
    if (!stored) throw notFound(kind, name)
    return stored
  }
}
