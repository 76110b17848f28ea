import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { collectable } from '../../testing/index.ts'
import { forceCollection } from '../bounds/index.ts'
import { topicId, topicLogId } from '../core/index.ts'
import {
  type Nodes,
  OTHER_TOPIC,
  type TestNode,
  TOPIC,
  take,
  text,
  until,
  withNodes,
  wordsOf,
} from './fixtures.ts'
import { topicLimits } from './index.ts'

/** Everything that an index could keep of a stream. */
function assertNoTrace(node: TestNode): void {
  assert.equal(node.streams.size, 0)
  assert.equal(node.streams.topics, 0)
  for (const name of Object.keys(node.terms) as (keyof typeof node.terms)[]) {
    if (['topics', 'streams', 'byTopic', 'publishes', 'queueBytes'].includes(name)) {
      assert.equal(node.ledger.row(node.terms[name]).entries, 0, name)
    } else assert.equal(node.ledger.row(node.terms[name]).instances, 0, name)
    assert.equal(node.ledger.row(node.terms[name]).bytes, 0, name)
  }
}

async function pair(nodes: Nodes, limits = topicLimits()) {
  const writer = await nodes.node(1, { freshKey: true, limits })
  const reader = await nodes.node(2, { freshKey: true, limits, peers: [writer.id] })
  return { writer, reader }
}

test('what one node publishes another one gets, once and in order', () =>
  withNodes(async (nodes) => {
    const { writer, reader } = await pair(nodes)
    const out = await writer.streams.open(TOPIC, { consume: false })
    await out.publish(text('before'))
    const inward = await reader.streams.open(TOPIC, { from: 'start' })
    assert.deepEqual(await take(inward, 1), ['before'])
    for (let count = 0; count < 100; count++) await out.publish(text(`live ${count}`))
    const words = await take(inward, 100)
    assert.deepEqual(
      words,
      Array.from({ length: 100 }, (_, at) => `live ${at}`),
    )
    assert.equal(inward.queued, 0)
  }))

test('publishes that run side by side are written in their order, each once', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stream = await writer.streams.open(TOPIC, { deliverOwn: true })
    const bodies = Array.from({ length: 30 }, (_, at) => `${at}`)
    const written = await Promise.all(bodies.map((body) => stream.publish(text(body))))
    assert.deepEqual(
      written.map(({ seq }) => seq),
      bodies.map(Number),
    )
    assert.deepEqual(await take(stream, 30), bodies)
  }))

test('regression: leak analysis finding 3, TopicStreams never unsubscribe: 200 streams leave no trace', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const ids: number[] = []
    for (let round = 0; round < 50; round++) {
      const topic = topicId(new Uint8Array(32).fill(round))
      const streams = await Promise.all([1, 2, 3, 4].map(() => writer.streams.open(topic)))
      ids.push(...streams.map(({ id }) => id))
      assert.equal(writer.streams.size, 4)
      assert.equal(writer.streams.topics, 1)
      await Promise.all(streams.map((stream) => stream.unsubscribe()))
      assertNoTrace(writer)
    }
    assert.equal(new Set(ids).size, ids.length, 'an id was used twice')
    assert.deepEqual(
      ids.toSorted((a, b) => a - b),
      ids,
    )
  }))

