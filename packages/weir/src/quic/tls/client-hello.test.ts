/** What a server makes of a ClientHello that breaks a rule: each has its alert (RFC 8446 sections 4.1.2 to 4.2, 6.2). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Extension as E } from './extensions.ts'
import { bytes, type Edit, forgeClientHello, type HelloFields } from './forge.fixture.ts'
import { client, type End, PROTOCOL, server } from './tls.fixture.ts'

type Change = (fields: HelloFields, extensions: Edit) => unknown
type Failure = number | 'violation'

/** An X25519 share of these bytes. */
const share = (key: Uint8Array) => [0, 0x1d, 0, key.length, ...key]
const list16 = (...values: number[]) => [values.length >> 8, values.length & 255, ...values]
const key = new Uint8Array(32).fill(9)

const violations: readonly [what: string, failure: Failure, change: Change][] = [
  ['SSL 3', 70, (hello) => (hello.version = 0x0300)],
  ['no extensions at all', 70, (hello) => (hello.extensions = undefined)],
  ['no supported_versions', 70, (_, all) => all.remove(E.supportedVersions)],
  ['only TLS 1.2', 70, (_, all) => all.set(E.supportedVersions, 2, 3, 3)],
  ['a version cut in half', 50, (_, all) => all.set(E.supportedVersions, 3, 3, 4, 3)],
  ['no versions', 50, (_, all) => all.set(E.supportedVersions, 0)],
  ['a session id (RFC 9001 8.4)', 'violation', (hello) => (hello.session = bytes(1))],
  ['a session id of 33 bytes', 50, (hello) => (hello.session = new Uint8Array(33))],
  ['no cipher suites', 50, (hello) => (hello.suites = bytes())],
  ['half a cipher suite', 50, (hello) => (hello.suites = bytes(0x13, 0x01, 0x13))],
  ['other cipher suites', 40, (hello) => (hello.suites = bytes(0x13, 0x02, 0xc0, 0x2b))],
  ['compression', 47, (hello) => (hello.compression = bytes(1))],
  ['compression as a choice', 47, (hello) => (hello.compression = bytes(0, 1))],
  ['no compression method', 50, (hello) => (hello.compression = bytes())],
  ['a byte too many', 50, (hello) => (hello.trailing = bytes(0))],
  ['a known extension twice', 47, (_, all) => all.add(E.keyShare, ...all.get(E.keyShare))],
  ['an unknown extension twice', 47, (_, all) => all.add(0xfafa).add(0xfafa)],
  ['no signature_algorithms', 109, (_, all) => all.remove(E.signatureAlgorithms)],
  ['no Ed25519', 40, (_, all) => all.set(E.signatureAlgorithms, 0, 2, 4, 3)],
  ['no signature algorithm', 50, (_, all) => all.set(E.signatureAlgorithms, 0, 0)],
  ['no supported_groups', 109, (_, all) => all.remove(E.supportedGroups)],
  ['no X25519', 40, (_, all) => all.set(E.supportedGroups, 0, 2, 0, 23).set(E.keyShare, 0, 0)],
  ['no key_share', 109, (_, all) => all.remove(E.keyShare)],
  [
    'two shares of a group',
    47,
    (_, all) => all.set(E.keyShare, ...list16(...share(key), ...share(key))),
  ],
  [
    'a share of a group that is not offered',
    47,
    (_, all) => all.set(E.keyShare, ...list16(...share(key), 0, 23, 0, 1, 4)),
  ],
  ['a short share', 47, (_, all) => all.set(E.keyShare, ...list16(...share(key.subarray(1))))],
  ['an empty share', 50, (_, all) => all.set(E.keyShare, ...list16(0, 0x1d, 0, 0))],
  [
    'a share of zeros',
    47,
    (_, all) => all.set(E.keyShare, ...list16(...share(new Uint8Array(32)))),
  ],
  ['a byte after the shares', 50, (_, all) => all.set(E.keyShare, ...all.get(E.keyShare), 0)],
  ['no protocol', 120, (_, all) => all.remove(E.applicationProtocol)],
  ['another protocol', 120, (_, all) => all.set(E.applicationProtocol, 0, 3, 2, 104, 51)],
  ['an empty protocol', 50, (_, all) => all.set(E.applicationProtocol, 0, 4, 0, 2, 104, 51)],
  ['an empty list of protocols', 50, (_, all) => all.set(E.applicationProtocol, 0, 0)],
  ['no client_certificate_type', 40, (_, all) => all.remove(E.clientCertificateType)],
  ['no server_certificate_type', 40, (_, all) => all.remove(E.serverCertificateType)],
  ['only X.509 of the client', 43, (_, all) => all.set(E.clientCertificateType, 1, 0)],
  ['only X.509 of the server', 43, (_, all) => all.set(E.serverCertificateType, 1, 0)],
  ['no certificate type', 50, (_, all) => all.set(E.serverCertificateType, 0)],
  ['no transport parameters', 109, (_, all) => all.remove(E.transportParameters)],
  ['a cookie that nobody gave', 47, (_, all) => all.add(E.cookie, 0, 1, 7)],
  [
    'a pre-shared key that is not last',
    47,
    (_, all) => all.add(E.pskModes, 1, 1).add(E.preSharedKey, 1).add(0xfafa),
  ],
  ['a pre-shared key without its modes', 109, (_, all) => all.add(E.preSharedKey, 1)],
]

/** A server that got a ClientHello, whole or byte by byte. */
function answer(hello: Uint8Array, bytewise: boolean, to: End = server()): End {
  const step = bytewise ? 1 : hello.length
  for (let at = 0; at < hello.length; at += step)
    to.handle('initial', hello.subarray(at, at + step))
  return to
}

