import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Suite } from '../contract.ts'
import {
  CLIENT_PARAMETERS,
  client,
  clientPair,
  converse,
  type End,
  PROTOCOL,
  SERVER_PARAMETERS,
  server,
  serverPair,
} from './tls.fixture.ts'

function assertAgreed(one: End, other: End, suite: Suite): void {
  assert.equal(one.record.failure, undefined, one.record.message)
  assert.equal(other.record.failure, undefined, other.record.message)
  assert.deepEqual(one.record.peer, {
    node: serverPair.id,
    protocol: PROTOCOL,
  })
  assert.deepEqual(other.record.peer, {
    node: clientPair.id,
    protocol: PROTOCOL,
  })
  assert.deepEqual(one.record.parameters, SERVER_PARAMETERS)
  assert.deepEqual(other.record.parameters, CLIENT_PARAMETERS)
  assert.deepEqual(
    one.record.keys.map(({ level }) => level),
    ['handshake', 'application'],
  )
  for (const at of [0, 1]) {
    const [ours, theirs] = [one.record.keys[at]!, other.record.keys[at]!]
    assert.equal(ours.level, theirs.level)
    assert.equal(ours.secrets.suite, suite)
    assert.deepEqual(theirs.secrets, { suite, read: ours.secrets.write, write: ours.secrets.read })
    assert.notDeepEqual(ours.secrets.read, ours.secrets.write)
  }
  assert.ok(one.machine.established && other.machine.established)
  assert.equal(one.machine.heldBytes + other.machine.heldBytes, 0)
}

for (const suite of [0x1301, 0x1303] as const) {
  test(`a handshake gives both ends the same secrets, keys and protocol with ${suite.toString(16)}`, () => {
    const [one, other] = [client({ suites: [suite] }), server()]
    converse(one, other)
    assertAgreed(one, other, suite)
  })
}

test('the server decides on the suite by its own order', () => {
  const [one, other] = [client(), server({ suites: [0x1303, 0x1301] })]
  converse(one, other)
  assertAgreed(one, other, 0x1303)
})

test('a client that sends no share is asked for one', () => {
  const [one, other] = [client({ withoutShare: true }), server()]
  converse(one, other)
  assertAgreed(one, other, 0x1301)
  assert.deepEqual(
    one.record.sent.map(({ level }) => level),
    ['initial', 'initial', 'handshake'],
  )
})
