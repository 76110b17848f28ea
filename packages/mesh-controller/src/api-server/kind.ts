/** A kind that the API serves: names, rules and columns. Immutable; a changed definition makes another one. */
import type { Schema } from './schema.ts'

export interface PrinterColumn {
  readonly name: string
  readonly type: string
  readonly format: string
  readonly description: string
  readonly priority: number
  readonly jsonPath: string
}

export interface Kind {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  /** The version in which objects are kept. */
  readonly storageVersion: string
  readonly kind: string
  readonly listKind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly namespaced: boolean
  /** Whether `/status` exists and the main endpoint leaves the status alone. */
  readonly hasStatus: boolean
  /** Custom kinds count generations. */
  readonly custom: boolean
  readonly schema: Schema | undefined
  readonly columns: readonly PrinterColumn[]
  /** Fields that a field selector may name, beside name and namespace. */
  readonly selectableFields: readonly string[]
}

/** What all versions of a kind share: the prefix of their keys in the store. */
export function collectionOf(kind: Pick<Kind, 'group' | 'plural'>): string {
  return `${kind.group}/${kind.plural}/`
}

/** The key of an object in the store; keys of a collection are in the order of a list. */
export function keyOf(kind: Kind, namespace: string, name: string): string {
  return `${collectionOf(kind)}${namespace}/${name}`
}

export function apiVersionOf(kind: Pick<Kind, 'group' | 'version'>): string {
  return kind.group === '' ? kind.version : `${kind.group}/${kind.version}`
}

const BUILT_IN = Object.freeze({
  shortNames: [],
  categories: [],
  hasStatus: false,
  custom: false,
  schema: undefined,
  columns: [],
  selectableFields: [],
})

export const NAMESPACE: Kind = Object.freeze({
  ...BUILT_IN,
  group: '',
  version: 'v1',
  storageVersion: 'v1',
  kind: 'Namespace',
  listKind: 'NamespaceList',
  plural: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  namespaced: false,
  selectableFields: ['status.phase'],
  columns: [
    column('Status', 'string', '.status.phase', 'The status of the namespace'),
    column('Age', 'date', '.metadata.creationTimestamp', 'Time since creation'),
  ],
})

export const EVENT: Kind = Object.freeze({
  ...BUILT_IN,
  group: '',
  version: 'v1',
  storageVersion: 'v1',
  kind: 'Event',
  listKind: 'EventList',
  plural: 'events',
  singular: 'event',
  shortNames: ['ev'],
  namespaced: true,
  selectableFields: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'type',
  ],
  columns: [
    column('Last Seen', 'date', '.lastTimestamp', 'Time since it happened last'),
    column('Type', 'string', '.type', 'Normal or Warning'),
    column('Reason', 'string', '.reason', 'What happened, in one word'),
    column('Object', 'string', '.involvedObject.name', 'What it is about'),
    column('Message', 'string', '.message', 'What happened'),
  ],
})

export const DEFINITION: Kind = Object.freeze({
  ...BUILT_IN,
  group: 'apiextensions.k8s.io',
  version: 'v1',
  storageVersion: 'v1',
  kind: 'CustomResourceDefinition',
  listKind: 'CustomResourceDefinitionList',
  plural: 'customresourcedefinitions',
  singular: 'customresourcedefinition',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  namespaced: false,
  hasStatus: true,
  custom: true,
  columns: [column('Created At', 'string', '.metadata.creationTimestamp', 'When it was created')],
})

function column(name: string, type: string, jsonPath: string, description: string): PrinterColumn {
  return { name, type, format: '', description, priority: 0, jsonPath }
}
