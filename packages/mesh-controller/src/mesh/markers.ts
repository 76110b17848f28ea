/**
 * What a replica carries to say whose it is. The object in the zone where it was born is never touched.
 *
 * - the label makes replicas selectable with kubectl;
 * - the cluster says in which cluster the object was born, so that a rebuilt one deletes nothing;
 * - the version is the resourceVersion at the owner, for people: our own order comes from the owner's log;
 * - the position says from which operation of that log the replica was made, see `position.ts`.
 */
export const OWNER_ZONE_LABEL = 'mesh.weir/owner-zone'
export const OWNER_CLUSTER_ANNOTATION = 'mesh.weir/owner-cluster'
export const OWNER_VERSION_ANNOTATION = 'mesh.weir/owner-version'
export const OWNER_POSITION_ANNOTATION = 'mesh.weir/owner-position'

export const MARKER_PREFIX = 'mesh.weir/'

/** An annotation that kubectl writes with the whole object in it; it would double every object that travels. */
export const LAST_APPLIED_ANNOTATION = 'kubectl.kubernetes.io/last-applied-configuration'
