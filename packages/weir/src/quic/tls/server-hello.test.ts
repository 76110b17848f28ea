/** What a client makes of a ServerHello or HelloRetryRequest that breaks a rule (RFC 8446 sections 4.1.3 and 4.1.4). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Extension as E } from './extensions.ts'
import { bytes, type Edit, forgeServerHello, type ServerHelloFields } from './forge.fixture.ts'
import { RETRY_RANDOM } from './server-hello.ts'
import { client, converse, type End, server } from './tls.fixture.ts'

type Change = (fields: ServerHelloFields, extensions: Edit) => unknown
type Failure = number | 'violation'

/** A client that has sent its hello, and the honest answer. */
function asked(own: Parameters<typeof client>[0] = {}): [End, Uint8Array] {
  const [one, other] = [client(own), server(own.suites ? { suites: own.suites } : {})]
  one.start()
  other.handle('initial', one.record.sent[0]!.bytes)
  return [one, other.record.sent[0]!.bytes]
}

function tell(end: End, message: Uint8Array, bytewise: boolean): End {
  const step = bytewise ? 1 : message.length
  for (let at = 0; at < message.length; at += step) {
    end.handle('initial', message.subarray(at, at + step))
  }
  return end
}

/** The random of a server that would have spoken this version of TLS. */
function forced(hello: ServerHelloFields, all: Edit, end: number): void {
  all.remove(E.supportedVersions)
  hello.random.set([...Buffer.from('DOWNGRD'), end], 24)
}

const violations: readonly [what: string, failure: Failure, change: Change][] = [
  ['SSL 3', 70, (hello) => (hello.version = 0x0300)],
  ['another legacy version', 70, (hello) => (hello.version = 0x0302)],
  ['TLS 1.3 in the legacy version', 70, (hello) => (hello.version = 0x0304)],
  ['no supported_versions', 70, (_, all) => all.remove(E.supportedVersions)],
  ['the mark of a downgrade from 1.2', 47, (hello, all) => forced(hello, all, 1)],
  ['the mark of a downgrade from 1.1', 47, (hello, all) => forced(hello, all, 0)],
  ['a mark that means nothing', 70, (hello, all) => forced(hello, all, 2)],
  ['TLS 1.2 selected', 47, (_, all) => all.set(E.supportedVersions, 3, 3)],
  ['two versions selected', 50, (_, all) => all.set(E.supportedVersions, 3, 4, 3, 4)],
  ['a session id', 47, (hello) => (hello.session = bytes(1))],
  ['a suite that was not offered', 47, (hello) => (hello.suite = 0x1302)],
  ['compression', 47, (hello) => (hello.compression = 1)],
  ['a byte too many', 50, (hello) => (hello.trailing = bytes(0))],
  ['no share', 109, (_, all) => all.remove(E.keyShare)],
  ['a share of another group', 47, (_, all) => all.get(E.keyShare).set([0, 23])],
  ['a short share', 47, (_, all) => all.set(E.keyShare, 0, 0x1d, 0, 1, 9)],
  ['an empty share', 50, (_, all) => all.set(E.keyShare, 0, 0x1d, 0, 0)],
  ['a share of zeros', 47, (_, all) => all.get(E.keyShare).fill(0, 4)],
  ['a byte after the share', 50, (_, all) => all.set(E.keyShare, ...all.get(E.keyShare), 0)],
  ['resumption that was not offered', 110, (_, all) => all.add(E.preSharedKey, 0, 0)],
  ['an unknown extension', 110, (_, all) => all.add(0xfafa)],
  ['a cookie', 110, (_, all) => all.add(E.cookie, 0, 1, 7)],
  ['an extension of another message', 47, (_, all) => all.add(E.applicationProtocol, 0, 2, 1, 9)],
  ['an extension twice', 47, (_, all) => all.add(E.supportedVersions, 3, 4)],
]

for (const [what, failure, change] of violations) {
  test(`a ServerHello with ${what} is refused with ${failure}`, () => {
    for (const bytewise of [false, true]) {
      const [one, hello] = asked()
      const { record, machine } = tell(one, forgeServerHello(hello, change), bytewise)
      assert.equal(record.failure, failure, record.message)
      assert.deepEqual(record.keys, [])
      assert.equal(machine.heldBytes, 0)
    }
  })
}

test('a suite that this client did not offer is refused, though we know it', () => {
  const [one, hello] = asked({ suites: [0x1303] })
  tell(
    one,
    forgeServerHello(hello, (fields) => (fields.suite = 0x1301)),
    false,
  )
  assert.equal(one.record.failure, 47)
})

