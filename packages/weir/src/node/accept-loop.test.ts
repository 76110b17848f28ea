import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type LogLine, withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { idKey, KeyPair, type NodeId } from '../core/index.ts'
import { Heartbeats, type Scope, WeirError } from '../runtime/index.ts'
import {
  type Connection,
  MemoryEndpoint,
  MemoryNetwork,
  transportLimits,
  transportTerms,
} from '../transport/index.ts'
import { AcceptLoop, type AcceptLoopOptions, acceptTerms, REFUSED_CLOSE_CODE } from './index.ts'

const limits = transportLimits({ endpointsMax: 4, connectionsMax: 16 })
const transport = transportTerms(limits)
const accept = acceptTerms({ handshakesMax: 2, peersMax: 2 })
const PROTOCOL = new Uint8Array(32).fill(1)
const OTHER = new Uint8Array(32).fill(2)
const terms = [...Object.values(transport), ...Object.values(accept)]

const keyOf = (index: number) => KeyPair.fromSeed(new Uint8Array(32).fill(index))

interface World {
  readonly server: MemoryEndpoint
  readonly taken: Connection[]
  readonly dial: (from: number, protocol?: Uint8Array) => Promise<Connection>
  readonly loop: AcceptLoop
  readonly ledger: Ledger
  readonly scope: Scope
  readonly lines: readonly LogLine[]
}

async function world(
  run: (world: World) => Promise<void>,
  extra: Partial<AcceptLoopOptions> = {},
): Promise<void> {
  await withLedger(terms, async (ledger, scope, { lines }) => {
    const network = scope.own('network', new MemoryNetwork({ clock: scope.clock }))
    const addresses: Record<string, string> = {}
    const lookup = { addresses: (node: NodeId) => [addresses[idKey(node)]!] }
    const open = (index: number) => {
      const endpoint = new MemoryEndpoint({
        scope,
        ledger,
        terms: transport,
        limits,
        network,
        nodeId: keyOf(index).id,
        lookup,
        protocols: [PROTOCOL, OTHER],
      })
      addresses[idKey(endpoint.nodeId)] = endpoint.address
      return endpoint
    }
    const server = open(1)
    const others = [open(2), open(3), open(4)]
    const taken: Connection[] = []
    const loop = scope.own(
      'loop',
      new AcceptLoop({
        scope,
        endpoint: server,
        handlers: [{ protocol: PROTOCOL, accept: (connection) => void taken.push(connection) }],
        policy: (node) => (idKey(node) === idKey(keyOf(4).id) ? 'refuse' : 'accept'),
        caps: { ledger, terms: accept, perPeerMax: 2 },
        ...extra,
      }),
    )
    const dial = (from: number, protocol: Uint8Array = PROTOCOL) =>
      others[from - 2]!.connect(server.nodeId, protocol)
    await run({ server, taken, dial, loop, ledger, scope, lines })
  })
}

test('a permitted peer reaches the handler of its protocol', () =>
  world(async ({ dial, taken, loop, scope }) => {
    await dial(2)
    await turn()
    assert.equal(taken.length, 1)
    assert.deepEqual(taken[0]!.nodeId, keyOf(2).id)
    assert.equal(loop.connections(keyOf(2).id), 1)
    taken[0]!.close(0, '')
    await turn()
    assert.equal(loop.connections(keyOf(2).id), 0)
    assert.equal(scope.counters.value('node_connections_accepted_total'), 1)
  }))

test('a peer that is not permitted is closed with a code and counted, and the log is not flooded', () =>
  world(async ({ dial, taken, scope, lines }) => {
    for (let count = 0; count < 15; count++) {
      const connection = await dial(4)
      const { code, by } = await connection.closed
      assert.equal(code, REFUSED_CLOSE_CODE)
      assert.equal(by, 'remote')
    }
    assert.equal(taken.length, 0)
    assert.equal(scope.counters.value('node_connections_refused_total'), 15)
    assert.equal(lines.filter(({ level }) => level === 'warn').length, 10)
  }))

test('a protocol that nobody handles is closed', () =>
  world(async ({ dial, taken }) => {
    const connection = await dial(2, OTHER)
    await connection.closed
    assert.equal(taken.length, 0)
  }))

test('a peer with as many connections as it may have gets no more, another peer does', () =>
  world(async ({ dial, taken, scope }) => {
    await dial(2)
    await dial(2)
    const third = await dial(2)
    await third.closed
    await dial(3)
    await turn()
    assert.equal(taken.length, 3)
    assert.equal(scope.counters.value('node_connections_over_cap_total'), 1)
    taken[0]!.close(0, '')
    await turn()
    await dial(2)
    await turn()
    assert.equal(taken.length, 4)
  }))

test('node.peers: one peer more than the cap is closed', () =>
  world(
    async ({ dial, taken, ledger }) => {
      await dial(2)
      await dial(3)
      const third = await dial(4)
      await third.closed
      await turn()
      assert.equal(taken.length, 2)
      assert.equal(ledger.row(accept.peers).refused.cap, 1)
    },
    { policy: () => 'accept' },
  ))

test('node.handshakes: one handshake more than the cap is refused', async () => {
  const incomings = Promise.withResolvers<void>()
  let refused = 0
  const incoming = (at: number) => ({
    remote: `192.0.2.1:${at}`,
    validated: true,
    decided: false,
    accept: () => incomings.promise.then(() => Promise.reject(new WeirError('CLOSED', 'gone'))),
    refuse: () => void refused++,
    retry: () => false,
    ignore() {},
    [Symbol.dispose]() {},
  })
  await withLedger(Object.values(accept), async (ledger, scope) => {
    const endpoint = {
      nodeId: keyOf(1).id,
      localAddresses: [],
      incoming: (async function* () {
        for (let at = 1; at <= 3; at++) yield incoming(at)
        await incomings.promise
      })(),
      connect: () => Promise.reject(new Error('not here')),
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
    }
    scope.own(
      'loop',
      new AcceptLoop({
        scope,
        endpoint,
        handlers: [],
        policy: () => 'accept',
        caps: { ledger, terms: accept },
      }),
    )
    while (refused === 0) await turn()
    assert.equal(ledger.row(accept.handshakes).entries, 2)
    assert.equal(scope.counters.value('node_connections_busy_total'), 1)
    incomings.resolve()
  })
})

test('a handler that throws closes the connection, and the next one is served', () => {
  let thrown = 0
  const handler = {
    protocol: PROTOCOL,
    accept() {
      thrown++
      throw new WeirError('SYNC_LIMIT', 'no room')
    },
  }
  return world(
    async ({ dial }) => {
      await (await dial(2)).closed
      await (await dial(3)).closed
      assert.equal(thrown, 2)
    },
    { handlers: [handler] },
  )
})

test('the heartbeat is idle while nobody dials, and stopped when the endpoint ends before the loop', async () => {
  const heartbeats = new Heartbeats({
    now: () => 0 as never,
    wallMs: () => 0,
    start: () => null as never,
  })
  const heartbeat = heartbeats.register('accept', { deadlineMs: 5_000 })
  await world(
    async ({ server, dial }) => {
      await dial(2)
      await turn()
      assert.equal(heartbeat.problem(), undefined)
      await server.close()
      await turn()
      assert.match(heartbeat.problem() ?? '', /stopped: no incoming/)
    },
    { heartbeat },
  )
})

test('closing ends the loop while the endpoint lives on', () =>
  world(async ({ loop, scope, server }) => {
    await loop.close()
    await loop.close()
    assert.equal(scope.counters.value('scope_close_overdue_total'), 0)
    assert.equal(server.connections, 0)
  }))
