import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { CountedClock, type LogLine } from '../../testing/index.ts'
import { KeyPair, topicId } from '../core/index.ts'
import { createLogger, systemClock } from '../runtime/index.ts'
import { wireBytesLeast } from '../sync/index.ts'
import type { TopicStream } from '../topics/index.ts'
import { MemoryNetwork, memoryTransport } from '../transport/index.ts'
import { Node, type NodeOptions, planNode } from './index.ts'

const MIB = 2 ** 20
const TOPIC = topicId(new Uint8Array(32).fill(3))
const keyOf = (index: number) => KeyPair.fromSeed(new Uint8Array(32).fill(index))
const body = (words: string) => new TextEncoder().encode(words)

interface World {
  readonly lines: readonly LogLine[]
  open(index: number, options?: Partial<NodeOptions>): Promise<Node>
}

/** Nodes on one memory network; after each test all are closed, their ledgers are empty and no timer is left. */
async function world(run: (world: World) => Promise<void>): Promise<void> {
  const clock = new CountedClock(systemClock)
  const lines: LogLine[] = []
  const log = createLogger({ level: 'debug', write: (line) => lines.push(JSON.parse(line)) })
  const network = new MemoryNetwork({ clock })
  const nodes: Node[] = []
  try {
    await run({
      lines,
      open: async (index, options = {}) => {
        const node = await Node.open({
          memoryBytes: 64 * MIB,
          key: keyOf(index),
          freshKey: true,
          transport: memoryTransport(network),
          clock,
          log,
          ...options,
        })
        nodes.push(node)
        return node
      },
    })
  } finally {
    await Promise.all(nodes.map((node) => node.close()))
    network[Symbol.dispose]()
  }
  for (const node of nodes) {
    node.ledger.assertEmpty()
    for (const name of [
      'cleanup_failures_total',
      'scope_close_overdue_total',
      'task_failures_total',
    ]) {
      assert.equal(node.counters.value(name), 0, `${name}: ${JSON.stringify(lines)}`)
    }
  }
  assert.equal(clock.timers, 0)
}

const peerOf = (node: Node) => ({ node: node.id, addresses: node.addresses })

async function take(stream: TopicStream, count: number): Promise<string[]> {
  const iterator = stream[Symbol.asyncIterator]()
  const words: string[] = []
  while (words.length < count) {
    const { value, done } = await iterator.next()
    if (done) break
    if (value.type === 'operation') words.push(new TextDecoder().decode(value.operation.body))
  }
  return words
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2))
}

test('two nodes that know each other exchange what they publish, both ways', () =>
  world(async ({ open }) => {
    const listen = '127.0.0.1:9101'
    const a = await open(1, { listen, peers: [{ node: keyOf(2).id, addresses: [] }] })
    const b = await open(2, { peers: [{ node: keyOf(1).id, addresses: [listen] }] })
    assert.deepEqual(a.addresses, [listen])
    const [atA, atB] = [await a.stream(TOPIC), await b.stream(TOPIC)]
    await atA.publish(body('from a'))
    assert.deepEqual(await take(atB, 1), ['from a'])
    await atB.publish(body('from b'))
    assert.deepEqual(await take(atA, 1), ['from b'])
    const { id, topics, ready } = b.status()
    assert.equal(ready, true)
    assert.equal(id, Buffer.from(b.id).toString('hex'))
    assert.equal(topics[0]?.peers[0]?.id, Buffer.from(a.id).toString('hex'))
    assert.equal(topics[0]?.streams, 1)
  }))

test('an unknown peer is refused by default, and accepted when the options say so', () =>
  world(async ({ open }) => {
    const closed = await open(1)
    const opened = await open(2, { unknownPeers: 'accept' })
    const reports: string[] = []
    const guest = await open(3, {
      peers: [peerOf(closed), peerOf(opened)],
      onReport: (_topic, { type }) => void reports.push(type),
    })
    const [atClosed, atOpened] = [await closed.stream(TOPIC), await opened.stream(TOPIC)]
    const out = await guest.stream(TOPIC)
    await out.publish(body('hello'))
    assert.deepEqual(await take(atOpened, 1), ['hello'])
    await until(() => closed.counters.value('node_connections_refused_total') > 0)
    assert.equal(atClosed.queued, 0)
    assert.ok(reports.includes('live'))
  }))

