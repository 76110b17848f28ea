/** Weir's own QUIC with that of OpenSSL, a second implementation that shares nothing with iroh. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'
import { isWeirError } from 'weir-mesh/runtime'
import { type Connection, StreamError } from 'weir-mesh/transport'
import type { Fault } from '../quic/broken-tls.ts'
import type { PeerEnd } from '../quic/peer.ts'
import {
  connect,
  connectedTo,
  type Kind,
  LONG,
  type Pair,
  ROLES,
  type Role,
  STRANGER,
  sharedPeer,
} from '../quic/sides.ts'
import { exchange } from '../quic/streams.suite.ts'
import { UdpProxy, type Weather } from '../quic/udp-proxy.ts'
import {
  assertSame,
  echo,
  receive,
  statsOf,
  talk,
  type WeirOptions,
  withWeir,
} from '../quic/weir-end.ts'
import { opensslMissing } from './library.ts'

const MIB = 1024 * 1024
const BYTES = 200_000
const AT_ONCE = 16
const REFUSED = 2
const CRYPTO = 0x100
const OTHER_PROTOCOL = new Uint8Array(32).fill(8)
const Alert = Object.freeze({
  unknownCa: 48,
  decryptError: 51,
  certificateRequired: 116,
  noApplicationProtocol: 120,
})

function startOpenssl(words: readonly string[]): ChildProcess {
  const program = join(import.meta.dirname, 'peer.ts')
  const node = ['--conditions=weir-source', '--no-warnings', program, ...words]
  return spawn(process.execPath, node, { stdio: ['pipe', 'pipe', 'pipe'] })
}

const KIND: Kind = Object.freeze({
  name: `OpenSSL ${process.versions['openssl']}`,
  start: startOpenssl,
  skip: opensslMissing(),
  precise: true,
})

const alpn = '07'.repeat(32)
const shared = sharedPeer(KIND, { alpn })
const withoutRetry = sharedPeer(KIND, { alpn, retry: 'off' })
/** It sends a key share that we do not take, and is asked for another. */
const askedAgain = sharedPeer(KIND, { alpn, groups: 'P-256:X25519' })

const check = (
  what: string,
  run: (role: Role, diagnostic: (text: string) => void) => Promise<void>,
  roles: readonly Role[] = ROLES,
): void => {
  for (const role of roles) {
    const options = { skip: KIND.skip, timeout: 120_000 }
    test(`${KIND.name}: Weir ${role}: ${what}`, options, (t) => run(role, (x) => t.diagnostic(x)))
  }
}

async function streamsBothWays({ connection, conn }: Pair): Promise<void> {
  const peer = shared()
  await exchange(peer, { connection, conn }, BYTES, false)
  const back = await talk(connection, BYTES)
  assertSame(back, BYTES, back.sent)
  await peer.take('echoed', (line) => line.conn === conn)
  peer.say(`talk ${conn} ${BYTES}`)
  await echo(connection)
  const talked = await peer.take('talked', (line) => line.conn === conn)
  assertSame(talked, BYTES, talked['sent'] as string)
}

for (const [suite, name] of [
  [0x1301, 'AES-128-GCM'],
  [0x1303, 'ChaCha20-Poly1305'],
] as const) {
  check(`${name}, streams of both kinds, both ways, and a close of ours`, (role) =>
    withWeir({ suite }, async (weir) => {
      const pair = await connect(role, weir, shared())
      assert.deepEqual(weir.tap.suites, [suite, suite])
      assert.deepEqual(pair.connection.nodeId, shared().nodeId)
      await streamsBothWays(pair)
      pair.connection.close(77, 'so long')
      const { end } = await shared().take('closed', ({ conn }) => conn === pair.conn)
      assert.deepEqual(end, { by: 'peer', code: 77, reason: 'so long' })
    }),
  )
}

check('a close of theirs arrives with its code and reason', (role) =>
  withWeir({}, async (weir) => {
    const { connection, conn } = await connect(role, weir, shared())
    // Before it knows that the handshake is confirmed it closes with keys that we have dropped (openssl/openssl#31367).
    await talk(connection, 1_000)
    shared().say(`close ${conn} 78 and thanks`)
    assert.deepEqual(await connection.closed, { by: 'remote', code: 78, reason: 'and thanks' })
  }),
)

