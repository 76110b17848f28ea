/** The topics of a node share the pools of sync: what waits for a peer of one gives way to the consumer of another. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TopicId } from '../core/index.ts'
import { encodeDone, encodeHave, offerTopic } from '../sync/index.ts'
import {
  logOf,
  type Nodes,
  OTHER_TOPIC,
  type TestNode,
  TOPIC,
  take,
  until,
  withNodes,
} from './fixtures.ts'

const KIB = 1024
const LIMITS = {
  frameBytesMax: 64 * KIB,
  ingestBytesMax: 512 * KIB,
  queueBytesMax: 96 * KIB,
  sendWindowBytes: 4 * KIB,
}
/** What waits for the peer leaves no room for one of these. */
const COMING = { count: 6, bodyBytes: 48 * KIB }

/** A peer in live mode that takes nothing of what it is sent. */
async function stalledPeer(nodes: Nodes, node: TestNode, topic: TopicId) {
  const raw = await nodes.node(3)
  const connection = await raw.dial(node.id)
  const { clock, signal } = nodes.scope
  await offerTopic(connection, topic, { clock, signal, timeoutMs: 5_000 })
  const { send } = await connection.openBi()
  await send.write(encodeHave([]))
  await send.write(encodeDone())
  const peers = () => [...(node.streams.find(topic)?.peers() ?? [])]
  await until(() => peers().some(({ live }) => live))
  return { connection, peers }
}

test('what waits for a peer of one topic makes room for the consumer of another topic of the node', () =>
  withNodes(async (nodes) => {
    const node = await nodes.node(1, { freshKey: true, sync: LIMITS })
    const out = await node.streams.open(OTHER_TOPIC, { consume: false })
    const { connection, peers } = await stalledPeer(nodes, node, OTHER_TOPIC)
    const waiting = () => node.ledger.row(node.syncTerms.live).bytes
    for (let count = 0; count < 24; count++) {
      await out.publish(new Uint8Array(8 * KIB))
      if (waiting() > LIMITS.queueBytesMax - COMING.bodyBytes) break
    }
    assert.ok(waiting() > LIMITS.queueBytesMax - COMING.bodyBytes, `${waiting()} bytes wait`)

    const bodies = Array.from({ length: COMING.count }, () => new Uint8Array(COMING.bodyBytes))
    await node.store.append(TOPIC, logOf(TOPIC, 9, bodies))
    const inward = await node.streams.open(TOPIC, { from: 'start' })
    let got = 0
    void take(inward, COMING.count).then(({ length }) => {
      got = length
    })
    // The peer has a minute before its session ends; the other topic does not wait for that.
    for (let tries = 0; tries < 1_000 && got === 0; tries++) await sleep(2)
    assert.equal(got, COMING.count)
    assert.equal(peers().length, 1)
    connection.close(0, '')
  }))
