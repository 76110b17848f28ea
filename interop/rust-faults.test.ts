/**
 * What a peer does wrong, sent by the Rust peer in both phases: Weir refuses it with the right code and counter, and
 * goes on with everybody else. Peers of older versions are made by hand from bytes.
 */
import assert from 'node:assert/strict'
import { idHex } from 'weir-mesh/core'
import { type Close, RustPeer } from './rust-peer.ts'
import { assertAlive, type Scenario, scenario } from './scenario.ts'
import { peerArgument, RUST, TOPIC, until, WeirPeer } from './weir-peer.ts'

/** Short enough that a test need not wait; a good peer on loopback never meets them. */
const LIMITS = Object.freeze({ silenceMs: 600, holdMs: 300, resyncMs: 200 })
const GOOD = 5
const BAD_AT = 2

interface Verdict {
  /** How the forger sees its connection end; undefined when the session goes on. */
  readonly close?: Close
  /** The code with which the session ends for Weir. */
  readonly ends?: string
  /** Counters, over the whole session. */
  readonly counts: Readonly<Record<string, number>>
}

const closed = (code: number, reason: string): Close => ({ by: 'peer', code, reason })
const refused = (code: number, reason: string, counts: Verdict['counts'] = {}): Verdict => ({
  close: closed(code, reason),
  ends: reason,
  counts: { ...counts, failures: 1 },
})

/** In the sync phase the operation with number 2 of 5 has the fault, and what builds on it is a gap. */
const IN_SYNC: Readonly<Record<string, Verdict>> = {
  none: { counts: { kept: 5 } },
  signature: refused(3, 'BAD_SIGNATURE', { bad: 1, kept: 2 }),
  body: { counts: { kept: 2, refused: 1, gaps: 2 } },
  backlink: { counts: { kept: 2, forks: 1, gaps: 2 } },
  gap: { counts: { kept: 2, gaps: 3 } },
  'log-id': { counts: { kept: 2, refused: 1, gaps: 2 } },
  trailing: refused(4, 'BAD_HEADER', { bad: 1 }),
  twice: { counts: { kept: 5, duplicates: 1 } },
  phase: refused(2, 'SYNC_PROTOCOL'),
  garbage: refused(2, 'SYNC_PROTOCOL'),
  oversize: refused(5, 'FRAME_REFUSED'),
  stall: refused(7, 'SYNC_SILENT', { kept: 2 }),
  fin: { close: closed(0, ''), ends: 'SYNC_LOST', counts: { failures: 1 } },
}

/** In the live phase 5 good operations come before the one with the fault. */
const LIVE: Readonly<Record<string, Verdict>> = {
  none: { counts: { kept: 6 } },
  signature: refused(3, 'BAD_SIGNATURE', { bad: 1, kept: 5 }),
  body: { counts: { kept: 5, refused: 1 } },
  backlink: { counts: { kept: 5, forks: 1 } },
  // It may have overtaken its predecessor: it waits, then a new session is asked for.
  gap: {
    close: { by: 'us' },
    ends: 'RESYNC',
    counts: { kept: 5, gaps: 1, held_dropped: 1, resyncs: 1 },
  },
  'log-id': { counts: { kept: 5, refused: 1 } },
  trailing: refused(4, 'BAD_HEADER', { bad: 1 }),
  twice: { counts: { kept: 6, duplicates: 1 } },
  phase: refused(2, 'SYNC_PROTOCOL'),
  garbage: refused(2, 'SYNC_PROTOCOL'),
  oversize: refused(5, 'FRAME_REFUSED'),
  fin: { close: closed(0, ''), ends: 'SYNC_LOST', counts: { failures: 1 } },
}

for (const [phase, verdicts] of Object.entries({ sync: IN_SYNC, live: LIVE })) {
  for (const [fault, verdict] of Object.entries(verdicts)) {
    const how = verdict.ends ?? 'goes on'
    scenario(
      `${fault} in the ${phase} phase: ${how}, the others do not notice`,
      (given) => withNeighbour(given, (weir) => tryFault(weir, phase, fault, verdict)),
      LIMITS,
    )
  }
}

/** A good peer is connected all the time, and both still hear each other afterwards. */
async function withNeighbour(given: Scenario, run: (weir: WeirPeer) => Promise<void>) {
  const weir = await WeirPeer.open(given)
  await using good = await RustPeer.start('serve', { ...RUST })
  weir.connect(good)
  await until(() => weir.all('live').length === 1)
  await run(weir)
  assert.equal(weir.sync.backlog.held, 0)
  await assertAlive(weir, good)
  assert.equal((await good.stats()).failed_sessions, 0)
  assert.equal(weir.disorder, 0)
  await weir.close()
}

