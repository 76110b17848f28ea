/** The shapes that every Kubernetes object has; all else is data that passes through unread. */
export interface ObjectMeta {
  name: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  labels?: { [name: string]: string }
  annotations?: { [name: string]: string }
  [field: string]: unknown
}

export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
  [field: string]: unknown
}

/** Which collection: the path of the API, and the names that stand in an object of it. */
export interface ResourceRef {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly namespaced: boolean
}

/** `apiVersion` of the objects of a resource. */
export function apiVersionOf(resource: Pick<ResourceRef, 'group' | 'version'>): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`
}

/** The path of a collection, or of one object of it. */
export function pathOf(
  resource: ResourceRef,
  namespace: string | undefined,
  name?: string,
  subresource?: 'status',
): string {
  const root =
    resource.group === ''
      ? `/api/${resource.version}`
      : `/apis/${encodeURIComponent(resource.group)}/${encodeURIComponent(resource.version)}`
  const within =
    resource.namespaced && namespace !== undefined
      ? `/namespaces/${encodeURIComponent(namespace)}`
      : ''
  const object = name === undefined ? '' : `/${encodeURIComponent(name)}`
  const part = subresource === undefined ? '' : `/${subresource}`
  return `${root}${within}/${encodeURIComponent(resource.plural)}${object}${part}`
}

/** The core resources that Weir itself uses. */
export const EVENTS: ResourceRef = Object.freeze({
  group: '',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
})
export const NAMESPACES: ResourceRef = Object.freeze({
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
})
export const CUSTOM_RESOURCE_DEFINITIONS: ResourceRef = Object.freeze({
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
})
