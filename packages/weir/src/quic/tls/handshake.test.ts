import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../codec/index.ts'
import { KeyPair } from '../../core/index.ts'
import { systemRandom } from '../../runtime/index.ts'
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

test('secrets are zeroed after they were handed out', () => {
  const seen: Uint8Array[] = []
  const [one, other] = [client(), server()]
  for (const { record } of [one, other]) {
    const keep = record.secrets.bind(record)
    record.secrets = (level, secrets) => {
      keep(level, secrets)
      assert.ok(secrets.read.some((byte) => byte !== 0))
      seen.push(secrets.read, secrets.write)
    }
  }
  converse(one, other)
  assertAgreed(one, other, 0x1301)
  assert.equal(seen.length, 8)
  for (const secret of seen) assert.deepEqual(secret, new Uint8Array(32))
})

test('two handshakes have nothing secret in common', () => {
  const secrets = new Set<string>()
  for (let count = 0; count < 4; count++) {
    const [one, other] = [client({ random: systemRandom }), server({ random: systemRandom })]
    converse(one, other)
    assertAgreed(one, other, 0x1301)
    for (const { secrets: of } of one.record.keys) {
      secrets.add(toHex(of.read)).add(toHex(of.write))
    }
  }
  assert.equal(secrets.size, 16)
})

test('a server takes any client, and learns its key', () => {
  const keyPair = KeyPair.generate()
  const [one, other] = [client({ keyPair }), server()]
  converse(one, other)
  assert.deepEqual(other.record.peer?.node, keyPair.id)
})
