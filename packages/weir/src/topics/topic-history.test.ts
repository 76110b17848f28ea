import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { SqliteStore } from '../store/index.ts'
import {
  keyOf,
  logOf,
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

test('HEAD_UNKNOWN: a store that forgets is written only after the own log came from a peer', () =>
  withNodes(async (nodes) => {
    const { writer, reader } = await pair(nodes)
    const out = await writer.streams.open(TOPIC)
    const inward = await reader.streams.open(TOPIC)
    for (const words of ['a', 'b']) await out.publish(text(words))
    await take(inward, 2)
    await writer.close()

    // A restart with an empty store: the log goes on, it is not begun anew.
    const again = await nodes.node(1, { peers: [reader.id] })
    const resumed = await again.streams.open(TOPIC)
    if (!resumed.headKnown) {
      await assert.rejects(resumed.publish(text('too early')), {
        code: 'HEAD_UNKNOWN',
        retryable: true,
      })
    }
    await until(() => resumed.headKnown)
    const { seq } = await resumed.publish(text('c'))
    assert.equal(seq, 2)
    assert.deepEqual(await take(inward, 1), ['c'])
    assert.equal(nodes.counters.value('sync_forks_total'), 0)
  }))

test('HEAD_UNKNOWN: a peer that does not have the own log makes the head no better known', () =>
  withNodes(async (nodes) => {
    const reader = await nodes.node(2, { freshKey: true })
    const other = await reader.streams.open(TOPIC)
    await other.publish(text('of another author'))
    const writer = await nodes.node(1, { peers: [reader.id] })
    const stream = await writer.streams.open(TOPIC)
    assert.deepEqual(await take(stream, 1), ['of another author'])
    await until(() => [...writer.streams.find(TOPIC)!.peers()][0]?.live === true)
    assert.equal(stream.headKnown, false)
    await assert.rejects(stream.publish(text('x')), { code: 'HEAD_UNKNOWN' })
  }))

test('a store that keeps lets a restarted node go on with its log, and the cursor with its reading', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-topics-'))
  const openStore = (name: string) => (ledger: never, terms: never) =>
    SqliteStore.open({ path: join(folder, name), ledger, terms })
  try {
    await withNodes(async (nodes) => {
      let writer = await nodes.node(1, { openStore: openStore('a.db') })
      let out = await writer.streams.open(TOPIC)
      for (const words of ['a', 'b', 'c']) await out.publish(text(words))
      const setup = { openStore: openStore('b.db'), peers: [writer.id] }
      let reader = await nodes.node(2, setup)
      let inward = await reader.streams.open(TOPIC, { cursor: 'sub' })
      const got: string[] = []
      for await (const event of inward) {
        got.push(wordsOf(event))
        if (event.type === 'operation' && got.length < 3) await inward.ack(event.operation)
        if (got.length === 3) break
      }
      assert.deepEqual(got, ['a', 'b', 'c'])
      await reader.close()
      await writer.close()

      writer = await nodes.node(1, { openStore: openStore('a.db') })
      out = await writer.streams.open(TOPIC)
      assert.equal((await out.publish(text('d'))).seq, 3)
      reader = await nodes.node(2, setup)
      inward = await reader.streams.open(TOPIC, { cursor: 'sub' })
      // c was not acknowledged.
      assert.deepEqual(await take(inward, 2), ['c', 'd'])
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('an acknowledgement needs a cursor, and a cursor a proper name', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stream = await writer.streams.open(TOPIC)
    const operation = await stream.publish(text('x'))
    await assert.rejects(stream.ack(operation), { code: 'CURSOR_NONE' })
    const cursor = 'no/slash'
    await assert.rejects(writer.streams.open(OTHER_TOPIC, { cursor }), {
      code: 'CURSOR_NAME_INVALID',
    })
    await writer.store.setMeta('unrelated', new Uint8Array(1))
    await stream.unsubscribe()
    assertNoTrace(writer)
  }))

test('topics.cursors: an acknowledgement of one log more than the cap is refused', () =>
  withNodes(async (nodes) => {
    const limits = topicLimits({ cursorLogsMax: 1, streamsMax: 1 })
    const { writer } = await pair(nodes, limits)
    const stream = await writer.streams.open(TOPIC, { cursor: 'c' })
    const operation = await stream.publish(text('x'))
    await stream.ack(operation)
    const other = { ...operation, author: keyOf(9).id }
    await assert.rejects(stream.ack(other), { code: 'LIMIT' })
    assert.equal(writer.ledger.row(writer.terms.cursors).refused.cap, 1)
  }))

test('a value in the store that is no cursor is refused with its name', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stream = await writer.streams.open(TOPIC, { cursor: 'c' })
    await stream.ack(await stream.publish(text('x')))
    await stream.unsubscribe()
    const key = `cursor/c/${Buffer.from(TOPIC.subarray(0, 16)).toString('base64url')}`
    assert.ok(await writer.store.meta(key))
    await writer.store.setMeta(key, new Uint8Array(3))
    await assert.rejects(writer.streams.open(TOPIC, { cursor: 'c' }), { code: 'CURSOR_INVALID' })
    assertNoTrace(writer)
  }))

test('acknowledgements in a run are all there at the end, in few writes', () =>
  withNodes(async (nodes) => {
    const { writer } = await pair(nodes)
    const stream = await writer.streams.open(TOPIC, { cursor: 'c', deliverOwn: true })
    const operations = []
    for (let count = 0; count < 20; count++) operations.push(await stream.publish(text(`${count}`)))
    let writes = 0
    const { store } = writer
    const setMeta = store.setMeta.bind(store)
    store.setMeta = (key, value) => {
      writes++
      return setMeta(key, value)
    }
    await Promise.all(operations.map((operation) => stream.ack(operation)))
    assert.ok(writes <= 3, `${writes} writes`)
    await stream.unsubscribe()
    const again = await writer.streams.open(TOPIC, { cursor: 'c', deliverOwn: true })
    await again.publish(text('next'))
    assert.deepEqual(await take(again, 1), ['next'])
  }))

test('an operation that was kept under a larger plan and fits no queue is a gap, and its log goes on', () =>
  withNodes(async (nodes) => {
    const node = await nodes.node(2, { freshKey: true })
    const bodies = [1, 5 * 1024 * 1024, 1].map((bytes) => new Uint8Array(bytes).fill(97))
    await node.store.append(TOPIC, logOf(TOPIC, 9, bodies))
    const stream = await node.streams.open(TOPIC, { from: 'start' })
    assert.deepEqual((await take(stream, 3)).sort(), ['a', 'a', 'gap of 1'])
  }))
