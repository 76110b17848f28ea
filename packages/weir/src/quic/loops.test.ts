/** Nothing goes round: what cannot be done now is tried again when something has changed, or later, and not at once. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '../runtime/index.ts'
import { FrameType } from './frames/frame-types.ts'
import { changed, connected, pass, SECOND } from './rules.fixture.ts'

const ping = Uint8Array.of(FrameType.ping, 0, 0, 0)
const padding = new Uint8Array(4)

test('an address that is not proved, with little that may be sent there: nothing goes round', () => {
  // Up to what an acknowledgement needs.
  for (let bytes = 10; bytes <= 30; bytes++) {
    const world = connected({ limits: { keepAliveMs: 0 } })
    const elsewhere = { host: '10.9.9.9', port: 9 }
    // What may be sent there is used up by the challenge, and the acknowledgement waits.
    world.forge(world.b, ping, undefined, elsewhere)
    pass(world, 10_000)
    world.b.machine.receive(new Uint8Array(bytes), elsewhere, instant(world.now), world.b)
    pass(world, SECOND)
    world.close()
  }
})

test('a peer that gives up after a millisecond of silence does not make us send without a pause', () => {
  const security = changed('client', (own) => {
    own.maxIdleTimeoutMs = 1
    own.maxAckDelayMs = 0
  })
  const world = connected({ security, passUs: 1_000 })
  let sent = 0
  world.watch = (from) => {
    if (from === world.b) sent++
  }
  for (let round = 0; round < 100; round++) {
    world.forge(world.b, padding)
    pass(world, 2_000)
  }
  assert.equal(world.b.end, undefined)
  assert.ok(sent <= 20, `${sent} datagrams in a fifth of a second`)
  world.close()
})
