/**
 * What a p2panda 0.7.1 peer does about an operation or a frame of ours that is wrong: Weir never sends one, and these
 * tests hold what the README says about how such sessions end.
 */
import assert from 'node:assert/strict'
import {
  buildHeader,
  encodeNodeExtensions,
  type Hash,
  idKey,
  nodeIdFromHex,
  PROTOCOL_LOG_SYNC,
  protocolAlpn,
  topicLogId,
} from 'weir-mesh/core'
import { systemClock } from 'weir-mesh/runtime'
import { encodeDone, encodeHave, encodeOperations, encodePreSync, offerTopic } from 'weir-mesh/sync'
import type { BiStream, Connection } from 'weir-mesh/transport'
import { RustPeer } from './rust-peer.ts'
import { type Scenario, scenario } from './scenario.ts'
import { keyOf, NETWORK, nowMicros, RUST, TOPIC, until, WeirPeer } from './weir-peer.ts'

interface Frame {
  readonly header: Uint8Array
  readonly body: Uint8Array
}

type Change = (operation: Frame, live: boolean) => Uint8Array

const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = bytes.slice()
  copy[at]! ^= 1
  return copy
}
const frame = (operation: Frame, live: boolean) => encodeOperations([operation], live)

/** The signature begins behind `[array head, version, 58 20, key, 58 40]`. */
const SIGNATURE_AT = 1 + 1 + 2 + 32 + 2

const FAULTS: Readonly<Record<string, Change>> = {
  signature: ({ header, body }, live) =>
    frame({ header: flipped(header, SIGNATURE_AT + 32), body }, live),
  trailing: ({ header, body }, live) =>
    frame({ header: Uint8Array.from([...header, 0]), body }, live),
  phase: (operation, live) => frame(operation, !live),
  garbage: () => Uint8Array.of(0, 0, 0, 1, 9),
  oversize: () => Uint8Array.of(0xff, 0xff, 0xff, 0xff),
}

for (const phase of ['sync', 'live'] as const) {
  for (const [fault, change] of Object.entries(FAULTS)) {
    scenario(
      `Rust ends a session over ${fault} in the ${phase} phase, and serves the next`,
      (given) => sendFault(given, phase === 'live', change),
    )
  }
}

async function sendFault(given: Scenario, live: boolean, change: Change): Promise<void> {
  await using rust = await RustPeer.start('serve', { ...RUST, prefill: 5 })
  const { connection, stream, close } = await session(given, rust)
  const { send } = stream
  const [first, second] = operations(2)
  await send.write(encodeHave([]))
  await send.write(encodePreSync(2, 600))
  await send.write(frame(first!, false))
  if (live) {
    await send.write(encodeDone())
    await rust.line('live_started')
  }
  await send.write(change(second!, live))
  const ended = await connection.closed
  assert.deepEqual(ended, { code: 0, reason: '', by: 'remote' })
  await close()
  // In the live phase p2panda-net reports nothing of it.
  if (!live) await rust.line('session_failed')
  const weir = await WeirPeer.open({ ...given, key: 2 })
  weir.connect(rust)
  await until(() => weir.taken === 5)
  await weir.close()
  const counts = await rust.stats()
  assert.equal(counts.distinct, 1)
  assert.equal(counts.bad_body, 0)
}

/** A session up to the end of the topic handshake, by hand. What Rust sends is read and dropped. */
async function session({ plan, ledger, scope }: Scenario, rust: RustPeer) {
  const own = scope.child('by hand')
  const protocol = protocolAlpn(PROTOCOL_LOG_SYNC, NETWORK)
  const id = nodeIdFromHex(rust.id)
  const endpoint = await plan.transport.open({
    ...{ scope: own, ledger, keyPair: keyOf(1), protocols: [protocol] },
    lookup: { addresses: (node) => (idKey(node) === idKey(id) ? [rust.address] : []) },
  })
  own.defer('endpoint', () => endpoint.close())
  const connection: Connection = await endpoint.connect(id, protocol)
  const { signal } = own
  await offerTopic(connection, TOPIC, { clock: systemClock, signal, timeoutMs: 5_000 })
  const stream: BiStream = await connection.openBi()
  own.spawn('read', async () => {
    try {
      while (await stream.receive.read(16_384));
    } catch {
      // The end of the connection is what the test looks at.
    }
  })
  return { connection, stream, close: () => own.close() }
}

function operations(count: number): Frame[] {
  const logId = topicLogId(TOPIC)
  let backlink: Hash | undefined
  return Array.from({ length: count }, (_, seq) => {
    const body = Uint8Array.of(0x43, 1, 2, seq)
    const extensions = encodeNodeExtensions({ logId, timestampMicros: nowMicros(), prune: false })
    const header = buildHeader(keyOf(1), { seq, backlink, body, extensions })
    backlink = header.id
    return { header: header.bytes, body }
  })
}