check(
  'no Retry before the handshake',
  (role) =>
    withWeir({}, async (weir) => {
      const { connection } = await connect(role, weir, withoutRetry())
      assert.equal((await talk(connection, BYTES)).bytes, BYTES)
    }),
  ['dials'],
)

check(
  'a Retry of ours, after which the address is proved',
  () =>
    withWeir({}, async (weir) => {
      const connected = connectedTo(weir, shared())
      shared().dial(weir.nodeId, weir.address)
      let incoming = await weir.incoming()
      assert.equal(incoming.validated, false)
      // Its first flight is two datagrams, and nothing is remembered of the first one.
      for (; !incoming.validated; incoming = await weir.incoming()) assert.ok(incoming.retry())
      const connection = await incoming.accept()
      await connected
      assert.equal((await talk(connection, BYTES)).bytes, BYTES)
    }),
  ['is dialled'],
)

check(
  'a hello retry request of ours, for another key share',
  () =>
    withWeir({}, async (weir) => {
      const { connection } = await connect('is dialled', weir, askedAgain())
      assert.equal((await talk(connection, BYTES)).bytes, BYTES)
    }),
  ['is dialled'],
)

check(
  'a refusal ends the dial at once',
  () =>
    withWeir({}, async (weir) => {
      shared().dial(weir.nodeId, weir.address)
      ;(await weir.incoming()).refuse()
      const { by, transport } = await failure('connect_failed')
      assert.deepEqual([by, transport], ['peer', REFUSED])
    }),
  ['is dialled'],
)

check('another protocol is refused with alert 120', (role) =>
  withWeir({ connectTimeoutMs: 1_000 }, async (weir) => {
    const transport = CRYPTO + Alert.noApplicationProtocol
    if (role === 'dials') {
      // OpenSSL 3.5 keeps to itself what it says to a client hello that it does not like.
      await assert.rejects(weir.dial(shared().nodeId, shared().address, OTHER_PROTOCOL))
      assert.equal((await failure('accept_failed')).transport, transport)
      return
    }
    shared().dial(weir.nodeId, weir.address, OTHER_PROTOCOL)
    const refused = (error: unknown) => isWeirError(error, 'PROTOCOL_REFUSED')
    await assert.rejects((await weir.incoming()).accept(), refused)
    assert.equal((await failure('connect_failed')).transport, transport)
  }),
)

check(
  'another server key is refused with alert 48',
  () =>
    withWeir({}, async (weir) => {
      const dial = weir.dial(STRANGER, shared().address)
      await assert.rejects(dial, (error) => isWeirError(error, 'CONNECT_FAILED'))
      assert.ok(weir.tap.codes('us').includes(CRYPTO + Alert.unknownCa))
      const { by, transport } = await failure('accept_failed')
      assert.deepEqual([by, transport], ['peer', CRYPTO + Alert.unknownCa])
    }),
  ['dials'],
)

for (const [fault, alert] of [
  ['no client key', Alert.certificateRequired],
  ['a forged signature', Alert.decryptError],
] as const satisfies readonly (readonly [Fault, number])[]) {
  check(
    `with a fault: ${fault}: alert ${alert}`,
    () =>
      withWeir({ fault }, async (weir) => {
        // For the client the handshake is through before its own proof is read.
        const dial = weir.dial(shared().nodeId, shared().address)
        await dial.then(
          ({ closed }) => closed,
          () => {},
        )
        assert.deepEqual(weir.tap.codes('peer').slice(0, 1), [CRYPTO + alert])
        assert.equal((await failure('accept_failed')).transport, CRYPTO + alert)
      }),
    ['dials'],
  )
}

async function failure(event: 'accept_failed' | 'connect_failed'): Promise<PeerEnd> {
  return (await shared().take(event)).end as PeerEnd
}

check('codes of resets arrive, ours there and theirs here', (role) =>
  withWeir({}, async (weir) => {
    const { connection, conn } = await connect(role, weir, shared())
    shared().say(`reset ${conn} 3000 41`)
    const reading = connection.acceptUni().then(async (stream) => {
      while (await stream.read(65_536));
    })
    await assert.rejects(
      reading,
      (error) => error instanceof StreamError && error.streamCode === 41,
    )
    const given = await connection.openUni()
    await given.write(new Uint8Array(1_000).fill(1))
    given.reset(43)
    const { end } = await shared().take('received', (line) => line.end !== 'fin')
    assert.match(String(end), /\b43\b/)
    shared().say(`send ${conn} 8000000`)
    ;(await connection.acceptUni()).stop(44)
    const { error } = await shared().take('send_failed')
    assert.match(String(error), /\b44\b/)
  }),
)