const WAYS = Object.freeze({
  unsubscribe: async (node: TestNode) => {
    const stream = await node.streams.open(TOPIC)
    await stream.unsubscribe()
    await stream.unsubscribe()
  },
  disposal: async (node: TestNode) => {
    await using stream = await node.streams.open(TOPIC)
    assert.ok(!stream.closed)
  },
  'break of the loop': async (node: TestNode) => {
    const stream = await node.streams.open(TOPIC, { deliverOwn: true })
    await stream.publish(text('one'))
    for await (const event of stream) {
      assert.equal(wordsOf(event), 'one')
      break
    }
  },
  'an error in the loop': async (node: TestNode) => {
    const stream = await node.streams.open(TOPIC, { deliverOwn: true })
    await stream.publish(text('one'))
    const consume = async () => {
      for await (const _ of stream) throw new Error('the consumer failed')
    }
    await assert.rejects(consume(), /the consumer failed/)
  },
  'throw of the iterator': async (node: TestNode) => {
    const iterator = (await node.streams.open(TOPIC))[Symbol.asyncIterator]()
    await assert.rejects(iterator.throw!(new Error('no more')), /no more/)
  },
  abort: async (node: TestNode) => {
    const controller = new AbortController()
    const stream = await node.streams.open(TOPIC, { signal: controller.signal })
    const loop = (async () => {
      for await (const _ of stream) assert.fail('nothing was published')
    })()
    controller.abort()
    await loop
    await until(() => node.streams.topics === 0)
  },
  'an abort before': async (node: TestNode) => {
    const signal = AbortSignal.abort()
    await assert.rejects(node.streams.open(TOPIC, { signal }), { code: 'CLOSED' })
  },
  'an abort while it opens': async (node: TestNode) => {
    const controller = new AbortController()
    const opening = node.streams.open(TOPIC, { signal: controller.signal })
    controller.abort()
    await assert.rejects(opening, { code: 'CLOSED' })
  },
  'the end of the node': async (node: TestNode) => {
    const stream = await node.streams.open(TOPIC)
    const loop = take(stream, 1)
    await node.streams.close()
    assert.deepEqual(await loop, [])
    await assert.rejects(node.streams.open(TOPIC), { code: 'CLOSED' })
  },
})

for (const [way, leave] of Object.entries(WAYS)) {
  test(`no index keeps a trace of a stream that left by ${way}`, () =>
    withNodes(async (nodes) => {
      const { writer } = await pair(nodes)
      await leave(writer)
      if (way !== 'the end of the node') assertNoTrace(writer)
    }))
}

test('a closed stream refuses calls and ends its iteration', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stream = await writer.streams.open(TOPIC, { cursor: 'c' })
    await stream.unsubscribe()
    assert.ok(stream.closed)
    assert.throws(() => stream.publish(text('x')), { code: 'CLOSED' })
    const operation = { seq: 1 } as never
    await assert.rejects(stream.ack(operation), { code: 'CLOSED' })
    assert.deepEqual(await take(stream, 1), [])
  }))

test('a forgotten handle is collected, reported with where it was made, and cleaned up', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes, topicLimits({ traced: true }))
    assert.ok(await collectable(() => writer.streams.open(TOPIC)))
    await until(async () => {
      forceCollection()
      await turn()
      return writer.streams.topics === 0
    })
    assertNoTrace(writer)
    assert.equal(nodes.counters.value('topics_streams_forgotten_total'), 1)
    const line = nodes.lines.find(({ message }) => message.includes('was forgotten'))
    assert.match(String(line?.['opened']), /topic-streams\.test\.ts/)
  }))

test('a handle that somebody iterates is not forgotten', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const got = (async () => take(await writer.streams.open(TOPIC, { deliverOwn: true }), 1))()
    await until(() => writer.streams.topics === 1 && writer.streams.find(TOPIC) !== undefined)
    const publisher = await writer.streams.open(TOPIC, { consume: false })
    for (let round = 0; round < 5; round++) {
      forceCollection()
      await turn()
    }
    await publisher.publish(text('still here'))
    assert.deepEqual(await got, ['still here'])
  }))

test('a closed stream is collectable while its topic lives on', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stays = await writer.streams.open(TOPIC)
    const left = await collectable(async () => {
      const stream = await writer.streams.open(TOPIC)
      await stream.unsubscribe()
      return stream
    })
    assert.ok(left)
    assert.equal(nodes.counters.value('topics_streams_forgotten_total'), 0)
    assert.ok(!stays.closed)
  }))

