/**
 * The OpenAPI documents that kubectl asks for before it applies and when it explains.
 *
 * Version 2 is a stub: old clients then leave validation to the server. Version 3 has the schemas, and the parameters
 * that tell newer clients that the server validates fields itself.
 */
import { createHash } from 'node:crypto'
import { type JsonObject, stringifyJson } from '../kube/index.ts'
import { apiVersionOf, type Kind } from './kind.ts'
import type { Registry } from './registry.ts'

/** Swagger 2.0 with title and version, as the protobuf message that kubectl reads. */
export const OPENAPI_V2_STUB = Buffer.from('0a03322e3012061201' + '6d1a0131', 'hex')
export const OPENAPI_V2_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'
export const OPENAPI_V2_JSON: JsonObject = Object.freeze({
  swagger: '2.0',
  info: { title: 'm', version: '1' },
  paths: {},
})

/** The index of version 3: one document per group and version. */
export function openApiIndex(registry: Registry): JsonObject {
  const paths: JsonObject = {}
  for (const group of ['', ...registry.groups()]) {
    for (const version of registry.versionsOf(group)) {
      const path = group === '' ? `api/${version}` : `apis/${group}/${version}`
      const text = stringifyJson(openApiDocument(registry, group, version))
      const hash = createHash('sha256').update(text).digest('hex').slice(0, 32).toUpperCase()
      paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }
    }
  }
  return { paths }
}

export function openApiDocument(registry: Registry, group: string, version: string): JsonObject {
  const paths: JsonObject = {}
  const schemas: JsonObject = {}
  for (const kind of registry.inVersion(group, version)) {
    schemas[schemaName(kind)] = schemaOf(kind)
    Object.assign(paths, pathsOf(kind))
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Weir embedded API', version: 'v1' },
    paths,
    components: { schemas },
  }
}

function schemaName(kind: Kind): string {
  const group = kind.group === '' ? 'io.k8s.api.core' : kind.group.split('.').reverse().join('.')
  return `${group}.${kind.version}.${kind.kind}`
}

function schemaOf(kind: Kind): JsonObject {
  const own = kind.schema ?? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
  const properties = (own['properties'] ?? {}) as JsonObject
  return {
    ...own,
    properties: {
      ...properties,
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
    },
    'x-kubernetes-group-version-kind': [identityOf(kind)],
  }
}

function identityOf(kind: Kind): JsonObject {
  return { group: kind.group, version: kind.version, kind: kind.kind }
}

const WRITE_PARAMETERS = Object.freeze(['dryRun', 'fieldManager', 'fieldValidation', 'force'])

function pathsOf(kind: Kind): JsonObject {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${apiVersionOf(kind)}`
  const collection = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.plural}`
  const reference = { $ref: `#/components/schemas/${schemaName(kind)}` }
  const operation = (action: string, parameters: readonly string[]) => ({
    responses: {
      200: { description: 'OK', content: { 'application/json': { schema: reference } } },
    },
    parameters: parameters.map((name) => ({ name, in: 'query', schema: { type: 'string' } })),
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': identityOf(kind),
  })
  return {
    [collection]: {
      get: operation('list', ['limit', 'continue', 'fieldSelector', 'resourceVersion', 'watch']),
      post: operation('post', WRITE_PARAMETERS),
    },
    [`${collection}/{name}`]: {
      get: operation('get', []),
      put: operation('put', WRITE_PARAMETERS),
      patch: operation('patch', WRITE_PARAMETERS),
      delete: operation('delete', ['dryRun', 'propagationPolicy']),
    },
  }
}
