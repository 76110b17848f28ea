/** What the demo itself may hold beside its clients: the last words of its children, and when a change was seen first. */
import {
  MAP_NODE_BYTES,
  OBJECT_BYTES,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from 'weir-mesh/bounds'
import { DEFAULT_KUBE_LIMITS, type KubeTerms, kubeTerms } from '../kube/index.ts'

/** Children that run, and those that just ended. */
export const CHILDREN_MAX = 12
export const LINES_KEPT = 8
export const LINE_CHARS_MAX = 400
const CHANGES_KEPT = 256

export const DEMO_LIMIT_BYTES = 128 * 1024 * 1024

export function demoTerms(): Terms<'lines' | 'changes'> {
  return {
    lines: term({
      name: 'demo.lines',
      why: 'the last lines that a child wrote to standard error',
      instancesMax: CHILDREN_MAX,
      entriesMax: LINES_KEPT,
      table: 'ring',
      shellBytes: STRING_SHELL_BYTES,
      payloadBytesMax: 2 * LINES_KEPT * LINE_CHARS_MAX,
      overflow: 'drop-old',
    }),
    changes: term({
      name: 'demo.changes',
      why: 'when the zone of an object changed it, to say how long the others took',
      entriesMax: CHANGES_KEPT,
      table: 'map',
      shellBytes: MAP_NODE_BYTES + OBJECT_BYTES,
      payloadBytesMax: CHANGES_KEPT * 512,
      overflow: 'evict',
    }),
  }
}

/** The client of the demo for one zone: one watch, few requests. */
export function viewTerms(): KubeTerms {
  return kubeTerms({
    ...DEFAULT_KUBE_LIMITS,
    resourcesMax: 1,
    streamsMax: 1,
    objectsMax: 4_096,
    cacheBytesMax: 2 * 1024 * 1024,
    requestsMax: 8,
    socketsMax: 2,
  })
}