test('several streams of a topic get each operation, and the topic lives until the last leaves', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const one = await writer.streams.open(TOPIC, { deliverOwn: true })
    const two = await writer.streams.open(TOPIC)
    await one.publish(text('a'))
    assert.deepEqual(await take(one, 1), ['a'])
    assert.deepEqual(await take(two, 1), ['a'])
    await one.unsubscribe()
    assert.equal(writer.streams.topics, 1)
    await two.publish(text('b'))
    assert.deepEqual(await take(two, 1), ['b'])
    await two.unsubscribe()
    assertNoTrace(writer)
  }))

test('a topic that is closing is opened anew by a stream that comes meanwhile', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const first = await writer.streams.open(TOPIC)
    const leaving = first.unsubscribe()
    const second = await writer.streams.open(TOPIC, { deliverOwn: true, from: 'start' })
    await leaving
    await second.publish(text('anew'))
    assert.deepEqual(await take(second, 1), ['anew'])
    assert.equal(writer.streams.topics, 1)
  }))

test('a further stream cannot choose what the first has decided', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const first = await writer.streams.open(TOPIC)
    const further = [{ from: 'start' }, { cursor: 'a' }, { deliverOwn: true }] as const
    for (const options of further) {
      await assert.rejects(writer.streams.open(TOPIC, options), { code: 'TOPIC_OPEN' })
    }
    assert.equal(writer.streams.size, 1)
    await first.unsubscribe()
    assertNoTrace(writer)
  }))

test('slow consumer, wait: nothing is lost, what does not fit waits in the store', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes, topicLimits({ queueMax: 4 }))
    const stream = await writer.streams.open(TOPIC, { deliverOwn: true })
    for (let count = 0; count < 600; count++) await stream.publish(text(`${count}`))
    assert.equal(stream.queued, 4)
    const words = await take(stream, 600)
    assert.deepEqual(
      words,
      Array.from({ length: 600 }, (_, at) => `${at}`),
    )
    assert.equal(stream.lost, 0)
  }))

test('slow consumer, drop: the newest stay, and a gap tells how many are missing', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes, topicLimits({ queueMax: 4 }))
    const stream = await writer.streams.open(TOPIC, { deliverOwn: true, slow: 'drop' })
    const settled = () => writer.streams.find(TOPIC)?.backlog.deliver === 0
    for (let count = 0; count < 10; count++) await stream.publish(text(`${count}`))
    await until(() => settled() && stream.lost === 6)
    assert.deepEqual(await take(stream, 5), ['gap of 6', '6', '7', '8', '9'])
    assert.equal(stream.lost, 6)
  }))

test('an operation that can never fit is counted as lost, and the next one comes', () =>
  withNodes(async (nodes) => {
    const limits = topicLimits({ operationBytesMax: 6_000, queueBytesMax: 8_000 })
    const writer = await nodes.node(1, { freshKey: true })
    const reader = await nodes.node(2, { freshKey: true, limits, peers: [writer.id] })
    const out = await writer.streams.open(TOPIC, { consume: false })
    const inward = await reader.streams.open(TOPIC)
    await out.publish(new Uint8Array(7_000).fill(65))
    await out.publish(text('small'))
    assert.deepEqual(await take(inward, 1), ['small'])
    assert.equal(inward.lost, 1)
  }))

test('topics.topics: one topic more than the cap is refused, and leaves no trace', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes, topicLimits({ topicsMax: 1 }))
    const first = await writer.streams.open(TOPIC)
    await assert.rejects(writer.streams.open(OTHER_TOPIC), { code: 'LIMIT' })
    assert.equal(writer.ledger.row(writer.terms.topics).refused.cap, 1)
    assert.equal(writer.streams.size, 1)
    await first.unsubscribe()
    const second = await writer.streams.open(OTHER_TOPIC)
    await second.unsubscribe()
    assertNoTrace(writer)
  }))

