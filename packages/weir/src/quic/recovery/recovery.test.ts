import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { Flight, recordsTerm } from './recovery.fixture.ts'
import { Recovery } from './recovery.ts'
import { PACKET_BYTES, REF_BYTES } from './sent-packets.ts'

const WINDOW_MAX = 1 << 20
const MS = 1_000

function flight(run: (flight: Flight, recovery: Recovery) => void, bytesMax = 1 << 20) {
  const records = recordsTerm(bytesMax)
  return withLedger([records], (ledger) => {
    const recovery = new Recovery(WINDOW_MAX)
    const each = new Flight(ledger, recovery, records)
    run(each, recovery)
    each.end()
    assert.equal(recovery.inFlight, 0)
  })
}

test('a packet is lost when three that were sent after it have arrived, and not before', () =>
  flight((packets, recovery) => {
    packets.send(0, 1_200, 5)
    packets.ack(10 * MS, [1, 2])
    assert.deepEqual(packets.told.lost_, [])
    packets.ack(10 * MS, [1, 3])
    assert.deepEqual(packets.told.lost_, [0])
    assert.deepEqual(packets.told.acked_, [1, 2, 3])
    assert.equal(recovery.inFlight, 1_200)
  }))

test('a packet is lost by time after 9/8 of the round trip', () =>
  flight((packets, recovery) => {
    packets.send(0, 1_200, 1)
    packets.send(8 * MS, 1_200, 1)
    packets.ack(16 * MS, [1, 1])
    assert.equal(recovery.rtt.latest, 8 * MS)
    assert.deepEqual(packets.told.lost_, [0], '16 ms is later than 9 ms')
    packets.send(21 * MS)
    packets.send(22 * MS)
    packets.ack(29 * MS, [3, 3])
    assert.deepEqual(packets.told.lost_, [0])
    const lossAt = 21 * MS + recovery.rtt.lossDelayUs
    assert.equal(packets.space.lossAt, lossAt)
    recovery.detectLost(packets.space, lossAt - 1, packets.told)
    assert.deepEqual(packets.told.lost_, [0])
    recovery.detectLost(packets.space, lossAt, packets.told)
    assert.deepEqual(packets.told.lost_, [0, 2])
  }))

test('who acknowledges what was never sent, or was left out, is told apart', () =>
  flight((packets) => {
    packets.send(0, 1_200, 2)
    packets.space.skippedNumber = 2
    packets.space.nextNumber = 3
    packets.send(0)
    assert.equal(packets.ack(MS, [0, 4]), false)
    assert.equal(packets.ack(MS, [2, 3]), false)
    assert.equal(packets.ack(MS, [3, 3], [0, 1]), true)
  }))

test('probes back off by two and an answer ends that', () =>
  flight((packets, recovery) => {
    packets.send(0)
    const first = recovery.probeUs(packets.space)
    for (let count = 1; count < 5; count++) {
      recovery.probe(packets.space, 0, packets.told)
      assert.equal(packets.space.probes, 2)
      assert.equal(recovery.probeUs(packets.space), first * 2 ** count)
      assert.equal(recovery.firstProbeUs(packets.space), first)
    }
    assert.deepEqual(packets.told.lost_, [0, 0, 0, 0], 'what a probe repeats')
    assert.equal(recovery.inFlight, 1_200, 'it is in flight all the same')
    packets.ack(5 * MS, [0, 0])
    assert.equal(recovery.probeCount, 0)
  }))

test('an answer to a client whose address is not proved does not end the backing off', () =>
  flight((packets, recovery) => {
    recovery.peerValidated = false
    packets.send(0)
    recovery.probe(packets.space, 0, packets.told)
    packets.ack(5 * MS, [0, 0])
    assert.equal(recovery.probeCount, 1)
  }))

test('a long silence is persistent congestion, and one with an answer in between is not', async () => {
  const run = (acked: boolean) =>
    flight((packets, recovery) => {
      packets.send(0)
      packets.ack(10 * MS, [0, 0])
      const silence = 6 * (recovery.rtt.probeUs + recovery.maxAckDelayUs)
      packets.send(20 * MS)
      packets.send(20 * MS + silence / 2)
      packets.send(21 * MS + silence)
      const now = 22 * MS + 2 * silence
      packets.send(now, 1_200, 3)
      if (acked) packets.ack(now + MS, [4, 6], [2, 2])
      else packets.ack(now + MS, [4, 6])
      assert.equal(recovery.collapses, acked ? 0 : 1)
      assert.equal(recovery.congestion.window === 2_400, !acked)
    })
  await run(false)
  await run(true)
})

test('losses of different acknowledgements make one silence', () =>
  flight((packets, recovery) => {
    packets.send(0)
    packets.ack(10 * MS, [0, 0])
    const silence = 6 * (recovery.rtt.probeUs + recovery.maxAckDelayUs)
    packets.send(20 * MS)
    packets.send(21 * MS + silence)
    recovery.detectLost(packets.space, 21 * MS + silence, packets.told)
    packets.space.largestAcked = 1
    recovery.detectLost(packets.space, 21 * MS + silence, packets.told)
    assert.deepEqual(packets.told.lost_, [1])
    assert.equal(recovery.collapses, 0)
    packets.send(22 * MS + silence, 1_200, 3)
    packets.ack(30 * MS + silence, [3, 5])
    assert.deepEqual(packets.told.lost_, [1, 2])
    assert.equal(recovery.collapses, 1)
  }))

test('a lost probe of the path MTU is no congestion', () =>
  flight((packets, recovery) => {
    packets.send(0)
    packets.ack(10 * MS, [0, 0])
    const { window } = recovery.congestion
    packets.space.mtuProbe = packets.space.nextNumber
    packets.send(20 * MS, 9_000)
    packets.send(21 * MS, 1_200, 3)
    packets.ack(31 * MS, [2, 4])
    assert.deepEqual(packets.told.lost_, [1])
    assert.ok(recovery.congestion.window >= window)
    assert.equal(recovery.lostPackets, 0)
  }))

test('N+1: records that are all used leave places for probes, and then the oldest packets make them', () =>
  flight(
    (packets, recovery) => {
      while (packets.space.sent.hasRoom()) packets.send(0)
      const { size } = packets.space.sent
      assert.equal(size, 6, 'two of eight places are for probes')
      const probe = () => {
        recovery.probe(packets.space, 0, packets.told)
        assert.ok(packets.space.sent.hasRoom(true))
        recovery.sent(packets.space, packets.space.nextNumber++, 40, 0)
      }
      for (let count = 0; count < 40; count++) probe()
      assert.ok(packets.space.sent.size <= 8)
      assert.ok(recovery.lostPackets > 30)
    },
    8 * (PACKET_BYTES + REF_BYTES),
  ))

test('another path starts from nothing', () =>
  flight((packets, recovery) => {
    recovery.mtu.start(9_000, 0)
    recovery.mtu.sent(9_000)
    recovery.mtu.probeAcked(9_000, 0)
    recovery.resize()
    packets.send(0, 9_000, 5)
    packets.ack(10 * MS, [0, 3])
    assert.equal(recovery.congestion.datagramBytes, 9_000)
    recovery.reset(20 * MS)
    assert.equal(recovery.mtu.current, 1_200)
    assert.equal(recovery.congestion.datagramBytes, 1_200)
    assert.equal(recovery.congestion.window, 12_000)
    assert.equal(recovery.rtt.sampled, false)
  }))
