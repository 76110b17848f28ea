/**
 * A peer with a stolen key: it may connect and write its own log. What it says for other zones, and garbage after every
 * valid prefix of a session, changes nothing; the controller stays ready and takes the true peer back.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import {
  buildHeader,
  encodeNodeExtensions,
  type Hash,
  type KeyPair,
  networkId,
  PROTOCOL_LOG_SYNC,
  protocolAlpn,
  zoneLogId,
} from 'weir-mesh/core'
import { Scope, seededRandom } from 'weir-mesh/runtime'
import {
  encodeClose,
  encodeDone,
  encodeHandshake,
  encodeHave,
  encodeOperations,
  encodePreSync,
} from 'weir-mesh/sync'
import { type Endpoint, FixedAddresses, loadTransport } from 'weir-mesh/transport'
import { WIDGETS, widget } from '../../packages/mesh-controller/src/api-server/testing.ts'
import { encodeContent } from '../../packages/mesh-controller/src/mesh/content.ts'
import { meshTopic } from '../../packages/mesh-controller/src/mesh/index.ts'
import {
  encodeBegin,
  encodeDelete,
  encodeEnd,
  encodePut,
} from '../../packages/mesh-controller/src/mesh/protocol.ts'
import { MeshUnderTest, type ZoneUnderTest } from '../mesh.ts'
import { sleep, until } from '../processes.ts'

const NETWORK = networkId('end-to-end')
const ALPN = protocolAlpn(PROTOCOL_LOG_SYNC, NETWORK)
const TOPIC = meshTopic(NETWORK)
const RESOURCE = 'demo.weir.example/Widget'

let mesh: MeshUnderTest
let victim: ZoneUnderTest
let stolen: ZoneUnderTest
let endpoint: Endpoint
const scope = new Scope('attacker')

before(async () => {
  mesh = await MeshUnderTest.open(3)
  await mesh.startAll()
  ;[victim, stolen] = mesh.zones as [ZoneUnderTest, ZoneUnderTest, ZoneUnderTest]
  await victim.cluster.client.create(WIDGETS, widget('of-a'))
  await until('zone-c has it', async () => (await namesIn(mesh.zones[2]!)).includes('of-a'))
  await stolen.stop()
  const planned = (await loadTransport('quic')).plan()
  endpoint = await planned.open({
    scope,
    ledger: new Ledger(planMemory(planned.terms, { limitBytes: 2 ** 31 })),
    keyPair: stolen.key,
    lookup: new FixedAddresses([{ node: victim.key.id, addresses: [`127.0.0.1:${victim.port}`] }]),
    protocols: [ALPN],
    listen: '127.0.0.1:0',
  })
})
after(async () => {
  await scope.close()
  await mesh?.close()
})

async function namesIn(zone: ZoneUnderTest): Promise<string[]> {
  const { items } = await zone.cluster.client.list(WIDGETS, { namespace: 'default' })
  return items.map(({ metadata }) => metadata.name).sort()
}

interface Signed {
  readonly header: Uint8Array
  readonly body: Uint8Array
}

/** A log that is valid in all that the sync layer checks. */
function signedLog(key: KeyPair, zone: string, incarnation: number, bodies: Uint8Array[]) {
  const logId = zoneLogId(TOPIC, zone, incarnation)
  let backlink: Hash | undefined
  const operations = bodies.map((body, seq): Signed => {
    const extensions = encodeNodeExtensions({ logId, timestampMicros: seq + 1, prune: seq === 0 })
    const header = buildHeader(key, { seq, backlink, body, extensions })
    backlink = header.id
    return { header: header.bytes, body }
  })
  return { logId, operations }
}

const put = (zone: string, name: string, spec = '{"size":1}') =>
  encodePut(zone, {
    resource: RESOURCE,
    namespace: 'default',
    name,
    version: '1',
    content: encodeContent(JSON.parse(`{"spec":${spec}}`)),
  })

/** Frames of a whole session on the sync stream, as the side that dialled sends them. */
function session(log: ReturnType<typeof signedLog>, live: readonly Signed[] = []): Uint8Array[] {
  const { logId, operations } = log
  const height = { author: stolen.key.id, logId, height: operations.length - 1 }
  const bytes = operations.reduce((sum, { header, body }) => sum + header.length + body.length, 0)
  return [
    encodeHave([height]),
    encodePreSync(operations.length, bytes),
    ...operations.map((operation) => encodeOperations([operation], false)),
    encodeDone(),
    ...live.map((operation) => encodeOperations([operation], true)),
    encodeClose(),
  ]
}

