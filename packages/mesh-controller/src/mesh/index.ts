export { OWNER_CLUSTER_ANNOTATION, OWNER_VERSION_ANNOTATION, OWNER_ZONE_LABEL } from './markers.ts'
export { type MeshLimits, meshTerms } from './memory.ts'
export { meshTopic } from './names.ts'
export { Replication } from './replication.ts'
export type {
  ReplicationFaults,
  ReplicationOptions,
  ResourceConfig,
  ZoneStatus,
} from './replication-options.ts'
export { BODY_BYTES_MAX, CONTENT_BYTES_MAX } from './sizes.ts'
