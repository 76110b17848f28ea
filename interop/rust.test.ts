/**
 * Weir and a p2panda 0.7.1 peer with one session: catch-up both ways, live operations both ways, restarts of both.
 * What crosses the wire is counted on both sides.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { idHex } from 'weir-mesh/core'
import { RustPeer } from './rust-peer.ts'
import { assertAlive, assertSound, scenario } from './scenario.ts'
import { peerArgument, RUST, seedHex, temporaryFolder, until, WeirPeer } from './weir-peer.ts'

scenario('Weir pulls 10 000 operations of 1 KiB from Rust, each once', async (given) => {
  const weir = await WeirPeer.open(given)
  await using rust = await RustPeer.start('serve', { ...RUST, prefill: 10_000, size: 1_024 })
  weir.connect(rust)
  await until(() => weir.taken === 10_000 && weir.all('synced').length === 1)
  assert.equal(weir.ids.size, 10_000)
  assert.equal(weir.next.get(rust.id), 10_000)
  assert.equal(weir.counter('received'), 10_000)
  assert.equal(weir.counter('kept'), 10_000)
  assert.equal(weir.all('synced')[0]?.operations, 10_000)
  await assertAlive(weir, rust)
  await weir.close()
  assert.deepEqual(weir.endings, ['CLOSED'])
  const ended = await rust.line('session_end')
  assert.equal(ended['sent'], 10_001)
  assertSound(await rust.quit())
})

scenario('Rust pulls 10 000 operations of 1 KiB from Weir, each once', async (given) => {
  const weir = await WeirPeer.open(given)
  await weir.fill(10_000)
  await using rust = await RustPeer.start('pull', { ...RUST, peer: peerArgument(weir) })
  const counts = await rust.end()
  assertSound(counts)
  assert.equal(counts.received, 10_000)
  assert.equal(counts.distinct, 10_000)
  assert.equal(counts.heights[idHex(weir.id)], 9_999)
  assert.equal(weir.counter('sent'), 10_000)
  // What was announced is what came.
  assert.equal((await rust.line('sync_started'))['inbound_operations'], 10_000)
  assert.deepEqual((await rust.line('closed'))['close'], {
    by: 'peer',
    code: 0,
    reason: 'sync protocol accept completed',
  })
  await until(() => weir.endings.length === 1)
  assert.deepEqual(weir.endings, ['DONE'])
})

for (const [dialling, command] of [
  ['Weir', 'serve'],
  ['Rust', 'pull'],
] as const) {
  scenario(`live operations go both ways when ${dialling} has dialled`, async (given) => {
    const weir = await WeirPeer.open(given)
    await weir.fill(5)
    const options = { ...RUST, prefill: 5, live: true } as const
    await using rust = await RustPeer.start(
      command,
      command === 'serve' ? options : { ...options, peer: peerArgument(weir) },
    )
    if (command === 'serve') weir.connect(rust)
    await until(() => weir.taken === 5 && weir.all('live').length === 1)
    await rust.line('live_started')
    rust.say('publish 200 1024 1')
    await weir.publish(200)
    await until(() => weir.taken === 205)
    await rust.line('operation', ({ seq }) => seq === 204)
    assert.equal(weir.next.get(rust.id), 205)
    const counts = await rust.stats()
    assertSound(counts)
    assert.equal(counts.received, 205)
    assert.equal(counts.live, 200)
    assert.equal(weir.counter('received'), 205)
    assert.equal(weir.counter('sent'), 205)
    await weir.close()
    await rust.line('session_end')
    assertSound(command === 'serve' ? await rust.quit() : await rust.end())
  })
}

scenario('after a restart of either side only what was missed crosses the wire', async (given) => {
  const folder = temporaryFolder(given.scope)
  const path = join(folder, 'weir.db')
  const serve = (bind?: string) =>
    RustPeer.start('serve', {
      ...{ ...RUST, key: seedHex(9), prefill: 300, size: 1_024, store: 'ingest' },
      ...{ db: join(folder, 'rust.db'), ...(bind === undefined ? {} : { bind }) },
    })
  await using weir1 = await WeirPeer.open({ ...given, path })
  await weir1.fill(1_000)
  let rust = await serve()
  await using _rusts = { [Symbol.asyncDispose]: () => rust[Symbol.asyncDispose]() }
  weir1.connect(rust)
  await until(() => weir1.taken === 300)
  await until(async () => (await rust.stats()).ingested === 1_000)
  assert.equal(weir1.counter('sent'), 1_000)

  // Rust ends in order and comes back with its file; Weir dials again by itself.
  const bind = rust.address
  assertSound(await rust.quit())
  await weir1.publish(10)
  rust = await serve(bind)
  await until(async () => (await rust.stats()).ingested === 10)
  await assertAlive(weir1, rust)
  assert.equal((await rust.stats()).received, 11)
  assert.equal(weir1.counter('sent'), 1_011)
  assert.equal(weir1.counter('received'), 301)

  // Weir ends in order and comes back with its file: its own log goes on, nothing is delivered or fetched twice.
  await weir1.close()
  rust.say('publish 10 1024')
  await rust.line('published', ({ next_seq }) => next_seq === 311)
  const weir2 = await WeirPeer.open({ ...given, path })
  assert.equal(weir2.seq, 1_011)
  weir2.connect(rust)
  await until(() => weir2.taken === 10)
  await assertAlive(weir2, rust)
  // Counters belong to the scope of the test, over both lives.
  assert.equal(weir2.counter('received'), 312)
  assert.equal(weir2.counter('sent'), 1_012)
  const counts = await rust.stats()
  assert.equal(counts.received, 12)
  assert.equal(counts.heights[idHex(weir2.id)], 1_011)
  assertSound(counts)
  await weir2.close()
})
