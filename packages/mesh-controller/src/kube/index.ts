export {
  type CallOptions,
  type DeleteOptions,
  KubeClient,
  type KubeClientOptions,
  type KubeList,
  type ListOptions,
  type PatchOptions,
  type WriteOptions,
} from './client.ts'
export {
  type ClusterConfig,
  inClusterConfig,
  loadKubeconfig,
  type PemSource,
  readKubeconfig,
} from './cluster-config.ts'
export { errorOfStatus, isKubeError, isRefusal, KubeError } from './errors.ts'
export { buildEvent, type EventTarget, type EventText } from './event.ts'
export {
  cloneJson,
  equalJson,
  getOwn,
  isJsonObject,
  type Json,
  type JsonObject,
  parseJson,
  setOwn,
  stringifyJson,
} from './json.ts'
export { DEFAULT_KUBE_LIMITS, type KubeLimits, type KubeTerms, kubeTerms } from './memory.ts'
export { checkKeys, diffPatch, mergePatch } from './merge.ts'
export type { LargeObject } from './metadata-scanner.ts'
export type { CachedObject } from './object-cache.ts'
export { PageTurns } from './page-turns.ts'
export {
  type Collection,
  Reflector,
  type ReflectorEvent,
  type ReflectorOptions,
  type ReflectorState,
} from './reflector.ts'
export { compareResourceVersions } from './resource-version.ts'
export type { RequestFault } from './transport.ts'
export {
  apiVersionOf,
  CUSTOM_RESOURCE_DEFINITIONS,
  EVENTS,
  type KubeObject,
  NAMESPACES,
  type ObjectMeta,
  pathOf,
  type ResourceRef,
} from './types.ts'
export { rewound, type WatchFault } from './watch-loop.ts'