test('topics.streams, topics.by-topic, topics.wait-queue: one stream more than the cap is refused', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes, topicLimits({ streamsMax: 2 }))
    const streams = [await writer.streams.open(TOPIC), await writer.streams.open(TOPIC)]
    await assert.rejects(writer.streams.open(TOPIC), { code: 'LIMIT' })
    // A queue of the other kind is free, so that it is the index that refuses.
    await assert.rejects(writer.streams.open(TOPIC, { slow: 'drop' }), { code: 'LIMIT' })
    assert.equal(writer.ledger.row(writer.terms.waitQueue).refused.cap, 1)
    assert.equal(writer.ledger.row(writer.terms.streams).refused.cap, 1)
    assert.equal(writer.ledger.row(writer.terms.byTopic).entries, 2)
    for (const stream of streams) await stream.unsubscribe()
    assertNoTrace(writer)
  }))

test('topics.drop-queue: one dropping stream more than the cap is refused', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes, topicLimits({ streamsMax: 1 }))
    const stream = await writer.streams.open(TOPIC, { slow: 'drop' })
    await assert.rejects(writer.streams.open(TOPIC, { slow: 'drop' }), { code: 'LIMIT' })
    assert.equal(writer.ledger.row(writer.terms.dropQueue).refused.cap, 1)
    await stream.unsubscribe()
  }))

test('topics.queue-bytes: what the pool has no room for waits until a consumer has read', () =>
  withNodes(async (nodes) => {
    const limits = topicLimits({ operationBytesMax: 8_000, queueBytesMax: 8_000 })
    const { writer } = await pair(nodes, limits)
    const one = await writer.streams.open(TOPIC, { deliverOwn: true })
    const two = await writer.streams.open(OTHER_TOPIC, { deliverOwn: true })
    await one.publish(text('x'.repeat(3_000)))
    await one.publish(text('y'.repeat(3_000)))
    await until(() => one.queued === 2)
    await two.publish(text('z'.repeat(3_000)))
    const { refused } = writer.ledger.row(writer.terms.waitQueue)
    await until(() => writer.ledger.row(writer.terms.waitQueue).refused.pool > refused.pool)
    assert.equal(two.queued, 0)
    await take(one, 1)
    assert.deepEqual(await take(two, 1), ['z'.repeat(3_000)])
  }))

test('topics.publishes: one call more than may wait is refused, with its bytes', () =>
  withNodes(async (nodes) => {
    const limits = topicLimits({ publishesMax: 2, publishBytesMax: 100 })
    const { writer } = await pair(nodes, limits)
    const stream = await writer.streams.open(TOPIC)
    const calls = [text('a'), text('b'), text('c')].map((body) => stream.publish(body))
    const done = await Promise.allSettled(calls)
    assert.deepEqual(
      done.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected'],
    )
    assert.equal((done[2] as PromiseRejectedResult).reason.code, 'LIMIT')
    await assert.rejects(stream.publish(text('x'.repeat(101))), { code: 'LIMIT' })
    await stream.publish(text('x'.repeat(100)))
  }))

test('a body that no frame could carry is refused before it is signed, as is an empty one', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stream = await writer.streams.open(TOPIC)
    const huge = new Uint8Array(topicLimits().operationBytesMax)
    await assert.rejects(stream.publish(huge), { code: 'BODY_TOO_LARGE' })
    await assert.rejects(stream.publish(new Uint8Array()), { code: 'BODY_EMPTY' })
    const { seq } = await stream.publish(undefined)
    assert.equal(seq, 0)
  }))

test('a prune operation removes what is before it', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stream = await writer.streams.open(TOPIC)
    for (const words of ['a', 'b', 'c']) await stream.publish(text(words))
    await stream.publish(text('all of it'), { prune: true })
    const log = await writer.store.log({ author: writer.id, logId: topicLogId(TOPIC) })
    assert.deepEqual([log?.from, log?.height, log?.operations], [3, 3, 1])
  }))

test('the status names a topic by its log id, never by itself', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stream = await writer.streams.open(TOPIC)
    const [state] = [...writer.streams.states()]
    assert.equal(state?.streams, 1)
    assert.equal(state?.name, Buffer.from(topicLogId(TOPIC)).toString('hex').slice(0, 10))
    assert.equal(state?.headKnown, true)
    await stream.unsubscribe()
    assert.equal([...writer.streams.states()].length, 0)
  }))
