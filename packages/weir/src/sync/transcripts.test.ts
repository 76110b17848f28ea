/**
 * Whole sessions of a live Rust node, replayed: we take the place of the node, and of the side that dials it where the
 * node dialled. Our frames must be the same, in the same order on each stream.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { bytes, text, type Vector, vectorsOf } from '../../vectors/load.ts'
import { toHex } from '../codec/index.ts'
import { decodeHeader, KeyPair, topicIdFromHex, topicLogId } from '../core/index.ts'
import type { StoredOperation } from '../store/index.ts'
import { makeMesh, planNodes, type RawPeer, rawEndpoint, stored, until } from './fixtures.ts'
import { topicStreamPolicy } from './policy.ts'

interface Step {
  readonly from: 'tester' | 'node'
  readonly stream?: 'bi-1' | 'bi-2'
  readonly frame?: string
  readonly close?: string
}

/** How our close differs from upstream's, on purpose: it says why. */
const CLOSES: { readonly [name: string]: { readonly code: number; readonly reason: string } } = {
  'sync-bad-signature': { code: 3, reason: 'BAD_SIGNATURE' },
}

function operationsOf(input: Vector['input'], field: string): StoredOperation[] {
  const logId = topicLogId(topicIdFromHex(text(input, 'topic')))
  const given = (input[field] ?? []) as { header: string; body: string | null }[]
  return given.map(({ header, body }) => {
    const last = bytes(header).at(-1)
    return stored(bytes(header), body === null ? undefined : bytes(body), logId, last === 0xf5)
  })
}

const pull = vectorsOf('transcript').find(({ name }) => name === 'sync-pull')!.input
const published = { ...pull, live: [pull['live_operation']] }

for (const vector of vectorsOf('transcript').filter(({ name }) => name.startsWith('sync-'))) {
  test(`transcript ${vector.name}: ${vector.description}`, () => replay(vector))
}

async function replay({ name, input, output }: Vector): Promise<void> {
  const steps = output['frames'] as Step[]
  const known = topicIdFromHex(text(input, 'topic'))
  const unknown = name === 'sync-unknown-topic'
  const plan = planNodes({ nodes: 2 })
  await withLedger(plan.terms, async (ledger, scope) => {
    const mesh = makeMesh(plan, ledger, scope)
    const key = KeyPair.fromSeed(bytes(text(input, 'node_seed')))
    const mine = operationsOf(input, 'node_operations')
    // One node made all transcripts: what it published live in the first one it has in the others.
    if (name !== 'sync-pull') mine.push(...operationsOf(published, 'live'))
    const topic = unknown ? topicIdFromHex('00'.repeat(32)) : known
    const node = await mesh.node(
      0,
      { key, topic, policy: topicStreamPolicy(known) },
      async (store) => {
        // The node of the transcript did not prune what is before its prune flag for its peers.
        await store.append(
          topic,
          mine.map((each) => ({ ...each, prune: false })),
        )
      },
    )
    const raw = rawEndpoint(mesh, ledger, scope, 1)
    const dials = name === 'sync-node-dials'
    if (dials) node.sync.connect(raw.key.id)
    const peer = dials ? await raw.accept() : await raw.dial(node)
    await walk(steps, peer, dials, async (frame: string) => {
      if (!frame.startsWith('01', 8) || frame.length < 20) return
      // The live operation of the transcript is the one that the node publishes then.
      const [live] = operationsOf(published, 'live')
      await node.sync.publish(live!)
    })
    const close = steps.find(({ close: how }) => how !== undefined)!.close!
    const expected = CLOSES[name] ?? {
      code: 0,
      reason: /closed by peer: (sync .*) \(code 0\)/.exec(close)?.[1] ?? '',
    }
    const { code, reason } = await peer.connection.closed
    assert.deepEqual({ code, reason }, expected)
    if (name === 'sync-push') {
      await until(() => node.got.length === 2)
      const pushed = operationsOf(input, 'tester_operations').map(({ id }) => toHex(id))
      assert.deepEqual(
        node.got.map(({ id }) => toHex(id)),
        pushed,
      )
    }
  })
}

/** Sends what the tester sent and expects what the node sent. */
async function walk(
  steps: readonly Step[],
  peer: RawPeer,
  nodeDials: boolean,
  beforeLive: (frame: string) => Promise<void>,
): Promise<void> {
  const open = { 1: false, 2: false }
  for (const { from, stream, frame } of steps) {
    if (!stream || !frame) continue
    const at = stream === 'bi-1' ? 1 : 2
    if (!open[at]) {
      open[at] = true
      if (nodeDials) await peer.accept(at)
      else await peer.open(at)
    }
    if (from === 'tester') {
      await peer.send(at, bytes(frame))
      continue
    }
    await beforeLive(frame)
    const got = await peer.frame(at)
    assert.ok(got, `the node sent nothing where ${frame.slice(0, 24)} belongs`)
    assert.equal(toHex(got), frame.slice(8))
  }
}

test('every operation of the transcripts decodes to its id', () => {
  for (const { input } of vectorsOf('transcript')) {
    for (const { header, operation_id } of (input['node_operations'] ?? []) as {
      header: string
      operation_id: string
    }[]) {
      assert.equal(toHex(decodeHeader(bytes(header)).id), operation_id)
    }
  }
})