check(`${AT_ONCE} connections at once, each with streams`, (role) =>
  withWeir({}, async (weir) => {
    const opened: Promise<Connection>[] = []
    for (let each = 0; each < AT_ONCE; each++) {
      if (role === 'dials') opened.push(weir.dial(shared().nodeId, shared().address))
      else {
        shared().dial(weir.nodeId, weir.address)
        opened.push((await weir.incoming()).accept())
      }
    }
    const connections = await Promise.all(opened)
    const talked = await Promise.all(connections.map((each) => talk(each, 20_000)))
    for (const { sent, hash } of talked) assert.equal(hash, sent)
  }),
)

/** `theirs` counts how often OpenSSL is told to; it does not while an update is under way. */
async function updates(role: Role, own: WeirOptions, theirs: number, least = 0): Promise<void> {
  await withWeir(own, async (weir) => {
    weir.tap.quiet()
    const pair = await connect(role, weir, shared())
    let done = 0
    for (let round = 0; round < Math.max(theirs, 1); round++) {
      if (theirs > 0) {
        shared().say(`update ${pair.conn}`)
        if ((await shared().take('updated'))['ok']) done++
      }
      await exchange(shared(), pair, (theirs > 0 ? 1 : 4) * MIB, true)
    }
    const { keyUpdates, forged } = statsOf(pair.connection)
    assert.ok(keyUpdates >= Math.max(least, done), `${keyUpdates} key updates, ${done} theirs`)
    assert.ok(theirs === 0 || done > 0)
    assert.equal(forged, 0)
  })
}

const often = { limits: { keyUpdatePackets: 100 } }
check('we update our keys again and again', (role) => updates(role, often, 0, 2))
check('OpenSSL updates its keys again and again', (role) => updates(role, {}, 5))
check('both update their keys, at times at once', (role) => updates(role, often, 8, 8))

async function through(
  role: Role,
  weather: Weather,
  run: (pair: Pair, proxy: UdpProxy) => Promise<void>,
): Promise<void> {
  await withWeir({}, async (weir) => {
    weir.tap.quiet()
    const server = role === 'dials' ? shared().address : weir.address
    await using proxy = await UdpProxy.open(server, weather)
    await run(await connect(role, weir, shared(), proxy.address), proxy)
  })
}

/** What takes long is left to `npm run interop`. */
const bytesOf = (short: number, long: number): number => (LONG === false ? long : short) * MIB

for (const [percent, bytes] of [
  [1, bytesOf(2, 8)],
  [5, bytesOf(1, 4)],
] as const) {
  check(`${percent} % loss, 1 % twice, 2 % out of order: ${bytes} bytes each way`, (role, say) => {
    const weather = { seed: percent, loss: percent / 100, twice: 0.01, late: 0.02, holdMs: 5 }
    return through(role, weather, async (pair, { toServer, toClient }) => {
      const start = performance.now()
      await exchange(shared(), pair, bytes, true)
      say(rate(2 * bytes, start))
      for (const { lost, twice, late } of [toServer, toClient]) assert.ok(lost && twice && late)
    })
  })
}

check(`${bytesOf(4, 64)} bytes each way`, (role, say) =>
  withWeir({}, async (weir) => {
    weir.tap.quiet()
    const pair = await connect(role, weir, shared())
    const start = performance.now()
    await exchange(shared(), pair, bytesOf(4, 64), false)
    say(rate(2 * bytesOf(4, 64), start))
  }),
)

const rate = (bytes: number, start: number): string =>
  `${(bytes / MIB / ((performance.now() - start) / 1_000)).toFixed(1)} MiB/s`

check(
  'the client gets another address under way',
  (role) =>
    // A server of OpenSSL 3.5 does not follow its client.
    through(role, {}, async ({ connection, conn }, proxy) => {
      const [forth, back] = [talk(connection, MIB), receive(connection)]
      shared().say(`send ${conn} ${MIB}`)
      await proxy.move()
      const { sent, hash } = await forth
      assert.equal(hash, sent)
      assert.equal((await back).hash, (await shared().take('sent')).hash)
      assert.ok(proxy.sinceMove > 0 && statsOf(connection).moves > 0)
    }),
  ['is dialled'],
)
