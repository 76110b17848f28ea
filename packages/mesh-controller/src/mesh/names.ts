/** Names of objects, and of the topic that a mesh meets on. */
import { blake3, type TopicId } from 'weir-mesh/core'

export interface ObjectName {
  /** `group/Kind`: the same in all zones, whatever version each one serves. */
  readonly resource: string
  /** Empty for cluster-scoped objects. */
  readonly namespace: string
  readonly name: string
}

/** A name as the key of a map. None of the parts can contain a space. */
export function objectKey(name: ObjectName): string {
  return `${name.resource} ${name.namespace} ${name.name}`
}

/** For people: `Widget default/w1`. */
export function describeObject(name: ObjectName): string {
  const kind = name.resource.slice(name.resource.lastIndexOf('/') + 1)
  return name.namespace ? `${kind} ${name.namespace}/${name.name}` : `${kind} ${name.name}`
}

/** The topic of all controllers in a network: BLAKE3("weir-mesh/resources/1" ‖ network id). */
export function meshTopic(network: Uint8Array): TopicId {
  const label = Buffer.from('weir-mesh/resources/1')
  return blake3(Buffer.concat([label, network])) as Uint8Array as TopicId
}
