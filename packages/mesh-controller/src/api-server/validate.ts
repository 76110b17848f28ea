/**
 * Holds objects against the schema of their kind and says what is wrong in the words of an API server.
 *
 * Memory: one compiled function per kind, planned with the kind.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { isJsonObject, type Json, type JsonObject, stringifyJson } from '../kube/index.ts'
import { type Schema, toJsonSchema } from './schema.ts'
import type { Cause } from './status.ts'

export type Validator = (object: JsonObject) => Cause[]

/** Errors that are listed of one object; the rest is of the same kind. */
const CAUSES_MAX = 20
const VALUE_CHARS_MAX = 200

const DATE_TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/** Compiles the schema of a kind. @throws an error whose message says what is wrong with the schema. */
export function compileSchema(schema: Schema): Validator {
  // An instance per kind: its cache of schemas goes with the kind.
  const ajv = new Ajv({ allErrors: true, strict: false, verbose: true, ownProperties: true })
  ajv.addFormat('int32', { type: 'number', validate: (n) => Math.abs(n) <= 2 ** 31 })
  ajv.addFormat('int64', { type: 'number', validate: (n) => Math.abs(n) <= 2 ** 63 })
  ajv.addFormat('date-time', DATE_TIME)
  ajv.addFormat('uuid', UUID)
  ajv.addFormat('byte', BASE64)
  for (const format of openFormats(schema)) {
    if (!['int32', 'int64', 'date-time', 'uuid', 'byte'].includes(format)) {
      ajv.addFormat(format, true)
    }
  }
  const json = toJsonSchema(schema)
  const validate = ajv.compile(json)
  return (object) => (validate(withoutBigints(object)) ? [] : causesOf(validate))
}

/** Formats that are not checked, as a real server leaves out those that it does not know. */
function openFormats(schema: Json, found: string[] = []): string[] {
  if (Array.isArray(schema)) for (const item of schema) openFormats(item, found)
  else if (isJsonObject(schema)) {
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'format' && typeof value === 'string') found.push(value)
      else openFormats(value, found)
    }
  }
  return found
}

/** The validator knows no bigint; a rounded number has the same type and the same side of every bound. */
function withoutBigints(value: Json): Json {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) {
    return value.some(holdsBigint) ? value.map(withoutBigints) : value
  }
  if (!isJsonObject(value) || !holdsBigint(value)) return value
  const copy: JsonObject = {}
  for (const key of Object.keys(value)) copy[key] = withoutBigints(value[key] as Json)
  return copy
}

function holdsBigint(value: Json): boolean {
  if (typeof value === 'bigint') return true
  if (Array.isArray(value)) return value.some(holdsBigint)
  return isJsonObject(value) && Object.values(value).some(holdsBigint)
}

function causesOf(validate: ValidateFunction): Cause[] {
  return (validate.errors ?? [])
    .filter((error) => error.keyword !== 'if')
    .slice(0, CAUSES_MAX)
    .map(causeOf)
}

function causeOf(error: ErrorObject): Cause {
  const field = fieldOf(error.instancePath)
  const { keyword } = error
  const params = error.params as Record<string, unknown>
  const data = error.data as Json
  const shown = show(data)
  const bad = (what: string, reason = 'FieldValueInvalid') =>
    ({ reason, field: field || '<nil>', message: `Invalid value: ${shown}: ${what}` }) as const
  const inBody = `${field} in body`
  switch (keyword) {
    case 'required': {
      const name = String(params['missingProperty'])
      const at = field === '' ? name : `${field}.${name}`
      return { reason: 'FieldValueRequired', field: at, message: 'Required value' }
    }
    case 'type':
      return {
        reason: 'FieldValueTypeInvalid',
        field: field || '<nil>',
        message: `Invalid value: "${typeName(data)}": ${inBody} must be of type ${[params['type']].flat().join(',')}: "${typeName(data)}"`,
      }
    case 'enum': {
      const values = (params['allowedValues'] as Json[]).map(show).join(', ')
      return {
        reason: 'FieldValueNotSupported',
        field,
        message: `Unsupported value: ${shown}: supported values: ${values}`,
      }
    }
    case 'minimum':
      return bad(`${inBody} should be greater than or equal to ${params['limit']}`)
    case 'maximum':
      return bad(`${inBody} should be less than or equal to ${params['limit']}`)
    case 'exclusiveMinimum':
      return bad(`${inBody} should be greater than ${params['limit']}`)
    case 'exclusiveMaximum':
      return bad(`${inBody} should be less than ${params['limit']}`)
    case 'pattern':
      return bad(`${inBody} should match '${params['pattern']}'`)
    case 'minLength':
      return bad(`${inBody} should be at least ${params['limit']} chars long`)
    case 'maxLength':
      return {
        reason: 'FieldValueTooLong',
        field,
        message: `Too long: may not be more than ${params['limit']} bytes`,
      }
    case 'minItems':
      return bad(`${inBody} should have at least ${params['limit']} items`)
    case 'maxItems':
      return {
        reason: 'FieldValueTooMany',
        field,
        message: `Too many: ${Array.isArray(data) ? data.length : 0}: must have at most ${params['limit']} items`,
      }
    case 'format':
      return bad(`${inBody} must be of type ${params['format']}: ${shown}`)
    case 'multipleOf':
      return bad(`${inBody} should be a multiple of ${params['multipleOf']}`)
    default:
      return bad(`${inBody} ${error.message ?? keyword}`)
  }
}

function fieldOf(pointer: string): string {
  let field = ''
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (/^\d+$/.test(key)) field += `[${key}]`
    else field += field === '' ? key : `.${key}`
  }
  return field
}

function show(value: Json): string {
  if (isJsonObject(value)) return '{...}'
  const text = stringifyJson(value) ?? 'null'
  return text.length > VALUE_CHARS_MAX ? `${text.slice(0, VALUE_CHARS_MAX)}...` : text
}

function typeName(value: Json): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}
