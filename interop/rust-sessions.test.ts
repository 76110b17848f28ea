/**
 * Weir and a p2panda 0.7.1 peer with two sessions at once, because each side has dialled the other, and sessions that
 * must not begin. Upstream's two sessions both transfer everything; with Weir nothing may cross the wire twice.
 */
import assert from 'node:assert/strict'
import { idHex } from 'weir-mesh/core'
import { type Line, RustPeer } from './rust-peer.ts'
import { assertAlive, assertSound, scenario } from './scenario.ts'
import { keyOf, peerArgument, RUST, seedHex, until, WeirPeer } from './weir-peer.ts'

/** Two seeds: the node id of one is below that of Weir, the other's above. It decides which session stays. */
const [SMALLER, LARGER] = [-1, 1].map((order) => {
  const ours = idHex(keyOf(1).id)
  const seeds = [2, 3, 4, 5, 6, 7, 8]
  return seedHex(seeds.find((seed) => (idHex(keyOf(seed).id) < ours ? -1 : 1) === order)!)
}) as [string, string]

/** Of the session that Rust has dialled, or of the one that it was dialled for. */
const of = (session: 'dial' | 'net') => (line: Line) => String(line['session']).startsWith(session)

for (const [which, key] of [
  ['smaller', SMALLER],
  ['larger', LARGER],
] as const) {
  scenario(`both dial at once, Rust with the ${which} id: nothing crosses twice`, async (given) => {
    const weir = await WeirPeer.open(given)
    // Large enough that the first session is still at it when the second one is live.
    await weir.fill(800, 8_192)
    await using rust = await RustPeer.start('serve', { ...RUST, key, prefill: 3_000 })
    rust.say(`dial ${peerArgument(weir)}`)
    weir.connect(rust)
    await until(() => weir.taken === 3_000)
    await until(async () => (await rust.stats()).distinct === 800)
    await until(() => weir.sync.sessions === 1)
    await assertAlive(weir, rust)
    const counts = await rust.stats()
    assertSound(counts)
    assert.equal(counts.received, 801)
    assert.equal(weir.counter('sent'), 801)
    assert.equal(weir.counter('received'), 3_001)
    assert.equal(weir.disorder, 0)
    // The surplus session ends well for Rust, which would try again otherwise.
    assert.equal(weir.counter('surplus'), 1)
    assert.deepEqual(weir.endings, ['SURPLUS'])
    await rust.line('session_end', of(which === 'smaller' ? 'net' : 'dial'))
    await weir.close()
    assertSound(await rust.quit())
  })
}

scenario(
  'live operations of the second session drain while the first catches up',
  async (given) => {
    const weir = await WeirPeer.open(given)
    await using rust = await RustPeer.start('serve', { ...RUST, key: LARGER, prefill: 10_000 })
    rust.say(`dial ${peerArgument(weir)}`)
    weir.connect(rust)
    await rust.line('live_started', of('dial'))
    rust.say('publish 400 1024 1')
    await rust.line('published')
    // Rust has had all taken off the queue of the second session, and the first one still runs.
    assert.equal(rust.all('sync_finished').filter(of('net')).length, 0)
    await until(() => weir.taken === 10_400)
    assert.equal(weir.disorder, 0)
    await until(() => weir.sync.sessions === 1)
    await assertAlive(weir, rust)
    assert.equal(weir.ids.size, 10_401)
    // Upstream sends what is published meanwhile on both sessions; the log itself came once.
    assert.ok(weir.counter('received') <= 10_801)
    const [synced] = rust.all('sync_finished').filter(of('net'))
    assert.equal(synced?.['sent'], 10_000)
    assert.equal(weir.counter('resyncs'), 0)
    assertSound(await rust.stats())
    await weir.close()
    assertSound(await rust.quit())
  },
)

for (const [which, key] of [
  ['smaller', SMALLER],
  ['larger', LARGER],
] as const) {
  scenario(`Rust with the ${which} id dials again and again`, async (given) => {
    const weir = await WeirPeer.open(given)
    await weir.fill(100)
    await using rust = await RustPeer.start('serve', {
      ...{ ...RUST, key, prefill: 100, store: 'ingest' },
    })
    weir.connect(rust)
    await until(() => weir.taken === 100)
    for (let turn = 1; turn <= 3; turn++) {
      rust.say(`dial ${peerArgument(weir)}`)
      await rust.line('live_started', ({ session }) => session === `dial-${turn}`)
      await until(() => weir.sync.sessions === 1)
      await assertAlive(weir, rust)
    }
    const counts = await rust.stats()
    assertSound(counts)
    assert.equal(counts.received, 103)
    assert.equal(counts.distinct, 103)
    assert.equal(weir.ids.size, 103)
    assert.equal(weir.disorder, 0)
    assert.equal(weir.counter('sent'), 103)
    assert.equal(weir.counter('received'), 103)
    await weir.close()
    assertSound(await rust.quit())
  })
}

scenario('a topic that Weir does not have open is closed as upstream does', async (given) => {
  const weir = await WeirPeer.open(given)
  const other = { ...RUST, topic: idHex(new Uint8Array(32).fill(0x22)) }
  await using rust = await RustPeer.start('pull', { ...other, peer: peerArgument(weir) })
  const failed = await rust.line('session_failed')
  assert.deepEqual(failed['close'], { by: 'peer', code: 0, reason: '' })
  assert.equal((await rust.end()).code, 1)
  assert.equal(weir.counter('handshakes_failed'), 1)
  assert.equal(weir.counter('sessions'), 0)
  assert.ok(given.lines.some(({ error }) => String(error).startsWith('TOPIC_UNKNOWN')))
  await weir.close()
})

scenario('a topic that Rust does not have open ends with TOPIC_UNKNOWN', async (given) => {
  const weir = await WeirPeer.open(given)
  const other = { ...RUST, topic: idHex(new Uint8Array(32).fill(0x22)) }
  await using rust = await RustPeer.start('serve', other)
  weir.connect(rust)
  // It is tried again, with growing delays. Rust closes before or after our stream is open.
  const codes = () => [...weir.endings, ...weir.all('dial-failed').map(({ code }) => code)]
  await until(() => codes().length === 4)
  assert.deepEqual(new Set(codes()), new Set(['TOPIC_UNKNOWN']))
  await weir.close()
})

scenario('another network ends in TLS, whoever dials', async (given) => {
  const weir = await WeirPeer.open(given)
  const other = { ...RUST, 'network-id': idHex(new Uint8Array(32).fill(0x33)) }
  await using rust = await RustPeer.start('pull', { ...other, peer: peerArgument(weir) })
  const failed = await rust.line('session_failed')
  assert.match(String(failed['error']), /^connect: .*known protocol/)
  await until(() => given.scope.counters.value('interop_accept_failed_total') === 1)
  await using server = await RustPeer.start('serve', other)
  weir.connect(server)
  await until(() => weir.all('dial-failed').length > 0)
  assert.equal(weir.all('dial-failed')[0]?.code, 'PROTOCOL_REFUSED')
  assert.equal(weir.counter('sessions'), 0)
  await weir.close()
})
