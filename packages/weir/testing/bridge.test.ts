import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import test from 'node:test'
import { KeyPair } from '../src/core/index.ts'
import { isWeirError, type Scope } from '../src/runtime/index.ts'
import {
  nextIncoming,
  pattern,
  readBytes,
  TEST_PROTOCOL,
} from '../src/transport/conformance-pair.suite.ts'
import {
  FixedAddresses,
  MemoryEndpoint,
  MemoryNetwork,
  transportLimits,
  transportTerms,
} from '../src/transport/index.ts'
import { bridgeFrom, bridgeTo } from './bridge.ts'
import { withLedger } from './index.ts'

interface Ends {
  readonly dialler: MemoryEndpoint
  readonly listener: MemoryEndpoint
  readonly port: number
}

/** Two networks, as two processes have, and a socket between them; `through` may lead it elsewhere first. */
async function bridged(
  run: (ends: Ends) => Promise<void>,
  through: (port: number, scope: Scope) => Promise<number> = async (port) => port,
): Promise<void> {
  const limits = transportLimits({ endpointsMax: 2 })
  const terms = transportTerms(limits)
  await withLedger(Object.values(terms), async (ledger, scope) => {
    const [left, right] = [new MemoryNetwork(), new MemoryNetwork()]
    const server = createServer()
    server.listen(0, '127.0.0.1')
    scope.defer('server', () => server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    bridgeFrom(scope, right, server)
    const listener = new MemoryEndpoint({
      ...{ scope, ledger, terms, limits, network: right, nodeId: KeyPair.generate().id },
      lookup: new FixedAddresses([]),
      protocols: [TEST_PROTOCOL],
    })
    bridgeTo(scope, left, '127.0.0.1:7000', await through(port, scope))
    const dialler = new MemoryEndpoint({
      ...{ scope, ledger, terms, limits, network: left, nodeId: KeyPair.generate().id },
      lookup: new FixedAddresses([{ node: listener.nodeId, addresses: ['127.0.0.1:7000'] }]),
      protocols: [],
    })
    await run({ dialler, listener, port })
  })
}

const dial = ({ dialler, listener }: Ends) => dialler.connect(listener.nodeId, TEST_PROTOCOL)

test('a bridge carries streams, credit and the close', () =>
  bridged(async (ends) => {
    const [out, into] = await Promise.all([
      dial(ends),
      nextIncoming(ends.listener).then((incoming) => incoming.accept()),
    ])
    assert.deepEqual(into.nodeId, ends.dialler.nodeId)
    const mine = await out.openBi()
    const bytes = pattern(1_000_000)
    const write = mine.send.write(bytes).then(() => mine.send.finish())
    const theirs = await into.acceptBi()
    assert.deepEqual(await readBytes(theirs.receive, bytes.length), bytes)
    assert.equal(await theirs.receive.read(1), undefined)
    await write
    await theirs.send.write(pattern(10))
    assert.deepEqual(await readBytes(mine.receive, 10), pattern(10))
    into.close(4, 'done')
    assert.deepEqual(await out.closed, { code: 4, reason: 'done', by: 'remote' })
  }))

test('a bridge carries a refusal and an unknown node', () =>
  bridged(async (ends) => {
    const failed = assert.rejects(dial(ends), (error) => isWeirError(error, 'CONNECT_FAILED'))
    const incoming = await nextIncoming(ends.listener)
    incoming.refuse()
    await failed
    const other = KeyPair.generate().id
    await assert.rejects(
      ends.dialler.connect(other, TEST_PROTOCOL, { addresses: ['127.0.0.1:7000'] }),
      (error) => isWeirError(error, 'CONNECT_FAILED'),
    )
  }))

/** Passes bytes on in pieces of one to nine, so that every frame is cut at every place. */
async function inPieces(port: number, scope: Scope): Promise<number> {
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    void forward(near, far)
    void forward(far, near)
  })
  server.listen(0, '127.0.0.1')
  scope.defer('pieces', () => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function forward(from: Socket, to: Socket): Promise<void> {
  to.setNoDelay(true)
  try {
    let size = 0
    for await (const chunk of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += size) {
        size = (size % 9) + 1
        to.write(chunk.subarray(at, at + size))
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    to.end()
  } catch {
    to.destroy()
  }
}

test('a bridge puts frames together that come in pieces', () =>
  bridged(async (ends) => {
    const [out, into] = await Promise.all([
      dial(ends),
      nextIncoming(ends.listener).then((incoming) => incoming.accept()),
    ])
    const mine = await out.openBi()
    const bytes = pattern(9_000)
    const write = mine.send.write(bytes)
    const theirs = await into.acceptBi()
    assert.deepEqual(await readBytes(theirs.receive, bytes.length), bytes)
    await write
    into.close(4, 'done')
    assert.deepEqual(await out.closed, { code: 4, reason: 'done', by: 'remote' })
  }, inPieces))

test('a bridge drops a socket that speaks before it was answered', () =>
  bridged(async ({ port }) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    const credit = Buffer.alloc(13)
    credit.writeUInt32LE(13, 0)
    credit[4] = 5
    socket.write(credit)
    await once(socket, 'close')
  }))

test('a bridge drops a socket that sends something else', () =>
  bridged(async ({ port }) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(Buffer.alloc(100, 0xff))
    await once(socket, 'close')
  }))
