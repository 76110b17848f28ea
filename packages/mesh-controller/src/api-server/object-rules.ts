/** The rules of writes that need nothing but the object: type, place, unknown fields, and what single kinds want. */
import {
  cloneJson,
  equalJson,
  isJsonObject,
  type JsonObject,
  parseJson,
  stringifyJson,
} from '../kube/index.ts'
import { apiVersionOf, EVENT, type Kind } from './kind.ts'
import { finalizersOf, metadataOf, metaText } from './metadata.ts'
import { badRequest, invalid } from './status.ts'

export interface WriteOptions {
  readonly dryRun: boolean
  /** What happens to fields that the schema does not know. */
  readonly fieldValidation: 'Strict' | 'Warn' | 'Ignore'
  /** Warnings for the client are added here. */
  readonly warnings: string[]
}

/** The text of an object in the version of this kind: only its apiVersion differs between versions. */
export function textIn(kind: Kind, text: string): string {
  if (kind.version === kind.storageVersion) return text
  return stringifyJson({ ...parseObject(text), apiVersion: apiVersionOf(kind) })
}

export function parseObject(text: string): JsonObject {
  const value = parseJson(text)
  if (isJsonObject(value)) return value
  throw badRequest('the body is not an object')
}

export function checkType(kind: Kind, object: JsonObject): void {
  const expected = apiVersionOf(kind)
  object['apiVersion'] ??= expected
  object['kind'] ??= kind.kind
  if (object['apiVersion'] !== expected) {
    throw badRequest(
      `the API version in the data (${String(object['apiVersion'])}) does not match the expected API version (${expected})`,
    )
  }
  if (object['kind'] !== kind.kind) {
    throw badRequest(
      `${String(object['kind'])} in version "${kind.version}" cannot be handled as a ${kind.kind}`,
    )
  }
}

export function placeIn(kind: Kind, object: JsonObject, namespace: string): void {
  const metadata = metadataOf(object)
  if (!kind.namespaced) {
    delete metadata['namespace']
    return
  }
  const own = metaText(object, 'namespace')
  if (own !== '' && own !== namespace) {
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    )
  }
  metadata['namespace'] = namespace
}

export function withStatus(current: JsonObject, body: JsonObject): JsonObject {
  const next = cloneJson(current)
  if (body['status'] === undefined) delete next['status']
  else next['status'] = body['status']
  return next
}

export function changesSpec(current: JsonObject, next: JsonObject): boolean {
  const skipped = ['metadata', 'status', 'apiVersion', 'kind']
  const names = [...Object.keys(current), ...Object.keys(next)]
  return names.some((name) => !skipped.includes(name) && !equalJson(current[name], next[name]))
}

export function checkNewFinalizers(
  kind: Kind,
  name: string,
  current: JsonObject,
  next: JsonObject,
): void {
  if (metaText(current, 'deletionTimestamp') === '') return
  const before = finalizersOf(current)
  const added = finalizersOf(next).filter((finalizer) => !before.includes(finalizer))
  if (added.length === 0) return
  const list = added.map((finalizer) => JSON.stringify(finalizer)).join(', ')
  throw invalid(kind, name, [
    {
      reason: 'FieldValueForbidden',
      field: 'metadata.finalizers',
      message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
    },
  ])
}

const UNKNOWN_NAMED_MAX = 10

export function reportUnknown(kind: Kind, unknown: readonly string[], options: WriteOptions): void {
  if (unknown.length === 0 || options.fieldValidation === 'Ignore') return
  const named = unknown.slice(0, UNKNOWN_NAMED_MAX).map((path) => `unknown field "${path}"`)
  if (options.fieldValidation === 'Strict') {
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: strict decoding error: ${named.join(', ')}`,
    )
  }
  options.warnings.push(...named)
}

export function completeNamespace(object: JsonObject): void {
  const metadata = metadataOf(object)
  const labels = isJsonObject(metadata['labels']) ? metadata['labels'] : {}
  labels['kubernetes.io/metadata.name'] = metaText(object, 'name')
  metadata['labels'] = labels
  object['spec'] = { finalizers: ['kubernetes'] }
  object['status'] = { phase: 'Active' }
}

export function checkEvent(object: JsonObject): void {
  const involved = object['involvedObject']
  const about = isJsonObject(involved) ? involved['namespace'] : undefined
  const namespace = metaText(object, 'namespace')
  const fits = about === undefined || about === '' ? namespace === 'default' : about === namespace
  if (isJsonObject(involved) && fits) return
  throw invalid(EVENT, metaText(object, 'name'), [
    {
      reason: 'FieldValueInvalid',
      field: 'involvedObject.namespace',
      message: `Invalid value: ${JSON.stringify(about ?? '')}: does not match event.namespace`,
    },
  ])
}

/** What a delete answers when the object is gone. */
export function deletedStatus(kind: Kind, name: string, uid: string): JsonObject {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name, ...(kind.group ? { group: kind.group } : {}), kind: kind.plural, uid },
  }
}