test('an answer to a share that was not sent is refused', () => {
  const [, hello] = asked()
  const one = client({ withoutShare: true })
  one.start()
  assert.equal(tell(one, hello, false).record.failure, 47)
})

/** A HelloRetryRequest in place of a ServerHello. */
const retry =
  (change: Change): Change =>
  (hello, all) => {
    hello.random.set(RETRY_RANDOM)
    all.remove(E.keyShare)
    change(hello, all)
  }

const cookie: Change = (_, all) => all.add(E.cookie, 0, 3, 7, 8, 9)

const retries: readonly [what: string, failure: Failure, change: Change][] = [
  ['that changes nothing', 47, () => undefined],
  ['for the share that was sent', 47, (_, all) => all.add(E.keyShare, 0, 0x1d)],
  ['for a group that was not offered', 47, (_, all) => all.add(E.keyShare, 0, 23)],
  ['with a whole share', 50, (_, all) => all.add(E.keyShare, 0, 0x1d, 0, 1, 9)],
  ['with an empty cookie', 50, (_, all) => all.add(E.cookie, 0, 0)],
  ['with an unknown extension', 110, (_, all) => all.add(E.cookie, 0, 1, 7).add(0xfafa)],
  [
    'with an extension of another message',
    47,
    (_, all) => all.add(E.cookie, 0, 1, 7).add(E.supportedGroups, 0, 2, 0, 23),
  ],
  ['without supported_versions', 70, (_, all) => all.remove(E.supportedVersions)],
  ['with a session id', 47, (hello) => (hello.session = bytes(1))],
  ['with another suite', 47, (hello) => (hello.suite = 0x1302)],
]

for (const [what, failure, change] of retries) {
  test(`a HelloRetryRequest ${what} is refused with ${failure}`, () => {
    const [one, hello] = asked()
    const { record } = tell(one, forgeServerHello(hello, retry(change)), true)
    assert.equal(record.failure, failure, record.message)
    assert.equal(record.sent.length, 1)
  })
}

test('a cookie is returned in a hello that is otherwise the same', () => {
  const [one, hello] = asked()
  tell(one, forgeServerHello(hello, retry(cookie)), false)
  assert.equal(one.record.failure, undefined, one.record.message)
  const [first, second] = one.record.sent.map((each) => Buffer.from(each.bytes))
  const added = Buffer.from([0, E.cookie, 0, 5, 0, 3, 7, 8, 9])
  assert.equal(second!.length, first!.length + added.length)
  assert.ok(second!.subarray(-added.length).equals(added))
  const keyShare = (of: Buffer) => of.subarray(of.indexOf(Buffer.from([0, E.keyShare, 0, 38])))
  assert.ok(keyShare(second!).subarray(0, 42).equals(keyShare(first!).subarray(0, 42)))
})

test('a second HelloRetryRequest is refused with 10', () => {
  const [one, hello] = asked()
  tell(one, forgeServerHello(hello, retry(cookie)), false)
  tell(one, forgeServerHello(hello, retry(cookie)), false)
  assert.equal(one.record.failure, 10)
  assert.equal(one.record.sent.length, 2)
})

test('a ServerHello with another suite than the HelloRetryRequest before it is refused', () => {
  const [one, hello] = asked()
  tell(one, forgeServerHello(hello, retry(cookie)), false)
  tell(
    one,
    forgeServerHello(hello, (fields) => (fields.suite = 0x1303)),
    false,
  )
  assert.equal(one.record.failure, 47)
})

test('bytes after a ServerHello are refused, in one piece or later (RFC 9001 4.1.3)', () => {
  const [one, hello] = asked()
  tell(one, new Uint8Array([...hello, 8]), false)
  assert.equal(one.record.failure, 'violation')
  assert.deepEqual(one.record.keys, [])
  const [later, answer] = asked()
  tell(tell(later, answer, false), hello, false)
  assert.equal(later.record.failure, 'violation')
})

test('a flight that was forced to another suite ends in an alert at the client', () => {
  const [one, other] = [client(), server()]
  converse(one, other, (from, level, part) => [
    from === other && level === 'initial'
      ? forgeServerHello(part, (fields) => (fields.suite = 0x1303))
      : part,
  ])
  assert.equal(one.record.failure, 51)
  assert.equal(other.machine.established, false)
})
