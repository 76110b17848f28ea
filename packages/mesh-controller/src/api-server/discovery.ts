/** What the API says about itself: groups, versions and resources, in both forms that clients ask for. */
import type { JsonObject } from '../kube/index.ts'
import type { Kind } from './kind.ts'
import type { Registry } from './registry.ts'

const VERBS = Object.freeze([
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
])
const STATUS_VERBS = Object.freeze(['get', 'patch', 'update'])

/** The Kubernetes version whose behaviour the server follows. */
export const VERSION: JsonObject = Object.freeze({
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.0-weir',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2025-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: 'node',
})

export function coreVersions(address: string): JsonObject {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
  }
}

export function groupList(registry: Registry): JsonObject {
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: registry.groups().map((group) => withoutType(groupOf(registry, group))),
  }
}

export function groupOf(registry: Registry, group: string): JsonObject {
  const versions = registry.versionsOf(group).map((version) => ({
    groupVersion: `${group}/${version}`,
    version,
  }))
  return {
    kind: 'APIGroup',
    apiVersion: 'v1',
    name: group,
    versions,
    preferredVersion: versions[0] ?? null,
  }
}

export function resourceList(registry: Registry, group: string, version: string): JsonObject {
  const resources: JsonObject[] = []
  for (const kind of registry.inVersion(group, version)) {
    const { plural, singular, namespaced } = kind
    const names = { singularName: singular, namespaced, kind: kind.kind }
    resources.push({
      name: plural,
      ...names,
      verbs: [...VERBS],
      ...(kind.shortNames.length > 0 ? { shortNames: [...kind.shortNames] } : {}),
      ...(kind.categories.length > 0 ? { categories: [...kind.categories] } : {}),
    })
    if (kind.hasStatus) {
      resources.push({
        name: `${plural}/status`,
        ...names,
        singularName: '',
        verbs: [...STATUS_VERBS],
      })
    }
  }
  const groupVersion = group === '' ? version : `${group}/${version}`
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources }
}

/** Everything in one document: what newer clients ask for first. */
export function aggregated(
  registry: Registry,
  groups: readonly string[],
  version: 'v2' | 'v2beta1',
): JsonObject {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map((group) => ({
      metadata: group === '' ? {} : { name: group },
      versions: registry.versionsOf(group).map((groupVersion) => ({
        version: groupVersion,
        freshness: 'Current',
        resources: [...registry.inVersion(group, groupVersion)].map(aggregatedResource),
      })),
    })),
  }
}

function aggregatedResource(kind: Kind): JsonObject {
  const responseKind = { group: kind.group, version: kind.version, kind: kind.kind }
  return {
    resource: kind.plural,
    responseKind,
    scope: kind.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.singular,
    verbs: [...VERBS],
    ...(kind.shortNames.length > 0 ? { shortNames: [...kind.shortNames] } : {}),
    ...(kind.categories.length > 0 ? { categories: [...kind.categories] } : {}),
    ...(kind.hasStatus
      ? { subresources: [{ subresource: 'status', responseKind, verbs: [...STATUS_VERBS] }] }
      : {}),
  }
}

function withoutType(group: JsonObject): JsonObject {
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = group
  return rest
}
