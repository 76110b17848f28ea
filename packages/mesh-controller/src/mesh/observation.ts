/** What the machine has to know of an object as our API server has it. */
import { isWeirError } from 'weir-mesh/runtime'
import type { JsonObject, KubeObject } from '../kube/index.ts'
import { contentHash, contentOf, countItems, encodeContent } from './content.ts'
import { OWNER_CLUSTER_ANNOTATION, OWNER_POSITION_ANNOTATION, OWNER_ZONE_LABEL } from './markers.ts'
import { type Position, parsePosition } from './position.ts'
import type { Observed } from './row.ts'
import { CONTENT_BYTES_MAX, CONTENT_ITEMS_MAX } from './sizes.ts'

/** In place of the hash of a content that is nested too deeply: it equals none that could travel. */
const UNREADABLE = '?'

/** The observation with its content, for objects that may have to be published. */
export interface Observation {
  readonly observed: Observed
  /** Absent when no other zone could read it: it is too large, nested too deeply, or has too many values. */
  readonly content: Uint8Array | undefined
  /** Length of the content, also of one that is too large; 0 of one that is nested too deeply. */
  readonly bytes: number
}

export function observeWithContent(object: KubeObject): Observation {
  const content = encode(object)
  if (!content) return { observed: describe(object, UNREADABLE), content, bytes: 0 }
  const bytes = content.length
  const travels = bytes <= CONTENT_BYTES_MAX && countItems(content) <= CONTENT_ITEMS_MAX
  const observed = describe(object, contentHash(content))
  return { observed, content: travels ? content : undefined, bytes }
}

export function observe(object: KubeObject): Observed {
  return observeWithContent(object).observed
}

function encode(object: KubeObject): Uint8Array | undefined {
  try {
    return encodeContent(contentOf(object as unknown as JsonObject))
  } catch (error) {
    if (isWeirError(error, 'ENCODE_LIMIT')) return undefined
    throw error
  }
}

function describe(object: KubeObject, hash: string): Observed {
  const { uid, resourceVersion, labels, annotations } = object.metadata
  const owner = labels?.[OWNER_ZONE_LABEL] ?? ''
  return {
    uid: uid ?? '',
    version: resourceVersion ?? '0',
    owner,
    cluster: annotations?.[OWNER_CLUSTER_ANNOTATION] ?? '',
    hash,
    made: madeOf(object, owner),
  }
}

function madeOf({ metadata }: KubeObject, owner: string): Position | undefined {
  const text = metadata.annotations?.[OWNER_POSITION_ANNOTATION]
  if (owner === '' || text === undefined) return undefined
  return parsePosition({ owner, namespace: metadata.namespace ?? '', name: metadata.name }, text)
}
