/** Whatever is wrong ends in one clear message with a code; nothing crashes or hangs, and the rest of the mesh goes on. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair, networkId, PROTOCOL_LOG_SYNC, protocolAlpn } from 'weir-mesh/core'
import { Scope, seededRandom, systemRandom } from 'weir-mesh/runtime'
import { encodeHandshake } from 'weir-mesh/sync'
import { FixedAddresses, loadTransport } from 'weir-mesh/transport'
import { WIDGETS, widget } from '../../packages/mesh-controller/src/api-server/testing.ts'
import { meshTopic } from '../../packages/mesh-controller/src/mesh/index.ts'
import { MeshUnderTest, startController } from '../mesh.ts'
import { until } from '../processes.ts'

/** Runs a controller that cannot start. @returns its code and the last line that it says. */
async function refused(path: string): Promise<{ code: number | null; said: string }> {
  const child = startController(['--config', path, '--log-level', 'error'])
  let said = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stdin!.end()
  const [code] = (await once(child, 'close')) as [number | null]
  const lines = said.trim().split('\n')
  return { code, said: lines.at(-1) ?? '' }
}

test('what a person has to mend first is one line with a code, and nothing starts', async () => {
  const mesh = await MeshUnderTest.open(1)
  const taken = createServer().listen(0, '127.0.0.1')
  try {
    const [zone] = mesh.zones as [(typeof mesh.zones)[0]]
    const write = (text: string) => {
      const path = join(mesh.folder, 'bad.yaml')
      writeFileSync(path, text)
      return path
    }
    const config = (changes: object) => write(zone.config([], changes))
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    writeFileSync(join(mesh.folder, 'short.key'), 'abc\n', { mode: 0o600 })
    writeFileSync(join(mesh.folder, 'open.key'), `${'ab'.repeat(32)}\n`)
    chmodSync(join(mesh.folder, 'open.key'), 0o644)
    writeFileSync(join(mesh.folder, 'bad.kubeconfig'), '{"clusters": 3}')
    const cases: [string, () => string, RegExp, number][] = [
      ['no YAML', () => write('zone: [a\n  b: }'), /CONFIG_INVALID: .*not YAML/, 2],
      ['an unknown key', () => config({ zones: 3 }), /CONFIG_INVALID: .*zones is not a key/, 2],
      ['no transport', () => config({ transport: 'tcp' }), /CONFIG_INVALID: .*quic or iroh/, 2],
      ['a __proto__ key', () => write('__proto__: {x: 1}\nzone: zone-a'), /CONFIG_INVALID/, 2],
      ['no file', () => join(mesh.folder, 'none.yaml'), /CONFIG_UNREADABLE/, 2],
      ['no key file', () => config({ keyFile: 'none.key' }), /KEY_FILE_MISSING: .*weir keygen/, 1],
      ['a broken key file', () => config({ keyFile: 'short.key' }), /KEY_FILE_INVALID/, 1],
      [
        'a key that others can read',
        () => config({ keyFile: 'open.key' }),
        /KEY_FILE_PERMISSIONS: .*chmod/,
        1,
      ],
      [
        'no kubeconfig',
        () => config({ kubernetes: { kubeconfig: 'none' } }),
        /KUBECONFIG_UNREADABLE/,
        1,
      ],
      [
        'a broken kubeconfig',
        () => config({ kubernetes: { kubeconfig: 'bad.kubeconfig' } }),
        /KUBECONFIG_/,
        1,
      ],
      [
        'too little memory',
        () => config({ memory: '90Mi' }),
        /PLAN_TOO_LARGE: .*raise the limit/,
        1,
      ],
      [
        'a taken status port',
        () => config({ status: { listen: `127.0.0.1:${port}` } }),
        /PORT_TAKEN/,
        1,
      ],
      [
        'its own key as a peer',
        () => config({ peers: [{ zone: 'zone-b', id: zone.id, addresses: [] }] }),
        /CONFIG_INVALID: .*key of this zone/,
        2,
      ],
    ]
    for (const [what, make, expected, exitCode] of cases) {
      const { code, said } = await refused(make())
      assert.match(said, expected, `${what}: ${said}`)
      assert.match(said, /^weir-mesh-controller: [A-Z_]+: /, what)
      assert.equal(code, exitCode, what)
    }
  } finally {
    taken.close()
    await mesh.close()
  }
})

