/**
 * Where an operation belongs. The extensions of a header are the application's; sync asks a policy for the log and the
 * prune flag before anything is verified or kept.
 */

import { equalBytes } from '../codec/index.ts'
import {
  decodeNodeExtensions,
  type Header,
  type LogId,
  type NodeExtensions,
  type TopicId,
  topicLogId,
} from '../core/index.ts'
import { isWeirError } from '../runtime/index.ts'

export interface Placement {
  readonly logId: LogId
  /** Whether everything before the operation in its log may go once it is kept. */
  readonly prune: boolean
}

export interface LogPolicy {
  /**
   * Judges a header that is decoded and not yet verified. It must not throw.
   *
   * @returns where the operation belongs, or in a few words why it is refused: it is then dropped and counted, and
   *   the session goes on.
   */
  admit(header: Header): Placement | string
}

/**
 * Operations with the extensions of p2panda's node.
 *
 * @param check A further condition: `ok`, or why not.
 */
export function nodeExtensionsPolicy(
  check?: (header: Header, extensions: NodeExtensions) => 'ok' | string,
): LogPolicy {
  return {
    admit(header) {
      let extensions: NodeExtensions
      try {
        extensions = decodeNodeExtensions(header.extensions)
      } catch (error) {
        if (isWeirError(error)) return `extensions: ${error.code}`
        throw error
      }
      const verdict = check?.(header, extensions) ?? 'ok'
      return verdict === 'ok' ? extensions : verdict
    },
  }
}

/** Operations of a p2panda topic stream: the log id must be that of the topic. */
export function topicStreamPolicy(topic: TopicId): LogPolicy {
  const expected = topicLogId(topic)
  return nodeExtensionsPolicy((_, { logId }) =>
    equalBytes(logId, expected) ? 'ok' : 'the log id is not that of the topic',
  )
}
