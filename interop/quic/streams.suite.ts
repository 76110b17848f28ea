/** Much data in both directions, and keys that change under it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { QuicPeer } from './peer.ts'
import {
  connect,
  type Kind,
  type Pair,
  ROLES,
  type Role,
  type SharedPeer,
  sharedPeer,
} from './sides.ts'
import { assertSame, receive, send, statsOf, type WeirOptions, withWeir } from './weir-end.ts'

const MIB = 1024 * 1024
const ROUNDS_MAX = 20

/** Sends so many bytes each way, one way after the other or both at once. */
export async function exchange(
  peer: QuicPeer,
  { connection, conn }: Pair,
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

export function bulkTests(
  kind: Kind,
  shared: SharedPeer,
  sizes: Readonly<Record<Role, number>>,
): void {
  for (const role of ROLES) {
    const mebibytes = sizes[role]
    const suite = role === 'dials' ? 0x1301 : 0x1303
    const what = `${mebibytes} MiB each way, ${suite === 0x1301 ? 'AES' : 'ChaCha20'}`
    const options = { skip: kind.skip, timeout: 240_000 }
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

export function keyUpdateTests(kind: Kind, shared: SharedPeer, mebibytes: number): void {
  const eager = kind.precise ? sharedPeer(kind, { 'key-packets': '100' }) : shared
  const updates = (
    role: Role,
    what: string,
    peer: SharedPeer,
    own: WeirOptions,
    least: number,
  ): void => {
    const options = { skip: kind.skip, timeout: 120_000 }
    test(`${kind.name}: Weir ${role}: ${what}`, options, () =>
      withWeir(own, async (weir) => {
        weir.tap.quiet()
        const pair = await connect(role, weir, peer())
        // The next update waits for three probe timeouts after the last one, so it is rounds that count, not bytes.
        for (let round = 0; round < ROUNDS_MAX; round++) {
          await exchange(peer(), pair, mebibytes * MIB, true)
          if (statsOf(pair.connection).keyUpdates >= least) break
        }
        const { keyUpdates, forged } = statsOf(pair.connection)
        assert.ok(keyUpdates >= least, `${keyUpdates} key updates`)
        assert.equal(forged, 0)
      }),
    )
  }
  const often = { limits: { keyUpdatePackets: 100 } }
  for (const role of ROLES) {
    updates(role, 'we update our keys again and again', shared, often, 4)
    updates(role, 'iroh updates its keys once by itself', shared, {}, 1)
    if (!kind.precise) continue
    updates(role, 'iroh updates its keys again and again', eager, {}, 4)
    updates(role, 'both update their keys, at times at once', eager, often, 4)
  }
}
