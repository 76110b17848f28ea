/**
 * Structural schemas of custom kinds: what they prune, what they fill in, and their form as JSON Schema.
 *
 * Definitions come from users: their keys are read as own keys only, and their depth is capped.
 */
import { cloneJson, isJsonObject, type Json, type JsonObject } from '../kube/index.ts'

/** An OpenAPI v3 schema as a CustomResourceDefinition holds it. */
export type Schema = JsonObject

/** Fields of every object that the schema does not have to name. */
const OBJECT_FIELDS = Object.freeze(['apiVersion', 'kind', 'metadata'])

/**
 * Removes the fields that a schema does not know.
 *
 * @param unknown is called with the path of each, `spec.size`.
 */
export function prune(value: JsonObject, schema: Schema, unknown: (path: string) => void): void {
  pruneValue(value, schema, '', true, unknown)
}

function pruneValue(
  value: Json,
  schema: Schema,
  path: string,
  isObject: boolean,
  unknown: (path: string) => void,
): void {
  if (Array.isArray(value)) {
    const items = own(schema, 'items')
    if (!isJsonObject(items)) return
    value.forEach((item, at) => {
      pruneValue(item, items, `${path}[${at}]`, isEmbedded(items), unknown)
    })
    return
  }
  if (!isJsonObject(value)) return
  const properties = asObject(own(schema, 'properties'))
  const additional = own(schema, 'additionalProperties')
  const preserves = own(schema, 'x-kubernetes-preserve-unknown-fields') === true
  for (const key of Object.keys(value)) {
    if (isObject && OBJECT_FIELDS.includes(key)) continue
    const at = path === '' ? key : `${path}.${key}`
    const property = own(properties, key)
    if (isJsonObject(property)) {
      pruneValue(value[key] as Json, property, at, isEmbedded(property), unknown)
    } else if (isJsonObject(additional)) {
      pruneValue(value[key] as Json, additional, at, isEmbedded(additional), unknown)
    } else if (additional !== true && !preserves) {
      delete value[key]
      unknown(at)
    }
  }
}

/** Fills in defaults where a field is absent; a null that is not allowed counts as absent. */
export function applyDefaults(value: Json, schema: Schema): void {
  if (Array.isArray(value)) {
    const items = own(schema, 'items')
    if (isJsonObject(items)) for (const item of value) applyDefaults(item, items)
    return
  }
  if (!isJsonObject(value)) return
  const properties = asObject(own(schema, 'properties'))
  for (const key of Object.keys(properties)) {
    const property = properties[key]
    if (!isJsonObject(property)) continue
    const fallback = own(property, 'default')
    const present = own(value, key)
    const absent = present === undefined || (present === null && own(property, 'nullable') !== true)
    if (fallback !== undefined && absent) value[key] = cloneJson(fallback)
    if (value[key] !== undefined && Object.hasOwn(value, key)) applyDefaults(value[key], property)
  }
  const additional = own(schema, 'additionalProperties')
  if (!isJsonObject(additional)) return
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(properties, key)) applyDefaults(value[key] as Json, additional)
  }
}

const COPIED = Object.freeze([
  'minimum',
  'maximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'pattern',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
  'required',
  'format',
])

/** The same constraints as JSON Schema, which the validator understands. */
export function toJsonSchema(schema: Schema): JsonObject {
  const json: JsonObject = {}
  for (const name of COPIED) {
    const value = own(schema, name)
    if (value !== undefined) json[name] = value
  }
  convertType(schema, json)
  convertBounds(schema, json)
  const properties = own(schema, 'properties')
  if (isJsonObject(properties)) json['properties'] = mapSchemas(properties)
  for (const name of ['items', 'not', 'additionalProperties'] as const) {
    const inner = own(schema, name)
    if (isJsonObject(inner)) json[name] = toJsonSchema(inner)
  }
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const) {
    const list = own(schema, name)
    if (Array.isArray(list)) json[name] = list.filter(isJsonObject).map(toJsonSchema)
  }
  return json
}

function convertType(schema: Schema, json: JsonObject): void {
  const nullable = own(schema, 'nullable') === true
  const type = own(schema, 'type')
  if (own(schema, 'x-kubernetes-int-or-string') === true) {
    json['type'] = nullable ? ['integer', 'string', 'null'] : ['integer', 'string']
  } else if (typeof type === 'string') json['type'] = nullable ? [type, 'null'] : type
  const values = own(schema, 'enum')
  if (Array.isArray(values)) {
    json['enum'] = nullable && !values.includes(null) ? [...values, null] : values
  }
}

/** OpenAPI 3.0 has a flag where JSON Schema has a number. */
function convertBounds(schema: Schema, json: JsonObject): void {
  for (const [bound, exclusive] of [
    ['minimum', 'exclusiveMinimum'],
    ['maximum', 'exclusiveMaximum'],
  ] as const) {
    const limit = own(schema, bound)
    if (own(schema, exclusive) !== true || limit === undefined) continue
    delete json[bound]
    json[exclusive] = limit
  }
}

function mapSchemas(properties: JsonObject): JsonObject {
  const mapped: JsonObject = {}
  for (const key of Object.keys(properties)) {
    const property = properties[key]
    if (isJsonObject(property)) mapped[key] = toJsonSchema(property)
  }
  return mapped
}

function isEmbedded(schema: Schema): boolean {
  return own(schema, 'x-kubernetes-embedded-resource') === true
}

function own(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

function asObject(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {}
}
