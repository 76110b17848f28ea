/** The answers that are about the API itself: discovery, OpenAPI, version and health. */
import { stringifyJson } from '../kube/index.ts'
import { aggregated, coreVersions, groupList, groupOf, resourceList, VERSION } from './discovery.ts'
import type { Exchange } from './exchange.ts'
import { negotiate } from './negotiate.ts'
import {
  OPENAPI_V2_JSON,
  OPENAPI_V2_STUB,
  OPENAPI_V2_TYPE,
  openApiDocument,
  openApiIndex,
} from './openapi.ts'
import type { Registry } from './registry.ts'
import { methodNotAllowed } from './status.ts'

/** Paths that need no token, as on a real server. */
export const OPEN_PATHS = Object.freeze(['/healthz', '/livez', '/readyz', '/version'])

/** @returns false when there is no such document. */
export function answerDocument(
  exchange: Exchange,
  path: string,
  registry: Registry,
  address: string,
): boolean {
  const document = find(exchange, path, registry, address)
  if (!document) return false
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD') throw methodNotAllowed()
  document()
  return true
}

function find(
  exchange: Exchange,
  path: string,
  registry: Registry,
  address: string,
): (() => void) | undefined {
  const json = (value: Parameters<typeof stringifyJson>[0], type?: string) => () =>
    exchange.json(200, stringifyJson(value), type)
  switch (path) {
    case '/healthz':
    case '/livez':
    case '/readyz':
      return () => exchange.send(200, Buffer.from('ok'), 'text/plain; charset=utf-8')
    case '/version':
    case '/version/':
      return json(VERSION)
    case '/api':
      return () => discover(exchange, registry, [''], coreVersions(address))
    case '/apis':
      return () => discover(exchange, registry, registry.groups(), groupList(registry))
    case '/openapi/v2':
      return () => openApiV2(exchange)
    case '/openapi/v3':
      return json(openApiIndex(registry))
  }
  const match = /^\/(openapi\/v3\/)?(?:api|apis\/([^/]+))(?:\/([^/]+))?$/.exec(path)
  if (!match) return undefined
  const [, openApi, group = '', version] = match
  const versions = registry.versionsOf(group)
  if (version === undefined) {
    if (openApi !== undefined || versions.length === 0) return undefined
    return json(groupOf(registry, group))
  }
  if (!versions.includes(version)) return undefined
  if (openApi !== undefined) return json(openApiDocument(registry, group, version))
  return json(resourceList(registry, group, version))
}

function discover(
  exchange: Exchange,
  registry: Registry,
  groups: readonly string[],
  plain: Parameters<typeof stringifyJson>[0],
): void {
  const form = negotiate(exchange.request.headers.accept)
  if (form.as !== 'discovery') return exchange.json(200, stringifyJson(plain))
  const type = `application/json;g=apidiscovery.k8s.io;v=${form.version};as=APIGroupDiscoveryList`
  exchange.response.setHeader('vary', 'Accept')
  exchange.json(200, stringifyJson(aggregated(registry, groups, form.version)), type)
}

function openApiV2(exchange: Exchange): void {
  const accept = exchange.request.headers.accept ?? ''
  if (accept.includes('protobuf')) exchange.send(200, OPENAPI_V2_STUB, OPENAPI_V2_TYPE)
  else exchange.json(200, stringifyJson(OPENAPI_V2_JSON))
}
