/** What topic streams may hold beside the sync of their topics. */
import {
  BUFFER_SHELL_BYTES,
  MAP_NODE_BYTES,
  MULTI_KEY_BYTES,
  MULTI_VALUE_BYTES,
  OBJECT_BYTES,
  PROMISE_BYTES,
  pool,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from '../bounds/index.ts'
import { ID_BYTES } from '../core/index.ts'
import { assert } from '../runtime/index.ts'

export interface TopicLimits {
  /** Topics that are open at once; the same as of sync. Default 8. */
  readonly topicsMax: number
  /** Streams of all topics. Default 32. */
  readonly streamsMax: number
  /** Operations that wait for one consumer. Default 64. */
  readonly queueMax: number
  /** Bytes of them, and the longest that can be delivered. Default 1 MiB and 128 KiB, as a frame of sync. */
  readonly operationBytesMax: number
  /** Bytes that wait for all consumers. Default 4 MiB. */
  readonly queueBytesMax: number
  /** Calls of `publish` that wait for the one before, of all topics. Default 64. */
  readonly publishesMax: number
  /** Bytes of their bodies. Default 2 MiB. */
  readonly publishBytesMax: number
  /** Logs whose place is remembered for a cursor, per stream. Default 256. */
  readonly cursorLogsMax: number
  /** Note where a stream was opened, 1 KiB each. Default: with `WEIR_ASSERT=1` or `NODE_ENV=development`. */
  readonly traced: boolean
}

const MIB = 1024 * 1024

const DEFAULTS: Omit<TopicLimits, 'traced'> = Object.freeze({
  topicsMax: 8,
  streamsMax: 32,
  queueMax: 64,
  operationBytesMax: MIB + 128 * 1024,
  queueBytesMax: 4 * MIB,
  publishesMax: 64,
  publishBytesMax: 2 * MIB,
  cursorLogsMax: 256,
})

/** The longest trace that is kept with a stream. */
export const TRACE_CHARS_MAX = 1_024

export function topicLimits(given: Partial<TopicLimits> = {}): TopicLimits {
  const { env } = process
  const traced = env['WEIR_ASSERT'] === '1' || env['NODE_ENV'] === 'development'
  const limits: TopicLimits = { ...DEFAULTS, traced, ...given }
  for (const [name, value] of Object.entries(limits)) {
    assert(name in DEFAULTS || name === 'traced', `there is no topic limit '${name}'`)
    const valid = typeof value === 'boolean' || (Number.isSafeInteger(value) && value >= 1)
    assert(valid, `the topic limit ${name} is ${value}`)
  }
  assert(
    limits.queueBytesMax >= limits.operationBytesMax,
    'an operation of full length must fit into queueBytesMax',
  )
  return Object.freeze(limits)
}

/** An operation beside header and body: two buffers, views, the object. */
const OPERATION_BYTES = 2 * BUFFER_SHELL_BYTES + 5 * 104 + 2 * OBJECT_BYTES

export type TopicTerms = Terms<
  | 'queueBytes'
  | 'topics'
  | 'streams'
  | 'byTopic'
  | 'waitQueue'
  | 'dropQueue'
  | 'publishes'
  | 'cursors'
>

export function topicTerms(limits: TopicLimits): TopicTerms {
  const queueBytes = pool({
    name: 'topics.queue-bytes',
    why: 'operations that wait for consumers',
    arena: 'buffers',
    payloadBytesMax: limits.queueBytesMax,
  })
  const queue = {
    instancesMax: limits.streamsMax,
    entriesMax: limits.queueMax,
    table: 'ring',
    shellBytes: OPERATION_BYTES,
    payloadBytesMax: limits.operationBytesMax,
    pool: queueBytes,
  } as const
  return {
    queueBytes,
    topics: term({
      name: 'topics.topics',
      why: 'topics with a stream',
      table: 'map',
      entriesMax: limits.topicsMax,
      shellBytes: MAP_NODE_BYTES + STRING_SHELL_BYTES + ID_BYTES + 20 * OBJECT_BYTES,
    }),
    streams: term({
      name: 'topics.streams',
      why: 'streams by id, and where each was opened',
      table: 'map',
      entriesMax: limits.streamsMax,
      shellBytes:
        MAP_NODE_BYTES +
        12 * OBJECT_BYTES +
        2 * PROMISE_BYTES +
        (limits.traced ? TRACE_CHARS_MAX : 0),
    }),
    byTopic: term({
      name: 'topics.by-topic',
      why: 'ids of the streams of each topic',
      table: 'map',
      entriesMax: limits.streamsMax,
      shellBytes: MULTI_KEY_BYTES + MULTI_VALUE_BYTES + STRING_SHELL_BYTES + ID_BYTES,
    }),
    waitQueue: term({
      ...queue,
      name: 'topics.wait-queue',
      why: 'operations that wait for one consumer; more wait in the store',
      overflow: 'wait',
    }),
    dropQueue: term({
      ...queue,
      name: 'topics.drop-queue',
      why: 'operations that wait for one consumer; the oldest are dropped',
      overflow: 'drop-old',
    }),
    publishes: term({
      name: 'topics.publishes',
      why: 'calls of publish that wait for the one before',
      entriesMax: limits.publishesMax,
      shellBytes: 2 * PROMISE_BYTES + 3 * OBJECT_BYTES + BUFFER_SHELL_BYTES,
      payloadBytesMax: limits.publishBytesMax,
    }),
    cursors: term({
      name: 'topics.cursors',
      why: 'how far the consumer of a stream has come in each log',
      instancesMax: limits.streamsMax,
      entriesMax: limits.cursorLogsMax,
      table: 'map',
      // The key is joined from two strings and stays so.
      shellBytes: MAP_NODE_BYTES + 4 * STRING_SHELL_BYTES + 2 * ID_BYTES,
      shedAt: 'never',
    }),
  }
}