test('an API that cannot be reached is named by the readiness check, and used when it is there', async () => {
  const mesh = await MeshUnderTest.open(1)
  try {
    const [zone] = mesh.zones as [(typeof mesh.zones)[0]]
    zone.cluster.faults = () => ({ status: 503 })
    mesh.start(zone)
    await until('it says why', async () => /replication: KUBE_/.test(await zone.readiness()))
    zone.cluster.faults = undefined
    await until('it is ready', async () => (await zone.readiness()) === 'ok')
    assert.equal(await zone.stop('SIGINT'), 0)
  } finally {
    await mesh.close()
  }
})

test('strangers, another network and garbage after every valid prefix leave the mesh as it is', async () => {
  const mesh = await MeshUnderTest.open(2)
  const scope = new Scope('stranger')
  try {
    await mesh.startAll()
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    const network = networkId('end-to-end')
    const alpn = protocolAlpn(PROTOCOL_LOG_SYNC, network)
    const planned = (await loadTransport('quic')).plan({ endpointsMax: 3 })
    const ledger = new Ledger(planMemory(planned.terms, { limitBytes: 2 ** 31 }))
    const lookup = new FixedAddresses([{ node: a.key.id, addresses: [`127.0.0.1:${a.port}`] }])
    const open = (keyPair: KeyPair) =>
      planned.open({ scope, ledger, keyPair, lookup, protocols: [], listen: '127.0.0.1:0' })

    const stranger = await open(KeyPair.generate(systemRandom))
    const connection = await stranger.connect(a.key.id, alpn)
    const closed = await connection.closed
    assert.equal(closed.reason, 'not permitted')
    await until('it is told', () => /not permitted/.test(a.err))
    const foreign = protocolAlpn(PROTOCOL_LOG_SYNC, networkId('another'))
    await assert.rejects(stranger.connect(a.key.id, foreign), {
      code: /PROTOCOL_REFUSED|CONNECT_FAILED/,
    })
    await stranger.close()

    // The other zone's key, as an attacker with a stolen key would use it: it may connect, and sends rubbish.
    await b.stop()
    const thief = await open(b.key)
    const random = seededRandom(5)
    const topic = encodeFrame(encodeHandshake({ type: 'topic', topic: meshTopic(network) }))
    for (let round = 0; round < 24; round++) {
      const link = await thief.connect(a.key.id, alpn)
      const stream = await link.openBi()
      const valid = topic.subarray(0, round % 3 === 0 ? random.below(topic.length) : topic.length)
      const garbage = random.bytes(1 + random.below(300))
      try {
        await stream.send.write(Buffer.concat([valid, garbage]))
        if (round % 2) {
          const second = await link.openBi()
          await second.send.write(random.bytes(1 + random.below(300)))
        }
      } catch {
        // The controller may have closed it already.
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
      link.close(0, '')
    }
    await thief.close()
    mesh.start(b)
    await a.cluster.client.create(WIDGETS, widget('after-all'))
    await until('the mesh goes on', async () => {
      const list = await b.cluster.client.list(WIDGETS, { namespace: 'default' })
      return list.items.length === 1
    })
    assert.equal(await a.readiness(), 'ok')
    assert.equal(await a.stop(), 0)
  } finally {
    await scope.close()
    await mesh.close()
  }
})

function encodeFrame(payload: Uint8Array): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(payload.length)
  return Buffer.concat([head, payload])
}