async function tryFault(weir: WeirPeer, phase: string, fault: string, verdict: Verdict) {
  await using forger = await RustPeer.start('forge', {
    ...{ ...RUST, peer: peerArgument(weir), fault, phase, prefill: GOOD, at: BAD_AT },
    'wait-ms': verdict.close ? 3_000 : 300,
  })
  const line = verdict.close ? await forger.line('closed') : await forger.line('still_open')
  assert.deepEqual(line['close'], verdict.close)
  await forger.end()
  await until(() => weir.endings.length === 1)
  if (verdict.ends) assert.deepEqual(weir.endings, [verdict.ends])
  await until(() => weir.sync.backlog.ingest === 0)
  const names = Object.keys(verdict.counts)
  const counts = Object.fromEntries(names.map((name) => [name, weir.counter(name)]))
  assert.deepEqual(counts, verdict.counts)
}

scenario('a peer that signs badly is dialled again with patience, and left when told so', (given) =>
  withNeighbour(given, async (weir) => {
    await using forger = await RustPeer.start('forge', { ...RUST, prefill: GOOD, 'wait-ms': 2_000 })
    weir.connect(forger)
    await until(() => weir.endings.length === 3)
    assert.deepEqual(new Set(weir.endings), new Set(['BAD_SIGNATURE']))
    assert.equal(weir.counter('bad'), 3)
    weir.disconnect(forger)
    const closes = forger.all('closed').map(({ close }) => close)
    assert.deepEqual(closes[0], closed(3, 'BAD_SIGNATURE'))
  }),
)

/** Bytes of frames in hex; the Rust peer puts the length in front. */
const FRAMES = Object.freeze({
  topic: `0020${idHex(TOPIC)}`,
  handshakeDone: '01',
  have: '000000',
  done: '0003',
  /** p2panda 0.7.0: the header follows as a postcard sequence, its version, a key with its length. */
  liveOf070: `010701${'20'}${'aa'.repeat(32)}40${'bb'.repeat(64)}0000000000`,
})

scenario('a peer that sends live as p2panda 0.7.0 does is told apart', (given) =>
  withNeighbour(given, async (weir) => {
    await using old = await RustPeer.start('frames', { ...RUST, peer: peerArgument(weir) })
    old.say('open')
    await old.line('stream', ({ stream }) => stream === 0)
    old.say(`frame 0 ${FRAMES.topic}`)
    await old.line('frame', ({ stream, hex }) => stream === 0 && hex === FRAMES.handshakeDone)
    old.say(`frame 0 ${FRAMES.handshakeDone}`)
    old.say('open')
    await old.line('stream', ({ stream }) => stream === 1)
    // Up to here the two versions are the same.
    old.say(`frame 1 ${FRAMES.have}`)
    old.say(`frame 1 ${FRAMES.done}`)
    await old.line('frame', ({ stream, hex }) => stream === 1 && hex === FRAMES.done)
    assert.deepEqual(weir.endings, [])
    old.say(`frame 1 ${FRAMES.liveOf070}`)
    assert.deepEqual((await old.line('closed'))['close'], closed(1, 'INCOMPATIBLE_PEER'))
    await until(() => weir.endings.length === 1)
    assert.deepEqual(weir.endings, ['INCOMPATIBLE_PEER'])
    assert.equal(weir.counter('incompatible'), 1)
  }),
)

scenario('a peer that begins as p2panda 0.6 does is told apart at its first bytes', (given) =>
  withNeighbour(given, async (weir) => {
    await using old = await RustPeer.start('frames', { ...RUST, peer: peerArgument(weir) })
    old.say('open')
    await old.line('stream')
    // CBOR without a length in front: an array of a text and 32 bytes.
    old.say(`raw 0 8265546f7069635820${idHex(TOPIC)}`)
    assert.deepEqual((await old.line('closed'))['close'], closed(1, 'INCOMPATIBLE_PEER'))
    assert.equal(weir.counter('handshakes_failed'), 1)
    assert.ok(given.lines.some(({ error }) => String(error).startsWith('INCOMPATIBLE_PEER')))
  }),
)

scenario(
  'garbage on every stream and after every valid prefix ends that connection only',
  (given) =>
    withNeighbour(given, async (weir) => {
      const { topic, handshakeDone, have, done } = FRAMES
      const handshake = [topic, handshakeDone]
      const sync = [have, done]
      for (let keep = 0; keep <= handshake.length + sync.length; keep++) {
        await using peer = await RustPeer.start('frames', { ...RUST, peer: peerArgument(weir) })
        peer.say('open')
        await peer.line('stream')
        for (const frame of handshake.slice(0, keep)) peer.say(`frame 0 ${frame}`)
        if (keep < handshake.length) peer.say('raw 0 00000003ffffff')
        else {
          peer.say('open')
          await peer.line('stream', ({ stream }) => stream === 1)
          for (const frame of sync.slice(0, keep - handshake.length)) peer.say(`frame 1 ${frame}`)
          peer.say('raw 1 00000003ffffff')
        }
        const close = (await peer.line('closed'))['close'] as Close
        assert.equal(close.by, 'peer')
        assert.equal(close.reason, keep < handshake.length ? '' : 'SYNC_PROTOCOL')
      }
    }),
)
