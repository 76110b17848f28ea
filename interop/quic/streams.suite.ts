/** Much data in both directions, and keys that change under it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { QuicPeer } from './peer.ts'
import { connect, type Kind, ROLES, sharedPeer } from './sides.ts'
import {
  assertSame,
  PROTOCOL_HEX,
  receive,
  send,
  statsOf,
  type WeirOptions,
  withWeir,
} from './weir-end.ts'

const MIB = 1024 * 1024

/** Sends so many bytes each way, one way after the other or both at once. */
export async function exchange(
  peer: QuicPeer,
  { connection, conn }: Awaited<ReturnType<typeof connect>>,
  bytes: number,
  atOnce: boolean,
): Promise<void> {
  const forth = async () => {
    const sent = await send(connection, bytes)
    assertSame(await peer.take('received', (line) => line.conn === conn), bytes, sent)
  }
  const back = async () => {
    peer.say(`send ${conn} ${bytes}`)
    const received = await receive(connection)
    const { hash } = await peer.take('sent', (line) => line.conn === conn)
    assertSame(received, bytes, hash!)
  }
  if (atOnce) await Promise.all([forth(), back()])
  else {
    await forth()
    await back()
  }
}

export function bulkTests(kind: Kind, mebibytes: number): void {
  const shared = sharedPeer(kind, { alpn: PROTOCOL_HEX })
  for (const role of ROLES) {
    const suite = role === 'dials' ? 0x1301 : 0x1303
    const what = `${mebibytes} MiB each way, ${suite === 0x1301 ? 'AES' : 'ChaCha20'}`
    const options = { skip: kind.skip, timeout: 120_000 }
    test(`${kind.name}: Weir ${role}: ${what}`, options, (t) =>
      withWeir({ suite }, async (weir) => {
        weir.tap.quiet()
        const pair = await connect(role, weir, shared())
        const start = performance.now()
        await exchange(shared(), pair, mebibytes * MIB, false)
        const seconds = (performance.now() - start) / 1_000
        t.diagnostic(`${Math.round((2 * mebibytes) / seconds)} MiB/s`)
      }),
    )
  }
}

export function keyUpdateTests(kind: Kind, mebibytes: number): void {
  const bytes = mebibytes * MIB
  const updated = async (
    role: (typeof ROLES)[number],
    weirs: WeirOptions,
    peers: Readonly<Record<string, string>>,
    least: number,
  ) => {
    await using peer = await QuicPeer.start(kind.start, { alpn: PROTOCOL_HEX, ...peers })
    await withWeir(weirs, async (weir) => {
      weir.tap.quiet()
      const pair = await connect(role, weir, peer)
      await exchange(peer, pair, bytes, true)
      const { keyUpdates, forged } = statsOf(pair.connection)
      assert.ok(keyUpdates >= least, `${keyUpdates} key updates`)
      assert.equal(forged, 0)
    })
  }
  const options = { skip: kind.skip, timeout: 120_000 }
  const ours = { limits: { keyUpdatePackets: 100 } }
  for (const role of ROLES) {
    test(`${kind.name}: Weir ${role}: we update our keys again and again`, options, () =>
      updated(role, ours, {}, 4),
    )
    test(`${kind.name}: Weir ${role}: iroh updates its keys once by itself`, options, () =>
      updated(role, {}, {}, 1),
    )
    if (!kind.precise) continue
    const often = { 'key-packets': '100' }
    test(`${kind.name}: Weir ${role}: iroh updates its keys again and again`, options, () =>
      updated(role, {}, often, 4),
    )
    test(`${kind.name}: Weir ${role}: both update their keys, at times at once`, options, () =>
      updated(role, ours, often, 4),
    )
  }
}