function helloOf(end: End): Uint8Array {
  end.start()
  return end.record.sent.at(-1)!.bytes
}

for (const [what, failure, change] of violations) {
  test(`a ClientHello with ${what} is refused with ${failure}`, () => {
    const hello = forgeClientHello(helloOf(client()), change)
    for (const bytewise of [false, true]) {
      const { record, machine } = answer(hello, bytewise)
      assert.equal(record.failure, failure, record.message)
      assert.deepEqual(record.keys, [])
      assert.deepEqual(record.sent, [])
      assert.equal(machine.heldBytes, 0)
    }
  })
}

const permitted: readonly [what: string, change: Change][] = [
  ['nothing changed', () => undefined],
  ['a server name, as iroh 1.0 sends it', (_, all) => all.add(E.serverName, 0, 4, 0, 0, 1, 120)],
  ['extensions that nobody knows', (_, all) => all.add(0xfafa, 1, 2).add(0x3a3a)],
  ['older versions too', (_, all) => all.set(E.supportedVersions, 6, 3, 2, 0x7a, 0x7a, 3, 4)],
  ['another legacy version', (hello) => (hello.version = 0x0301)],
  ['more suites', (hello) => (hello.suites = bytes(0x13, 0x02, 0x0a, 0x0a, 0x13, 0x01))],
  ['certificates as a choice', (_, all) => all.set(E.serverCertificateType, 2, 0, 2)],
  ['resumption, which is not taken', (_, all) => all.add(E.pskModes, 1, 1).add(E.preSharedKey, 1)],
  ['early data, which is not taken', (_, all) => all.add(E.earlyData)],
  [
    'more protocols',
    (_, all) => all.set(E.applicationProtocol, ...list16(1, 120, PROTOCOL.length, ...PROTOCOL)),
  ],
  [
    'a share of another group',
    (_, all) =>
      all
        .set(E.supportedGroups, 0, 4, 0, 23, 0, 0x1d)
        .set(E.keyShare, ...list16(0, 23, 0, 1, 4, ...share(key))),
  ],
]

for (const [what, change] of permitted) {
  test(`a ClientHello with ${what} is answered`, () => {
    const { record } = answer(forgeClientHello(helloOf(client()), change), false)
    assert.equal(record.failure, undefined, record.message)
    assert.deepEqual(
      record.sent.map(({ level }) => level),
      ['initial', 'handshake'],
    )
  })
}

const second: readonly [what: string, failure: Failure, change: Change][] = [
  ['no share again', 47, (_, all) => all.set(E.keyShare, 0, 0)],
  ['another random', 47, (hello) => (hello.random = key)],
  ['other suites', 47, (hello) => (hello.suites = bytes(0x13, 0x01))],
  ['other parameters', 47, (_, all) => all.set(E.transportParameters, 1)],
  ['another protocol', 47, (_, all) => all.add(0xfafa).set(E.applicationProtocol, 0, 2, 1, 120)],
  ['a cookie', 47, (_, all) => all.add(E.cookie, 0, 1, 7)],
  ['early data', 47, (_, all) => all.add(E.earlyData)],
  ['a second share', 47, (_, all) => all.set(E.keyShare, ...list16(...share(key), 0, 24, 0, 1, 4))],
]

/** Another group beside X25519, in both hellos. */
const groups: Change = (_, all) => all.set(E.supportedGroups, 0, 4, 0, 0x1d, 0, 24)

for (const [what, failure, change] of second) {
  test(`a second ClientHello with ${what} is refused with ${failure}`, () => {
    const asked = client({ withoutShare: true })
    const to = answer(forgeClientHello(helloOf(asked), groups), false)
    asked.handle('initial', to.record.sent[0]!.bytes)
    const again = asked.record.sent[1]!.bytes
    const { record } = answer(
      forgeClientHello(again, (hello, all) => {
        groups(hello, all)
        change(hello, all)
      }),
      true,
      to,
    )
    assert.equal(record.failure, failure, record.message)
    assert.equal(record.sent.length, 1)
  })
}

test('a second ClientHello that only adds the share is answered', () => {
  const asked = client({ withoutShare: true })
  const to = answer(forgeClientHello(helloOf(asked), groups), false)
  asked.handle('initial', to.record.sent[0]!.bytes)
  answer(forgeClientHello(asked.record.sent[1]!.bytes, groups), false, to)
  assert.equal(to.record.failure, undefined, to.record.message)
  assert.equal(to.record.sent.length, 3)
})

test('a ClientHello that ends anywhere is waited for, and refused when its length says that it is whole', () => {
  const hello = helloOf(client())
  for (let length = 0; length < hello.length; length++) {
    assert.equal(answer(hello.subarray(0, length), false).record.failure, undefined)
    if (length < 4) continue
    const cut = hello.slice(0, length)
    cut[2] = (length - 4) >> 8
    cut[3] = (length - 4) & 255
    const { failure } = answer(cut, false).record
    // Up to the extensions it looks like one of TLS 1.2.
    assert.ok(failure === 50 || failure === 70, `${length}: ${failure}`)
  }
})

test('the protocol of the server that comes first in its list is chosen', () => {
  const protocols = [Uint8Array.of(9), Uint8Array.of(120), PROTOCOL]
  const { record } = answer(
    forgeClientHello(helloOf(client()), (_, all) =>
      all.set(E.applicationProtocol, ...list16(PROTOCOL.length, ...PROTOCOL, 1, 120)),
    ),
    false,
    server({ protocols }),
  )
  const flight = Buffer.from(record.sent[1]!.bytes)
  assert.ok(flight.includes(Uint8Array.of(0, E.applicationProtocol, 0, 4, 0, 2, 1, 120)))
})
