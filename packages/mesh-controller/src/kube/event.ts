/** Core events: how a controller tells the owner of an object what happened to it. */
import type { Random } from 'weir-mesh/runtime'
import type { KubeObject } from './types.ts'

export interface EventText {
  readonly type: 'Normal' | 'Warning'
  /** One word in CamelCase. */
  readonly reason: string
  /** What happened and what to do; cut to 1 024 characters. */
  readonly message: string
}

/** The object that an event is about; of a large object only these are known. */
export interface EventTarget {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly namespace?: string | undefined
  readonly uid?: string | undefined
  readonly resourceVersion?: string | undefined
}

const MESSAGE_CHARS_MAX = 1024

/** A core/v1 Event about `target`. Events of a cluster-scoped object live in `default`. */
export function buildEvent(
  target: EventTarget,
  text: EventText,
  source: { readonly component: string; readonly random: Random; readonly wallMs: number },
): KubeObject {
  const namespace = target.namespace ?? 'default'
  const suffix = Buffer.from(source.random.bytes(8)).toString('hex')
  // Kubernetes keeps seconds here; fractions are refused.
  const time = `${new Date(source.wallMs).toISOString().slice(0, 19)}Z`
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${target.name.slice(0, 200)}.${suffix}`, namespace },
    involvedObject: {
      apiVersion: target.apiVersion,
      kind: target.kind,
      name: target.name,
      ...(target.namespace === undefined ? {} : { namespace: target.namespace }),
      ...(target.uid === undefined ? {} : { uid: target.uid }),
      ...(target.resourceVersion === undefined ? {} : { resourceVersion: target.resourceVersion }),
    },
    type: text.type,
    reason: text.reason,
    message: text.message.slice(0, MESSAGE_CHARS_MAX),
    source: { component: source.component },
    reportingComponent: source.component,
    reportingInstance: '',
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  }
}
