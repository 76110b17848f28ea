/**
 * Two nodes of one process: one publishes, the other one iterates and acknowledges. Between two machines it is the same with
 * `transport: 'quic'` (the default), a key file and a store; `weir pub` and `weir sub` are that.
 *
 *     node tools/with-node.js examples/pub-sub.ts
 */
import {
  decodeCbor,
  encodeCbor,
  KeyPair,
  MemoryNetwork,
  memoryTransport,
  Node,
  type StreamEvent,
  topicId,
} from 'weir-mesh'
import { systemClock } from 'weir-mesh/runtime'

const topic = topicId(new Uint8Array(32).fill(1))
const network = new MemoryNetwork({ clock: systemClock })
const [alice, bob] = [KeyPair.generate(), KeyPair.generate()]
const common = { memoryBytes: 32 * 2 ** 20, transport: memoryTransport(network), freshKey: true }

/** The text that an operation carries; operations of p2panda nodes have a CBOR value as their body. */
function textOf(event: StreamEvent): string {
  if (event.type === 'gap') return `${event.lost} operations are missing`
  const limits = { bytesMax: 1024, depthMax: 1, itemsMax: 1, lengthMax: 1024 }
  return String(decodeCbor(event.operation.body ?? encodeCbor(''), limits))
}

{
  await using publisher = await Node.open({ ...common, key: alice, unknownPeers: 'accept' })
  await using subscriber = await Node.open({
    ...common,
    key: bob,
    peers: [{ node: alice.id, addresses: publisher.addresses }],
  })
  await using out = await publisher.stream(topic, { consume: false })
  for (const text of ['one', 'two', 'three']) await out.publish(encodeCbor(text))

  // What came before the subscriber is fetched from the log, then both are in live mode.
  const inward = await subscriber.stream(topic, { cursor: 'example' })
  for await (const event of inward) {
    console.log(textOf(event))
    if (event.type === 'operation') await inward.ack(event.operation)
    if (event.type === 'operation' && event.operation.seq === 2) break
  }
  console.log('streams left', [...subscriber.status().topics].length)
  await Promise.all([publisher.close(), subscriber.close()])
  publisher.ledger.assertEmpty()
  subscriber.ledger.assertEmpty()
}
network[Symbol.dispose]()
console.log('both ledgers are empty')
