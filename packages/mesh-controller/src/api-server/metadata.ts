/** The rules for `metadata`: names, what a client may set, and what the server sets. */
import { isJsonObject, type Json, type JsonObject } from '../kube/index.ts'
import type { Kind } from './kind.ts'
import { type Cause, invalid } from './status.ts'

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
const LABEL_TEXT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
const SUFFIX_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789'

/** `metadata` of an object, made when it is missing. */
export function metadataOf(object: JsonObject): JsonObject {
  const present = object['metadata']
  if (isJsonObject(present)) return present
  const made: JsonObject = {}
  object['metadata'] = made
  return made
}

/** A field of `metadata` as text, empty when it is absent or something else. */
export function metaText(object: JsonObject, field: string): string {
  const metadata = object['metadata']
  const value = isJsonObject(metadata) ? metadata[field] : undefined
  return typeof value === 'string' ? value : ''
}

/** The finalizers of an object. */
export function finalizersOf(object: JsonObject): Json[] {
  const metadata = object['metadata']
  const list = isJsonObject(metadata) ? metadata['finalizers'] : undefined
  return Array.isArray(list) ? list : []
}

/** Five characters that make a generated name unique, without vowels, as Kubernetes draws them. */
export function nameSuffix(below: (limit: number) => number): string {
  let suffix = ''
  for (let count = 0; count < 5; count++) {
    suffix += SUFFIX_CHARACTERS[below(SUFFIX_CHARACTERS.length)]
  }
  return suffix
}

/** @throws {ApiError} 422 when the metadata of a new or changed object breaks a rule. */
export function checkMetadata(kind: Kind, object: JsonObject): void {
  const metadata = metadataOf(object)
  const name = metaText(object, 'name')
  const causes: Cause[] = []
  if (name === '') {
    causes.push({
      reason: 'FieldValueRequired',
      field: 'metadata.name',
      message: 'Required value: name or generateName is required',
    })
  } else {
    const isLabel = kind.plural === 'namespaces' && kind.group === ''
    const most = isLabel ? 63 : 253
    const pattern = isLabel ? LABEL : SUBDOMAIN
    if (name.length > most)
      causes.push(wrong('metadata.name', name, `must be no more than ${most} characters`))
    else if (!pattern.test(name)) {
      causes.push(wrong('metadata.name', name, isLabel ? LABEL_TEXT : SUBDOMAIN_TEXT))
    }
  }
  for (const field of ['labels', 'annotations'] as const) {
    const map = metadata[field]
    if (map === undefined || map === null) continue
    const fine = isJsonObject(map) && Object.values(map).every((value) => typeof value === 'string')
    if (!fine) {
      causes.push({
        reason: 'FieldValueTypeInvalid',
        field: `metadata.${field}`,
        message: 'Invalid value: must be a map of strings',
      })
    }
  }
  const finalizers = metadata['finalizers']
  const listed = finalizers === undefined || finalizers === null || Array.isArray(finalizers)
  if (!listed || finalizersOf(object).some((item) => typeof item !== 'string' || item === '')) {
    causes.push({
      reason: 'FieldValueTypeInvalid',
      field: 'metadata.finalizers',
      message: 'Invalid value: must be a list of names',
    })
  }
  if (causes.length > 0) throw invalid(kind, name, causes)
}

function wrong(field: string, value: string, why: string): Cause {
  return {
    reason: 'FieldValueInvalid',
    field,
    message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
  }
}

/** Fields that only the server sets; what a client sends of them is dropped. */
export const SERVER_FIELDS = Object.freeze([
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'managedFields',
] as const)

/** Kubernetes time: seconds, in UTC. */
export function timeText(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`
}
