/**
 * Field selectors: which objects of a collection are meant. Label selectors are refused: a selector that is not
 * carried out must not look as if it were.
 */
import { isJsonObject, type Json, type JsonObject } from '../kube/index.ts'
import type { Kind } from './kind.ts'
import { parseObject } from './object-rules.ts'
import { badRequest } from './status.ts'

export interface Selector {
  /** Set when only one object can match. */
  readonly name: string | undefined
  /** Set when only one namespace can match. */
  readonly namespace: string | undefined
  /** Whether an object matches, by its key and its text. */
  matches(key: string, text: string): boolean
}

interface Requirement {
  readonly field: string
  readonly value: string
  readonly equal: boolean
}

const REQUIREMENTS_MAX = 16

/** @throws {ApiError} 400 for a field that cannot be selected by, and for label selectors. */
export function parseSelectors(kind: Kind, query: URLSearchParams): Selector {
  const labels = query.get('labelSelector')
  if (labels) {
    throw badRequest(
      'label selectors are not supported by this server: list without -l and select in the client',
    )
  }
  const requirements = (query.get('fieldSelector') ?? '')
    .split(',', REQUIREMENTS_MAX)
    .filter((part) => part.trim() !== '')
    .map(parseRequirement)
  for (const { field } of requirements) {
    const common = field === 'metadata.name' || (kind.namespaced && field === 'metadata.namespace')
    if (!common && !kind.selectableFields.includes(field)) {
      throw badRequest(`field label not supported: ${field}`)
    }
  }
  const equalTo = (field: string) =>
    requirements.find((one) => one.field === field && one.equal)?.value
  const name = equalTo('metadata.name')
  const namespace = equalTo('metadata.namespace')
  const onText = requirements.filter((one) => !one.field.startsWith('metadata.'))
  return {
    name,
    namespace,
    matches(key, text) {
      if (requirements.length === 0) return true
      const [objectName = '', objectNamespace = ''] = key.split('/').reverse()
      for (const { field, value, equal } of requirements) {
        if (field === 'metadata.name' && (objectName === value) !== equal) return false
        if (field === 'metadata.namespace' && (objectNamespace === value) !== equal) return false
      }
      if (onText.length === 0) return true
      const object = parseObject(text)
      return onText.every(
        ({ field, value, equal }) => (fieldText(object, field) === value) === equal,
      )
    },
  }
}

function parseRequirement(text: string): Requirement {
  const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*?)\s*$/.exec(text)
  if (!match) throw badRequest(`invalid selector: '${text.slice(0, 100)}'; can't understand it`)
  return { field: match[1] as string, value: match[3] as string, equal: match[2] !== '!=' }
}

function fieldText(object: JsonObject, path: string): string {
  let value: Json | undefined = object
  for (const key of path.split('.')) {
    value = isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
  }
  return value === undefined || value === null || typeof value === 'object' ? '' : String(value)
}
