import assert from 'node:assert/strict'
import test from 'node:test'
import { connectSlope, droppedSlope } from './slopes.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

/** The least that something forgotten for each connection would take; the noise of so few rounds is below it. */
const BYTES_MAX = 100

test('connections that come and go leave nothing on the heap', async () => {
  const rounds = { rounds: 8, perRound: 150, warmUp: 4 }
  const { lower } = await connectSlope(rounds, toySecurity())
  assert.ok(lower <= BYTES_MAX, `at least ${lower} bytes for each connection`)
})

test('incomings that nobody decides on leave nothing on the heap', async () => {
  const { lower, expired } = await droppedSlope({ rounds: 8, perRound: 150, warmUp: 3 })
  assert.ok(lower <= BYTES_MAX, `at least ${lower} bytes for each incoming`)
  assert.ok(expired >= 11 * 150)
})
