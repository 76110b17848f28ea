import assert from 'node:assert/strict'
import test from 'node:test'
import { PathMtu } from './path-mtu.ts'

const SECOND = 1_000_000

/** Probes until the search is over on a path that carries `fits` bytes. @returns how many probes it took. */
function search(mtu: PathMtu, fits: number, now: number): number {
  let probes = 0
  for (let size = mtu.due(now); size > 0; size = mtu.due(now)) {
    assert.ok(++probes < 100, 'the search does not end')
    mtu.sent(size)
    assert.equal(mtu.due(now), 0, 'one probe at a time')
    if (size <= fits) mtu.probeAcked(size, now)
    else mtu.probeLost(size, now)
  }
  return probes
}

test('nothing is probed before the end of the handshake, nor when nothing more is allowed', () => {
  const mtu = new PathMtu()
  assert.equal(mtu.due(0), 0)
  mtu.start(1_000, 0)
  assert.equal(mtu.due(0), 0)
  assert.equal(mtu.current, 1_200)
})

test('a healthy path is found with one probe', () => {
  const mtu = new PathMtu()
  mtu.start(16_384, 0)
  assert.equal(search(mtu, 20_000, 0), 1)
  assert.equal(mtu.current, 16_384)
  assert.equal(mtu.due(1e12), 0, 'and never asked again')
})

test('a narrow path is found to within 32 bytes, and looked at again after ten minutes', () => {
  for (const fits of [1_200, 1_280, 1_420, 1_452, 8_900, 9_000]) {
    const mtu = new PathMtu()
    mtu.start(9_000, 0)
    const probes = search(mtu, fits, 0)
    assert.ok(mtu.current <= fits && fits - mtu.current <= 32, `${mtu.current} of ${fits}`)
    assert.ok(probes <= 30, `${probes} probes`)
    if (fits === 9_000) continue
    assert.equal(mtu.due(599 * SECOND), 0)
    search(mtu, 20_000, 600 * SECOND)
    assert.equal(mtu.current, 9_000)
  }
})

test('a size is given up after three lost probes and not before', () => {
  const mtu = new PathMtu()
  mtu.start(9_000, 0)
  for (let lost = 0; lost < 2; lost++) {
    mtu.sent(mtu.due(0))
    mtu.probeLost(9_000, 0)
    assert.equal(mtu.due(0), 9_000)
  }
  mtu.sent(9_000)
  mtu.probeLost(9_000, 0)
  assert.equal(mtu.due(0), 5_100)
})

test('large packets that vanish make the path narrow again, for a minute', () => {
  const mtu = new PathMtu()
  mtu.start(9_000, 0)
  search(mtu, 9_000, 0)
  for (let lost = 0; lost < 5; lost++) assert.equal(mtu.lost(9_000, SECOND), false)
  mtu.acked(8_000)
  for (let lost = 0; lost < 5; lost++) assert.equal(mtu.lost(2_000, SECOND), false)
  mtu.acked(1_200)
  assert.equal(mtu.lost(1_200, SECOND), false, 'small ones say nothing')
  assert.equal(mtu.lost(9_000, SECOND), true)
  assert.equal(mtu.current, 1_200)
  assert.equal(mtu.blackHoles, 1)
  assert.equal(mtu.due(60 * SECOND), 0)
  assert.equal(mtu.due(61 * SECOND), 9_000)
})

test('an answer to a probe of before means nothing', () => {
  const mtu = new PathMtu()
  mtu.start(9_000, 0)
  mtu.sent(9_000)
  mtu.reset(SECOND)
  mtu.probeAcked(9_000, SECOND)
  assert.equal(mtu.current, 1_200)
  assert.equal(mtu.due(SECOND), 9_000)
})
