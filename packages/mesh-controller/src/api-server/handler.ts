/**
 * From a request to its answer: documents, single objects, lists and watches.
 *
 * Memory: what its parts hold; open watches are charged to `api.watchers`.
 */
import { type Account, BoundedMap } from 'weir-mesh/bounds'
import type { Clock, Random, Scope } from 'weir-mesh/runtime'
import { getOwn, isJsonObject, type JsonObject, mergePatch, stringifyJson } from '../kube/index.ts'
import { answerDocument } from './documents.ts'
import type { Exchange } from './exchange.ts'
import type { Fault } from './faults.ts'
import { applyJsonPatch } from './json-patch.ts'
import { parsePage, writeList } from './list.ts'
import { negotiate } from './negotiate.ts'
import { deletedStatus, type WriteOptions } from './object-rules.ts'
import type { Objects } from './objects.ts'
import type { Registry, ServedKind } from './registry.ts'
import { type RenderOptions, renderObject } from './render.ts'
import { parseRoute, type Route } from './route.ts'
import { parseSelectors, type Selector } from './selectors.ts'
import {
  badRequest,
  busy,
  expired,
  futureVersion,
  methodNotAllowed,
  noResource,
  unsupportedType,
} from './status.ts'
import type { Store } from './store.ts'
import type { IncludeObject } from './table.ts'
import { prefixOf, Watcher } from './watcher.ts'

export interface HandlerOptions {
  readonly store: Store
  readonly registry: Registry
  readonly objects: Objects
  readonly scope: Scope
  readonly random: Random
  readonly watchers: Account
  /** Shown in `/api`. */
  address(): string
}

type ResourceRoute = Extract<Route, { readonly at: 'resource' }>

const JSON_TYPES = Object.freeze(['application/json', ''])
const MERGE = 'application/merge-patch+json'
const JSON_PATCH = 'application/json-patch+json'
const STRATEGIC = 'application/strategic-merge-patch+json'
const TIMEOUT_SECONDS_MIN = 1_800

export class Handler implements Disposable {
  readonly #options: HandlerOptions
  readonly #watchers: BoundedMap<number, Watcher>
  readonly #clock: Clock
  #watcherId = 0
  #turn: NodeJS.Immediate | undefined

  constructor(options: HandlerOptions) {
    this.#options = options
    this.#clock = options.scope.clock
    this.#watchers = new BoundedMap<number, Watcher>(options.watchers, { evict: 'oldest' })
  }

  get watchers(): number {
    return this.#watchers.size
  }

