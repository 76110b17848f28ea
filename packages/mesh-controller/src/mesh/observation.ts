/** What the machine has to know of an object as our API server has it. */
import type { JsonObject, KubeObject } from '../kube/index.ts'
import { contentHash, contentOf, encodeContent } from './content.ts'
import { OWNER_CLUSTER_ANNOTATION, OWNER_ZONE_LABEL } from './markers.ts'
import type { Observed } from './row.ts'

const UNREADABLE = '?'

/** The observation with its content, for objects that may have to be published. */
export interface Observation {
  readonly observed: Observed
  readonly content: Uint8Array
}

export function observeWithContent(object: KubeObject): Observation {
  const content = encodeContent(contentOf(object as unknown as JsonObject))
  return { observed: describe(object, contentHash(content)), content }
}

export function observe(object: KubeObject): Observed {
  return observeWithContent(object).observed
}

/** Of an object whose content no other zone could read: it equals none that could travel. */
export function observeUnreadable(object: KubeObject): Observed {
  return describe(object, UNREADABLE)
}

function describe(object: KubeObject, hash: string): Observed {
  const { uid, resourceVersion, labels, annotations } = object.metadata
  return {
    uid: uid ?? '',
    version: resourceVersion ?? '0',
    owner: labels?.[OWNER_ZONE_LABEL] ?? '',
    cluster: annotations?.[OWNER_CLUSTER_ANNOTATION] ?? '',
    hash,
  }
}