/** Says the topic, and then these bytes on the sync stream. @returns how the controller closed, if it did. */
async function say(bytes: Uint8Array, waitMs: number): Promise<string> {
  const connection = await endpoint.connect(victim.key.id, ALPN)
  try {
    const handshake = await connection.openBi()
    await handshake.send.write(encodeHandshake({ type: 'topic', topic: TOPIC }))
    assert.ok((await handshake.receive.read(64)) !== undefined)
    await handshake.send.write(encodeHandshake({ type: 'done' }))
    await handshake.send.finish()
    const stream = await connection.openBi()
    await stream.send.write(bytes)
    let why = 'open'
    void connection.closed.then(({ reason }) => {
      why = reason
    })
    for (let ms = 0; ms < waitMs && why === 'open'; ms += 10) await sleep(10)
    return why
  } catch (error) {
    return String(error)
  } finally {
    connection.close(0, '')
  }
}

test('what a key says for another zone is refused where it is applied, and counted', async () => {
  const incarnation = Date.now()
  const forged = signedLog(stolen.key, 'zone-b', incarnation, [
    encodeBegin('zone-b', { incarnation, snapshot: 1, cluster: 'c', count: 0 }),
    put('zone-c', 'claimed'),
    encodeDelete('zone-a', { resource: RESOURCE, namespace: 'default', name: 'of-a' }, '9'),
    encodeEnd('zone-b', 1, 0),
  ])
  await say(Buffer.concat(session(forged)), 2_000)
  await until('it is counted', async () => (await victim.metric('mesh_zone_claimed_total')) === 2)
  assert.match(victim.err, /zone-claimed|claim/)
  assert.deepEqual(await namesIn(victim), ['of-a'])
  assert.deepEqual(await namesIn(mesh.zones[2]!), ['of-a'])
})

test('keys that are dangerous in JavaScript, and bodies of another protocol, are data like any other', async () => {
  const incarnation = Date.now()
  const odd = signedLog(stolen.key, 'zone-b', incarnation, [
    encodeBegin('zone-b', { incarnation, snapshot: 1, cluster: 'c', count: 0 }),
    put('zone-b', 'odd', '{"size":1,"__proto__":{"size":3},"constructor":{"prototype":{"x":1}}}'),
    Uint8Array.of(1, 2, 3),
    put('zone-b', 'even'),
    encodeEnd('zone-b', 1, 0),
  ])
  await say(Buffer.concat(session(odd)), 2_000)
  await until('the bad body is counted', async () => {
    return (await victim.metric('mesh_body_undecodable_total')) === 1
  })
  assert.equal(await victim.readiness(), 'ok')
})

test('garbage after every valid prefix of a session ends that session and nothing else', async (context) => {
  const random = seededRandom(11)
  const incarnation = Date.now()
  const bodies = [
    encodeBegin('zone-b', { incarnation, snapshot: 1, cluster: 'c', count: 0 }),
    encodeEnd('zone-b', 1, 0),
  ]
  const valid = signedLog(stolen.key, 'zone-b', incarnation, bodies)
  const frames = session(valid, valid.operations)
  const whole = Buffer.concat(frames)
  const cuts: number[] = [0]
  for (const frame of frames) {
    const start = cuts.at(-1)!
    // At the end of a frame, in its length, and somewhere inside.
    cuts.push(start + 2, start + 4 + random.below(frame.length - 4), start + frame.length)
  }
  cuts.pop()
  const endings = new Set<string>()
  for (const cut of cuts) {
    const garbage = random.bytes(8 + random.below(400))
    endings.add(await say(Buffer.concat([whole.subarray(0, cut), garbage]), 300))
    assert.equal(await victim.readiness(), 'ok', `after ${cut} bytes`)
  }
  context.diagnostic(`${cuts.length} prefixes, closed as: ${[...endings].sort().join(' | ')}`)
  assert.ok(endings.size > 1, 'each kind of garbage has its own ending')

  await endpoint.close()
  mesh.start(stolen)
  await stolen.cluster.client.create(WIDGETS, widget('of-b'))
  for (const zone of mesh.zones) {
    await until(`${zone.name} has what is true`, async () => {
      const names = await namesIn(zone)
      return names.includes('of-a') && names.includes('of-b') && !names.includes('even')
    })
  }
  for (const zone of mesh.zones) {
    await until(`${zone.name} is ready`, async () => (await zone.readiness()) === 'ok')
    assert.equal(await zone.stop(), 0)
    assert.doesNotMatch(zone.err, /task failed|Uncaught|unhandled/i)
  }
})