test('nodes of another network are never met', () =>
  world(async ({ open }) => {
    const a = await open(1, { networkId: 'one', unknownPeers: 'accept' })
    const b = await open(2, { networkId: 'other', peers: [peerOf(a)] })
    const [atA, atB] = [await a.stream(TOPIC), await b.stream(TOPIC)]
    await atB.publish(body('x'))
    await until(() => b.counters.value('sync_retries_total') > 0)
    assert.equal(atA.queued, 0)
    assert.equal(a.counters.value('sync_sessions_total'), 0)
  }))

test('a topic without a stream here answers as if it did not exist', () =>
  world(async ({ open }) => {
    const a = await open(1, { unknownPeers: 'accept' })
    const b = await open(2, { peers: [peerOf(a)] })
    await b.stream(TOPIC)
    await until(() => a.counters.value('sync_handshakes_failed_total') > 0)
  }))

test('one number decides: a limit that is too small names what is missing, a larger one gives more', async () => {
  const transport = memoryTransport(new MemoryNetwork({ clock: systemClock }))
  await assert.rejects(planNode({ memoryBytes: MIB, transport }), { code: 'PLAN_TOO_LARGE' })
  await assert.rejects(Node.open({ memoryBytes: MIB, transport }), { code: 'PLAN_TOO_LARGE' })
  let before = 0
  for (const mib of [16, 32, 64, 256, 1_024]) {
    const { plan, limits } = await planNode({ memoryBytes: mib * MIB, transport })
    assert.ok(plan.totalBytes <= mib * MIB)
    assert.deepEqual(plan.v8Flags, [])
    assert.ok(limits.topics.topicsMax >= before)
    before = limits.topics.topicsMax
    const { topicsMax, peersMax, frameBytesMax, wireBytesMax } = limits.sync
    const sessions = Math.min(topicsMax * peersMax, 2 * peersMax + 4)
    assert.ok(wireBytesMax >= wireBytesLeast(frameBytesMax, sessions), `${mib} MiB`)
  }
  const few = await planNode({ memoryBytes: 64 * MIB, transport, topicsMax: 1, peersMax: 2 })
  assert.equal(few.limits.topics.topicsMax, 1)
  assert.equal(few.limits.sync.peersMax, 2)
  const program = await planNode({ memoryBytes: 512 * MIB, transport, program: 'library' })
  assert.ok(program.plan.floorBytes > 0)
  assert.match(program.plan.v8Flags.join(' '), /--max-old-space-size=\d+/)
})

test('a node that cannot open leaves nothing behind', () =>
  world(async ({ open }) => {
    const a = await open(1, { listen: '127.0.0.1:9102' })
    await assert.rejects(open(2, { listen: '127.0.0.1:9102' }), { code: 'ADDRESS_IN_USE' })
    await assert.rejects(open(2, { peers: [{ node: a.id, addresses: ['nowhere'] }] }), {
      code: 'ADDRESS_INVALID',
    })
    assert.equal(a.health.ready, true)
  }))

test('two nodes never share a store, and a restart goes on with its log', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-node-'))
  const store = { path: join(folder, 'node.db') }
  try {
    await world(async ({ open }) => {
      const first = await open(1, { store, freshKey: false })
      await assert.rejects(open(1, { store }), { code: 'STORE_LOCKED' })
      const stream = await first.stream(TOPIC)
      await stream.publish(body('a'))
      await first.close()
      await first.close()
      const second = await open(1, { store, freshKey: false })
      const again = await second.stream(TOPIC)
      assert.equal((await again.publish(body('b'))).seq, 1)
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a key from elsewhere with a store that forgets cannot write; one made here can', () =>
  world(async ({ open }) => {
    const given = await open(1, { freshKey: false })
    const atGiven = await given.stream(TOPIC)
    await assert.rejects(atGiven.publish(body('x')), { code: 'HEAD_UNKNOWN' })
    const network = new MemoryNetwork({ clock: systemClock })
    await using made = await Node.open({
      memoryBytes: 64 * MIB,
      transport: memoryTransport(network),
    })
    const atMade = await made.stream(TOPIC)
    assert.equal((await atMade.publish(body('x'))).seq, 0)
    await made.close()
    network[Symbol.dispose]()
  }))

test('a program samples its memory, a library does not', async () => {
  const transport = memoryTransport(new MemoryNetwork({ clock: systemClock }))
  const program = await planNode({ memoryBytes: 512 * MIB, transport, program: 'library' })
  const library = await planNode({ memoryBytes: 512 * MIB, transport })
  for (const plan of [program, library]) {
    await using node = await Node.open({ memoryBytes: 512 * MIB, transport, plan })
    const names = [...node.scope.names()]
    assert.equal(names.includes('memory sample'), plan === program)
  }
})
