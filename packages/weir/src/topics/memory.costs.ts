/** How the terms of topic streams are filled for `npm run costs`. */
import {
  type Account,
  BoundedMap,
  Channel,
  type CostCase,
  Ledger,
  MultiMap,
  planMemory,
} from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import {
  decodeHeader,
  idKey,
  KeyPair,
  type LogId,
  type NodeId,
  type TopicId,
  topicId,
  topicLogId,
} from '../core/index.ts'
import { Scope, systemClock } from '../runtime/index.ts'
import type { LogStore, StoredOperation } from '../store/index.ts'
import { makeLog } from '../sync/fixtures.ts'
import { Cursor } from './cursor.ts'
import { topicLimits, topicTerms } from './memory.ts'
import { OwnLog } from './own-log.ts'
import { StreamState } from './stream-state.ts'
import { type StreamHost, TopicStream } from './topic-stream.ts'

const QUEUED = 64
const BODY_BYTES = 64
const key = KeyPair.fromSeed(new Uint8Array(32).fill(1))
const TOPIC = topicId(new Uint8Array(32).fill(7))
const pattern = makeLog({ key, count: 1, bodyBytes: BODY_BYTES })[0]!
const OPERATION_BYTES = pattern.header.length + BODY_BYTES

const limits = topicLimits({
  topicsMax: 64,
  traced: false,
  queueMax: QUEUED,
  operationBytesMax: QUEUED * OPERATION_BYTES,
  queueBytesMax: QUEUED * OPERATION_BYTES,
  publishesMax: QUEUED,
  publishBytesMax: QUEUED * BODY_BYTES,
})
const terms = topicTerms(limits)
const wide = topicTerms(topicLimits({ streamsMax: 2 ** 16, queueMax: 4 }))
const besides = new Ledger(planMemory(Object.values(wide), { limitBytes: 2 ** 52 }))
const scope = new Scope('costs')
const never = new Promise<never>(() => {})

function id(index: number, at: number): Uint8Array {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(0, index)
  new DataView(bytes.buffer).setUint32(4, at)
  return bytes
}

function operation(): StoredOperation {
  const header = decodeHeader(pattern.header)
  return {
    id: header.id,
    author: header.author,
    logId: copyBytes(topicLogId(TOPIC)) as LogId,
    seq: header.seq,
    backlink: header.backlink,
    header: header.bytes,
    body: copyBytes(pattern.body!),
    payloadSize: header.payloadSize,
    prune: false,
  }
}

function fillQueue(account: Account): unknown {
  const channel = new Channel<StoredOperation>(account, {
    bytesOf: ({ header, body }) => header.length + (body?.length ?? 0),
  })
  for (let at = 0; at < account.term.entriesMax; at++) channel.push(operation())
  return channel
}

/** Beside the sync of each: the record, its scope with what is deferred in it, and the own log. */
function fillTopics(account: Account, index: number): unknown {
  const topics = new BoundedMap<string, unknown>(account)
  const parent = scope.child('topics')
  for (let at = 0; at < account.term.entriesMax; at++) {
    const topic = topicId(id(index, at))
    const each = parent.child(`topic ${at}`)
    each.defer('unpin', () => topic)
    const own = ownLog(account, topic)
    topics.set(idKey(topic), {
      ...{ topic, scope: each, opening: Promise.resolve(), sync: undefined, own },
      closing: undefined,
    })
  }
  return [topics, parent]
}

function ownLog(account: Account, topic: TopicId): OwnLog {
  return new OwnLog({
    key,
    logId: topicLogId(topic),
    store: { log: () => never } as unknown as LogStore,
    clock: systemClock,
    account,
    operationBytesMax: 2 ** 20,
    fresh: true,
    publish: () => never,
  })
}

const host = {} as StreamHost
const topicKey = idKey(TOPIC)
const forgotten = new FinalizationRegistry<number>(() => {})

/** A stream that somebody waits on, with its handle. */
function fillStreams(account: Account): unknown {
  const streams = new BoundedMap<number, StreamState>(account)
  const handles: unknown[] = []
  const abort = new AbortController()
  for (let at = 0; at < account.term.entriesMax; at++) {
    const queue = besides.require(wide.waitQueue)
    const given = { slow: 'wait', consume: true, cursor: undefined, trace: '' } as const
    const state = new StreamState({ ...given, id: at, topicKey, queue })
    streams.set(at, state)
    const stream = new TopicStream(TOPIC, state, host)
    forgotten.register(stream, at, state)
    const listener = () => streams.delete(at)
    abort.signal.addEventListener('abort', listener)
    state.attach({ [Symbol.dispose]: () => abort.signal.removeEventListener('abort', listener) })
    handles.push(stream, stream[Symbol.asyncIterator]().next())
  }
  return [streams, handles, abort]
}

const besideStreams = (): unknown =>
  Array.from(
    { length: terms.streams.entriesMax },
    () => new Channel(besides.require(wide.waitQueue), { bytesOf: () => 0 }),
  )

function fillByTopic(account: Account, index: number): unknown {
  const ids = new MultiMap<string, number>(account, { valuesPerKeyMax: limits.streamsMax })
  for (let at = 0; at < account.term.entriesMax; at++) ids.add(idKey(id(index, at)), at)
  return ids
}

/** Calls that wait for one that the store does not answer. */
function fillPublishes(account: Account): unknown {
  const own = ownLog(account, TOPIC)
  const calls: Promise<unknown>[] = []
  for (let at = 0; at < account.term.entriesMax; at++) {
    calls.push(own.write(new Uint8Array(BODY_BYTES), {}))
  }
  return [own, calls]
}

async function fillCursors(account: Account, index: number): Promise<unknown> {
  const store = { meta: async () => undefined, setMeta: () => never } as unknown as LogStore
  const cursor = await Cursor.open(store, { name: 'costs', topic: TOPIC, account })
  for (let at = 0; at < account.term.entriesMax; at++) {
    const author = id(index, at) as NodeId
    void cursor.advance({ author, logId: id(at, index) as LogId }, at)
  }
  return cursor
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.waitQueue, fill: fillQueue },
  { term: terms.dropQueue, fill: fillQueue },
  { term: terms.topics, fill: fillTopics },
  { term: terms.streams, fill: fillStreams, beside: besideStreams },
  { term: terms.byTopic, variant: 'a topic each', fill: fillByTopic },
  { term: terms.publishes, fill: fillPublishes },
  { term: terms.cursors, fill: fillCursors },
])
