/**
 * Connections on which nobody says anything for longer than either side's idle timeout of 30 s live by keep-alives.
 *
 * They are opened before the other tests of the file and looked at after them: waiting costs no time of its own.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { QuicPeer } from './peer.ts'
import { connect, type Kind, ROLES } from './sides.ts'
import { PROTOCOL_HEX, statsOf, talk, withWeir } from './weir-end.ts'

const IDLE_MS = 40_000

/** Starts the wait. @returns registers the test that ends it */
export function idleTests(kind: Kind): () => void {
  const idle = Promise.withResolvers<void>()
  idle.promise.catch(() => {})
  before(() => {
    if (kind.skip === false) idles(kind).then(idle.resolve, idle.reject)
  })
  return () => {
    const what = `${IDLE_MS / 1_000} s idle, and all still there`
    test(`${kind.name}: ${what}`, { skip: kind.skip, timeout: 120_000 }, () => idle.promise)
  }
}

/** One connection a role, with our keep-alives and with those of iroh alone. */
async function idles(kind: Kind): Promise<void> {
  await using peer = await QuicPeer.start(kind.start, { alpn: PROTOCOL_HEX })
  const waits: Promise<void>[] = []
  for (const limits of [{}, { keepAliveMs: 0 }]) {
    for (const role of ROLES) {
      const connected = Promise.withResolvers<void>()
      waits.push(
        withWeir({ limits }, async (weir) => {
          weir.tap.quiet()
          const { connection } = await connect(role, weir, peer)
          connected.resolve()
          const { taken } = statsOf(connection)
          let closed = false
          connection.closed.then(() => {
            closed = true
          })
          await sleep(IDLE_MS)
          assert.equal(closed, false, JSON.stringify(limits))
          assert.ok(statsOf(connection).taken > taken, 'nothing came in all that time')
          assert.equal((await talk(connection, 20_000)).bytes, 20_000)
        }),
      )
      await connected.promise
    }
  }
  await Promise.all(waits)
}
