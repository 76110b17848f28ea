/**
 * CustomResourceDefinitions: checks one, completes it, and makes the kinds that it defines.
 *
 * Rules in CEL (`x-kubernetes-validations`), webhooks and conversion are not carried out; a definition that asks for
 * them gets a warning.
 */
import { getOwn, isJsonObject, type Json, type JsonObject } from '../kube/index.ts'
import { DEFINITION, type Kind, type PrinterColumn } from './kind.ts'
import { metaText, timeText } from './metadata.ts'
import type { ServedKind } from './registry.ts'
import { type Cause, invalid } from './status.ts'
import { compileSchema } from './validate.ts'

const AGE: PrinterColumn = Object.freeze({
  name: 'Age',
  type: 'date',
  format: '',
  description: 'Time since creation',
  priority: 0,
  jsonPath: '.metadata.creationTimestamp',
})

/** Fills in what a definition may leave out. Changes it in place. */
export function completeDefinition(definition: JsonObject): void {
  const spec = objectAt(definition, 'spec')
  const names = objectAt(spec, 'names')
  const kind = text(names, 'kind')
  if (kind !== '') {
    if (text(names, 'singular') === '') names['singular'] = kind.toLowerCase()
    if (text(names, 'listKind') === '') names['listKind'] = `${kind}List`
  }
  spec['names'] = names
  if (!isJsonObject(spec['conversion'])) spec['conversion'] = { strategy: 'None' }
  delete spec['preserveUnknownFields']
  definition['spec'] = spec
}

/**
 * The kinds of a definition, compiled.
 *
 * @throws {ApiError} 422 when the definition is not one that can be served.
 */
export function kindsOf(definition: JsonObject): ServedKind[] {
  const name = metaText(definition, 'name')
  const causes = causesOf(definition, name)
  if (causes.length > 0) throw invalid(DEFINITION, name, causes)
  const spec = objectAt(definition, 'spec')
  const versions = versionsOf(spec)
  const storage = versions.find((version) => version['storage'] === true) ?? {}
  const served: ServedKind[] = []
  versions.forEach((version, at) => {
    if (version['served'] !== true) return
    const schema = objectAt(objectAt(version, 'schema'), 'openAPIV3Schema')
    try {
      const kind = kindOf(spec, version, text(storage, 'name'), schema)
      served.push({ kind, validate: compileSchema(schema) })
    } catch (error) {
      throw invalid(DEFINITION, name, [
        {
          reason: 'FieldValueInvalid',
          field: `spec.versions[${at}].schema.openAPIV3Schema`,
          message: `Invalid value: ${(error as Error).message.slice(0, 300)}`,
        },
      ])
    }
  })
  return served
}

/** What a definition asks for and does not get. */
export function warningsOf(definition: JsonObject): string[] {
  const spec = objectAt(definition, 'spec')
  const warnings: string[] = []
  if (holdsKey(spec, 'x-kubernetes-validations')) {
    warnings.push('x-kubernetes-validations: rules in CEL are not carried out by this server')
  }
  if (text(objectAt(spec, 'conversion'), 'strategy') === 'Webhook') {
    warnings.push('conversion: webhooks are not called by this server')
  }
  return warnings
}

/** The status of a definition that is served. Keeps the time of conditions that were true before. */
export function definitionStatus(
  definition: JsonObject,
  previous: JsonObject | undefined,
  wallMs: number,
): JsonObject {
  const spec = objectAt(definition, 'spec')
  const before = objectAt(previous ?? {}, 'status')
  const stored = getOwn(before, 'storedVersions')
  const storage = versionsOf(spec).find((version) => version['storage'] === true) ?? {}
  const storageName = text(storage, 'name')
  const storedVersions = Array.isArray(stored) ? [...stored] : []
  if (!storedVersions.includes(storageName)) storedVersions.push(storageName)
  const conditions = getOwn(before, 'conditions')
  return {
    conditions: Array.isArray(conditions)
      ? conditions
      : [
          condition('NamesAccepted', 'NoConflicts', 'no conflicts found', wallMs),
          condition(
            'Established',
            'InitialNamesAccepted',
            'the initial names have been accepted',
            wallMs,
          ),
        ],
    acceptedNames: objectAt(spec, 'names'),
    storedVersions,
  }
}

function condition(type: string, reason: string, message: string, wallMs: number): JsonObject {
  return { type, status: 'True', lastTransitionTime: timeText(wallMs), reason, message }
}