  /** Gives a change to all watches when this turn of the event loop ends, so that the changes of a turn leave together. */
  changed(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined
      this.eachWatch((watcher) => watcher.pump())
    })
  }

  bookmark(): void {
    for (const watcher of this.#watchers.values()) watcher.bookmark()
  }

  /** Does something to every open watch, for tests and for the end. */
  eachWatch(act: (watcher: Watcher) => void): void {
    for (const watcher of this.#watchers.values()) act(watcher)
  }

  /** Answers a request that was let in. @throws what `Exchange.fail` turns into a Status. */
  async handle(exchange: Exchange, fault: Fault | undefined): Promise<void> {
    const route = parseRoute(exchange.path)
    if (!route) return notFoundPage(exchange)
    if (route.at === 'document') {
      const { registry, address } = this.#options
      if (!answerDocument(exchange, route.path, registry, address())) notFoundPage(exchange)
      return
    }
    const served = this.#options.registry.find(route.group, route.version, route.plural)
    if (!served) {
      if (this.#options.registry.versionsOf(route.group).includes(route.version)) throw noResource()
      return notFoundPage(exchange)
    }
    if (!served.kind.namespaced && route.namespace !== '') throw noResource()
    const known =
      route.subresource === '' || (route.subresource === 'status' && served.kind.hasStatus)
    if (!known) throw noResource()
    if (route.name === '') return this.#collection(exchange, route, served, fault)
    return this.#object(exchange, route, served)
  }

  async #object(exchange: Exchange, route: ResourceRoute, served: ServedKind): Promise<void> {
    const { objects } = this.#options
    const { kind } = served
    const { namespace, name } = route
    if (kind.namespaced && namespace === '') throw noResource()
    const status = route.subresource === 'status'
    const render = this.#render(exchange, served)
    switch (exchange.method) {
      case 'GET':
        if (exchange.query.get('watch') === 'true' || exchange.query.get('watch') === '1') {
          exchange.query.set('fieldSelector', `metadata.name=${name}`)
          return this.#watch(exchange, route, served, undefined)
        }
        return exchange.json(200, renderObject(render, objects.read(kind, namespace, name)))
      case 'PUT': {
        const body = await exchange.object(JSON_TYPES)
        const options = writeOptions(exchange)
        const text = objects.update(served, namespace, name, body, status, options)
        return exchange.json(200, renderObject(render, text))
      }
      case 'PATCH': {
        const apply = await this.#patch(exchange, served)
        const options = writeOptions(exchange)
        const text = objects.patch(served, namespace, name, apply, status, options)
        return exchange.json(200, renderObject(render, text))
      }
      case 'DELETE': {
        if (status) throw methodNotAllowed()
        const options = await exchange.options()
        const result = objects.delete(
          kind,
          namespace,
          name,
          preconditionsOf(options),
          isDryRun(exchange, options),
        )
        const text =
          'uid' in result
            ? stringifyJson(deletedStatus(kind, name, result.uid))
            : renderObject(render, result.text)
        return exchange.json(200, text)
      }
      default:
        throw methodNotAllowed()
    }
  }

  async #patch(
    exchange: Exchange,
    served: ServedKind,
  ): Promise<(current: JsonObject) => ReturnType<typeof mergePatch>> {
    // Built-in kinds here have maps and no lists with merge keys, so a strategic patch is a merge patch for them.
    const accepted = served.kind.schema ? [JSON_PATCH, MERGE] : [JSON_PATCH, MERGE, STRATEGIC]
    if (!accepted.includes(exchange.mediaType)) throw unsupportedType(accepted)
    const isJsonPatch = exchange.mediaType === JSON_PATCH
    const patch = await exchange.body(accepted)
    return (current) => (isJsonPatch ? applyJsonPatch(current, patch) : mergePatch(current, patch))
  }

  async #collection(
    exchange: Exchange,
    route: ResourceRoute,
    served: ServedKind,
    fault: Fault | undefined,
  ): Promise<void> {
    const { objects } = this.#options
    const { kind } = served
    switch (exchange.method) {
      case 'GET': {
        const watch = exchange.query.get('watch')
        if (watch === 'true' || watch === '1') return this.#watch(exchange, route, served, fault)
        return this.#list(exchange, route, served)
      }
      case 'POST': {
        if (kind.namespaced && route.namespace === '') throw methodNotAllowed()
        const body = await exchange.object(JSON_TYPES)
        const text = objects.create(served, route.namespace, body, writeOptions(exchange))
        return exchange.json(201, renderObject(this.#render(exchange, served), text))
      }
      case 'DELETE': {
        parseSelectors(
          kind,
          new URLSearchParams({ labelSelector: exchange.query.get('labelSelector') ?? '' }),
        )
        if (exchange.query.get('fieldSelector'))
          throw badRequest('field selectors are not supported for deletecollection')
        const options = await exchange.options()
        objects.deleteCollection(kind, route.namespace, isDryRun(exchange, options))
        return exchange.json(
          200,
          stringifyJson({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' }),
        )
      }
      default:
        throw methodNotAllowed()
    }
  }

  async #list(exchange: Exchange, route: ResourceRoute, served: ServedKind): Promise<void> {
    const { store, scope } = this.#options
    const render = this.#render(exchange, served)
    const selector = parseSelectors(served.kind, exchange.query)
    checkVersion(exchange.query, store)
    const prefix = prefixOf(served.kind, route.namespace)
    const page = parsePage(exchange.query, store, prefix)
    await writeList(store, prefix, page, selector, render, exchange.begin(200), scope)
  }

  #watch(
    exchange: Exchange,
    route: ResourceRoute,
    served: ServedKind,
    fault: Fault | undefined,
  ): void {
    const { store, scope, random } = this.#options
    const { query } = exchange
    const render = this.#render(exchange, served)
    const selector: Selector = parseSelectors(served.kind, query)
    const sendInitial = query.get('sendInitialEvents') === 'true'
    const version = checkVersion(query, store)
    const bookmarks = query.get('allowWatchBookmarks') === 'true'
    if (sendInitial && !(bookmarks && query.get('resourceVersionMatch') === 'NotOlderThan')) {
      throw badRequest(
        'sendInitialEvents requires allowWatchBookmarks and resourceVersionMatch=NotOlderThan',
      )
    }
    const from = sendInitial || version === 0 ? undefined : version
    if (this.#watchers.size >= this.#options.watchers.term.entriesMax) throw busy()
    const sender = exchange.begin(200)
    if (sender.closed) return
    if (fault?.status === 410 || (from !== undefined && from < store.compacted)) {
      const error = expired(`too old resource version: ${version} (${store.compacted + 1})`)
      sender.write(`${stringifyJson({ type: 'ERROR', object: error.body() })}\n`)
      sender.end()
      return
    }
    const watcher = new Watcher({
      store,
      scope,
      sender,
      render,
      selector,
      prefix: prefixOf(served.kind, route.namespace),
      from,
      bookmarks,
      marksInitialEnd: sendInitial,
      fault,
    })
    const id = ++this.#watcherId
    if (this.#watchers.set(id, watcher) !== 'ok') return watcher.cut()
    const seconds = timeoutSeconds(query, random)
    const timer = scope.timer('watch timeout', seconds * 1000, () => watcher.end())
    exchange.response.once('close', () => {
      timer.cancel()
      watcher.cut()
      this.#watchers.delete(id)
    })
    watcher.pump()
  }

  [Symbol.dispose](): void {
    clearImmediate(this.#turn)
    this.eachWatch((watcher) => watcher.cut())
    this.#watchers[Symbol.dispose]()
  }

  #render(exchange: Exchange, served: ServedKind): RenderOptions {
    return {
      kind: served.kind,
      form: negotiate(exchange.request.headers.accept),
      include: includeOf(exchange.query.get('includeObject')),
      wallMs: () => this.#clock.wallMs(),
    }
  }
}

function notFoundPage(exchange: Exchange): void {
  exchange.send(404, Buffer.from('404 page not found\n'), 'text/plain; charset=utf-8')
}

function includeOf(text: string | null): IncludeObject {
  return text === 'None' || text === 'Object' ? text : 'Metadata'
}

function writeOptions(exchange: Exchange): WriteOptions {
  const validation = exchange.query.get('fieldValidation')
  const dryRun = exchange.query.get('dryRun')
  if (dryRun && dryRun !== 'All') throw badRequest(`dryRun: unsupported value: "${dryRun}"`)
  return {
    dryRun: dryRun === 'All',
    fieldValidation: validation === 'Strict' || validation === 'Ignore' ? validation : 'Warn',
    warnings: exchange.warnings,
  }
}

function preconditionsOf(options: JsonObject) {
  const given = getOwn(options, 'preconditions')
  if (!isJsonObject(given)) return {}
  const { uid, resourceVersion } = given
  return {
    ...(typeof uid === 'string' ? { uid } : {}),
    ...(typeof resourceVersion === 'string' ? { resourceVersion } : {}),
  }
}

function isDryRun(exchange: Exchange, options: JsonObject): boolean {
  const inBody = getOwn(options, 'dryRun')
  return exchange.query.get('dryRun') === 'All' || (Array.isArray(inBody) && inBody.includes('All'))
}

/** The version that a list or watch is to start from; 0 when none was given. */
function checkVersion(query: URLSearchParams, store: Store): number {
  const text = query.get('resourceVersion') ?? ''
  if (text === '' || text === '0') return 0
  if (!/^\d{1,15}$/.test(text)) {
    throw badRequest(
      `Invalid value: ${JSON.stringify(text.slice(0, 40))}: invalid resource version`,
    )
  }
  const version = Number(text)
  if (version > store.revision) throw futureVersion(version, store.revision)
  return version
}

function timeoutSeconds(query: URLSearchParams, random: Random): number {
  const wanted = Number(query.get('timeoutSeconds') ?? '0')
  if (Number.isFinite(wanted) && wanted > 0) return Math.min(wanted, 24 * 3600)
  return TIMEOUT_SECONDS_MIN + random.below(TIMEOUT_SECONDS_MIN)
}