function kindOf(spec: JsonObject, version: JsonObject, storage: string, schema: JsonObject): Kind {
  const names = objectAt(spec, 'names')
  const subresources = objectAt(version, 'subresources')
  const columns = columnsOf(version)
  return Object.freeze({
    group: text(spec, 'group'),
    version: text(version, 'name'),
    storageVersion: storage,
    kind: text(names, 'kind'),
    listKind: text(names, 'listKind'),
    plural: text(names, 'plural'),
    singular: text(names, 'singular'),
    shortNames: texts(names, 'shortNames'),
    categories: texts(names, 'categories'),
    namespaced: text(spec, 'scope') === 'Namespaced',
    hasStatus: isJsonObject(getOwn(subresources, 'status')),
    custom: true,
    schema,
    columns: columns.length > 0 ? columns : [AGE],
    selectableFields: selectableOf(version),
  })
}

function columnsOf(version: JsonObject): PrinterColumn[] {
  const columns = getOwn(version, 'additionalPrinterColumns')
  if (!Array.isArray(columns)) return []
  return columns.filter(isJsonObject).map((column) => ({
    name: text(column, 'name'),
    type: text(column, 'type'),
    format: text(column, 'format'),
    description: text(column, 'description'),
    priority: typeof column['priority'] === 'number' ? column['priority'] : 0,
    jsonPath: text(column, 'jsonPath'),
  }))
}

function selectableOf(version: JsonObject): string[] {
  const fields = getOwn(version, 'selectableFields')
  if (!Array.isArray(fields)) return []
  return fields.filter(isJsonObject).map((field) => text(field, 'jsonPath').replace(/^\./, ''))
}

function causesOf(definition: JsonObject, name: string): Cause[] {
  const spec = objectAt(definition, 'spec')
  const names = objectAt(spec, 'names')
  const causes: Cause[] = []
  const required = (field: string, value: string) => {
    if (value === '')
      causes.push({ reason: 'FieldValueRequired', field, message: 'Required value' })
  }
  const group = text(spec, 'group')
  required('spec.group', group)
  if (group !== '' && (!group.includes('.') || group === DEFINITION.group)) {
    causes.push(
      wrong('spec.group', group, 'should be a domain with at least one dot, not one of the server'),
    )
  }
  required('spec.names.plural', text(names, 'plural'))
  required('spec.names.kind', text(names, 'kind'))
  const wanted = `${text(names, 'plural')}.${text(spec, 'group')}`
  if (name !== wanted) {
    causes.push(wrong('metadata.name', name, 'must be spec.names.plural+"."+spec.group'))
  }
  const scope = text(spec, 'scope')
  if (scope !== 'Namespaced' && scope !== 'Cluster') {
    causes.push({
      reason: 'FieldValueNotSupported',
      field: 'spec.scope',
      message: `Unsupported value: "${scope}": supported values: "Cluster", "Namespaced"`,
    })
  }
  const versions = versionsOf(spec)
  if (versions.length === 0) required('spec.versions', '')
  else if (versions.filter((version) => version['storage'] === true).length !== 1) {
    causes.push(
      wrong('spec.versions', '[...]', 'must have exactly one version marked as storage version'),
    )
  }
  versions.forEach((version, at) => {
    required(`spec.versions[${at}].name`, text(version, 'name'))
    const schema = getOwn(objectAt(version, 'schema'), 'openAPIV3Schema')
    const field = `spec.versions[${at}].schema.openAPIV3Schema`
    if (!isJsonObject(schema)) required(field, '')
    else if (schema['type'] !== 'object') {
      causes.push(wrong(`${field}.type`, text(schema, 'type'), 'must be object at the root'))
    }
  })
  return causes
}

function wrong(field: string, value: string, why: string): Cause {
  return {
    reason: 'FieldValueInvalid',
    field,
    message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
  }
}

function versionsOf(spec: JsonObject): JsonObject[] {
  const versions = getOwn(spec, 'versions')
  return Array.isArray(versions) ? versions.filter(isJsonObject) : []
}

function objectAt(object: JsonObject, key: string): JsonObject {
  const value = getOwn(object, key)
  return isJsonObject(value) ? value : {}
}

function text(object: JsonObject, key: string): string {
  const value = getOwn(object, key)
  return typeof value === 'string' ? value : ''
}

function texts(object: JsonObject, key: string): string[] {
  const value = getOwn(object, key)
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

function holdsKey(value: Json, key: string): boolean {
  if (Array.isArray(value)) return value.some((item) => holdsKey(item, key))
  if (!isJsonObject(value)) return false
  return Object.keys(value).some((name) => name === key || holdsKey(value[name] as Json, key))
}
