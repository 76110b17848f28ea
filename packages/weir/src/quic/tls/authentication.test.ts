/** What both ends make of the encrypted messages when they break a rule (RFC 8446 sections 4.3, 4.4 and 4.6). */
import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { test } from 'node:test'
import { concatBytes } from '../../codec/index.ts'
import { KeyPair } from '../../core/index.ts'
import type { Level } from '../contract.ts'
import { encodeCertificateVerify } from './authentication.ts'
import { Extension as E } from './extensions.ts'
import {
  bodyOf,
  bytes,
  type Edit,
  forgeCertificate,
  forgeExtensions,
  message,
  split,
} from './forge.fixture.ts'
import { encodeSpki } from './spki.ts'
import { client, clientPair, converse, type End, server, serverPair } from './tls.fixture.ts'

type Failure = number | 'violation'

/** What became of a receiver of an honest flight of which one message was changed. */
interface Case {
  readonly what: string
  readonly failure: Failure
  /** Index of the message that is changed. */
  readonly at: number
  /** What stands in its place: any number of messages. */
  readonly change: (honest: Uint8Array) => Uint8Array
}

const ENCRYPTED = 0
const REQUEST = 1
const SERVER_CERTIFICATE = 2
const SERVER_VERIFY = 3
const SERVER_FINISHED = 4
const CLIENT_CERTIFICATE = 0
const CLIENT_VERIFY = 1
const CLIENT_FINISHED = 2

const extensions = (what: string, failure: Failure, change: (all: Edit) => unknown): Case => ({
  what: `EncryptedExtensions with ${what}`,
  failure,
  at: ENCRYPTED,
  change: (honest) => forgeExtensions(honest, 0, change),
})

const request = (what: string, failure: Failure, change: (all: Edit) => unknown): Case => ({
  what: `a CertificateRequest with ${what}`,
  failure,
  at: REQUEST,
  change: (honest) => forgeExtensions(honest, 1, change),
})

const anyKey = new Uint8Array(32).fill(5)
const spki = encodeSpki(serverPair.id)
const x509 = Uint8Array.from(Buffer.from(`308201${'00'.repeat(60)}`, 'hex'))
const rsaSpki = encodeSpki(serverPair.id).fill(1, 8, 9)

/** The certificates that both ends refuse in the same way. */
const certificates = (at: number, from: string): readonly Case[] => {
  const refused = (what: string, failure: Failure, certificate: Uint8Array): Case => ({
    what: `a Certificate of the ${from} with ${what}`,
    failure,
    at,
    change: () => certificate,
  })
  return [
    refused('a context', 47, forgeCertificate([{ spki }], bytes(1))),
    refused('two keys', 47, forgeCertificate([{ spki }, { spki }])),
    refused('an extension', 110, forgeCertificate([{ spki, extensions: bytes(0, 4, 0, 5, 0, 0) }])),
    refused('X.509', 43, forgeCertificate([{ spki: x509 }])),
    refused('a key of another kind', 43, forgeCertificate([{ spki: rsaSpki }])),
    refused('half a key', 43, forgeCertificate([{ spki: spki.subarray(0, 30) }])),
    refused('an empty entry', 50, forgeCertificate([{ spki: bytes() }])),
    refused(
      'a key of small order',
      42,
      forgeCertificate([{ spki: encodeSpki(new Uint8Array(32)) }]),
    ),
    refused(
      'a byte too many',
      50,
      message(11, concatBytes(bodyOf(forgeCertificate([{ spki }])), bytes(0))),
    ),
  ]
}

/** The same for CertificateVerify and Finished. */
const proofs = (verify: number, finished: number, from: string): readonly Case[] => {
  const of =
    (type: string, at: number) =>
    (what: string, failure: Failure, change: Case['change']): Case => ({
      what: `a ${type} of the ${from} with ${what}`,
      failure,
      at,
      change,
    })
  const signature = of('CertificateVerify', verify)
  const end = of('Finished', finished)
  const flip = (at: number) => (honest: Uint8Array) => {
    const changed = honest.slice()
    changed[at]! ^= 1
    return changed
  }
  return [
    signature('another algorithm', 47, flip(5)),
    signature('a changed signature', 51, flip(20)),
    signature('a signature by another key', 51, () =>
      encodeCertificateVerify(KeyPair.fromSeed(anyKey).sign(new Uint8Array(130))),
    ),
    signature('a short signature', 51, () => encodeCertificateVerify(new Uint8Array(63))),
    signature('no signature', 51, () => encodeCertificateVerify(new Uint8Array(0))),
    signature('a byte too many', 50, (honest) =>
      message(15, concatBytes(bodyOf(honest), bytes(0))),
    ),
    end('a changed bit', 51, flip(35)),
    end('a byte too few', 50, (honest) => message(20, bodyOf(honest).subarray(1))),
    end('a byte too many', 50, (honest) => message(20, concatBytes(bodyOf(honest), bytes(0)))),
  ]
}

const toClient: readonly Case[] = [
  extensions('no protocol', 120, (all) => all.remove(E.applicationProtocol)),
  extensions('another protocol', 47, (all) => all.set(E.applicationProtocol, 0, 2, 1, 120)),
  extensions('two protocols', 47, (all) => {
    const [, , ...name] = all.get(E.applicationProtocol)
    all.set(E.applicationProtocol, 0, 2 * name.length, ...name, ...name)
  }),
  extensions('no client_certificate_type', 40, (all) => all.remove(E.clientCertificateType)),
  extensions('no server_certificate_type', 40, (all) => all.remove(E.serverCertificateType)),
  extensions('X.509 for us', 47, (all) => all.set(E.clientCertificateType, 0)),
  extensions('X.509 for itself', 47, (all) => all.set(E.serverCertificateType, 0)),
  extensions('a list of types', 50, (all) => all.set(E.serverCertificateType, 1, 2)),
  extensions('no transport parameters', 109, (all) => all.remove(E.transportParameters)),
  extensions('a server name that was not sent', 110, (all) => all.add(E.serverName)),
  extensions('early data', 110, (all) => all.add(E.earlyData)),
  extensions('a key share', 47, (all) => all.add(E.keyShare, 0, 0x1d)),
  extensions('an extension twice', 47, (all) => all.add(E.transportParameters)),
  {
    what: 'EncryptedExtensions with a byte too many',
    failure: 50,
    at: ENCRYPTED,
    change: (honest) => message(8, concatBytes(bodyOf(honest), bytes(0))),
  },
  request('no signature_algorithms', 109, (all) => all.remove(E.signatureAlgorithms).add(47, 0)),
  request('no Ed25519', 40, (all) => all.set(E.signatureAlgorithms, 0, 2, 4, 3)),
  request('an extension twice', 47, (all) => all.add(0xfafa).add(0xfafa)),
  {
    what: 'a CertificateRequest with a context',
    failure: 47,
    at: REQUEST,
    change: (honest) => message(13, concatBytes(bytes(1, 7), bodyOf(honest).subarray(1))),
  },
  {
    what: 'a Certificate of the server with no key',
    failure: 50,
    at: SERVER_CERTIFICATE,
    change: () => forgeCertificate([]),
  },
  {
    what: 'a Certificate of the server with another key',
    failure: 48,
    at: SERVER_CERTIFICATE,
    change: () => forgeCertificate([{ spki: encodeSpki(KeyPair.fromSeed(anyKey).id) }]),
  },
  ...certificates(SERVER_CERTIFICATE, 'server'),
  ...proofs(SERVER_VERIFY, SERVER_FINISHED, 'server'),
]

const toServer: readonly Case[] = [
  {
    what: 'a Certificate of the client with no key',
    failure: 116,
    at: CLIENT_CERTIFICATE,
    change: () => forgeCertificate([]),
  },
  {
    what: 'the key of somebody else',
    failure: 51,
    at: CLIENT_CERTIFICATE,
    change: () => forgeCertificate([{ spki: encodeSpki(KeyPair.fromSeed(anyKey).id) }]),
  },
  ...certificates(CLIENT_CERTIFICATE, 'client'),
  ...proofs(CLIENT_VERIFY, CLIENT_FINISHED, 'client'),
]

/** Runs a handshake in which one message of one end is replaced, at once or byte by byte. */
function run(from: 'client' | 'server', { at, change }: Case, bytewise: boolean): [End, End] {
  const [one, other] = [client(), server()]
  const forger = from === 'client' ? one : other
  converse(one, other, (sender, level, flight) => {
    if (sender !== forger || level !== 'handshake') return [flight]
    const parts = split(flight).map((each, index) => (index === at ? change(each) : each))
    const whole = concatBytes(...parts)
    if (!bytewise) return [whole]
    return Array.from(whole, (_, index) => whole.subarray(index, index + 1))
  })
  return [one, other]
}

for (const [from, cases] of [
  ['server', toClient],
  ['client', toServer],
] as const) {
  for (const each of cases) {
    test(`${each.what} is refused with ${each.failure}`, () => {
      for (const bytewise of [false, true]) {
        const [one, other] = run(from, each, bytewise)
        const { record, machine } = from === 'server' ? one : other
        assert.equal(record.failure, each.failure, record.message)
        assert.equal(record.peer, undefined)
        assert.equal(machine.established, false)
        assert.equal(machine.heldBytes, 0)
      }
    })
  }
}

test('bytes behind a Finished are refused, before anything is established or after (RFC 9001 4.1.3)', () => {
  for (const [from, at] of [
    ['server', SERVER_FINISHED],
    ['client', CLIENT_FINISHED],
  ] as const) {
    const change = (honest: Uint8Array) => concatBytes(honest, bytes(4))
    const one = run(from, { what: '', failure: 0, at, change }, false)
    const later = run(from, { what: '', failure: 0, at, change }, true)
    const receiver = from === 'server' ? 0 : 1
    assert.equal(one[receiver].record.failure, 'violation')
    assert.equal(one[receiver].record.peer, undefined)
    assert.equal(later[receiver].record.failure, 'violation')
    assert.ok(later[receiver].record.peer)
  }
})

test('a CertificateRequest with criteria that nobody knows is answered', () => {
  const [one] = run(
    'server',
    request('', 0, (all) => all.add(0xfafa, 1).add(47, 0, 0)),
    false,
  )
  // What changes the transcript is found by its signature, after it was read.
  assert.equal(one.record.failure, 51)
  assert.match(one.record.message, /signature/)
})

test('a signature made for the other role is refused', () => {
  // A server that got hold of a signature of the client over the same hash could else replay it.
  for (const role of ['client', 'server'] as const) {
    const content: Uint8Array[] = []
    const pair = role === 'client' ? clientPair : serverPair
    const keyPair = {
      id: pair.id,
      sign(signed: Uint8Array) {
        content.push(signed)
        const swapped = Buffer.from(signed)
        swapped.write(role === 'client' ? 'server' : 'client', 64 + 'TLS 1.3, '.length)
        return new Uint8Array(sign(null, swapped, pair.keyObject))
      },
    }
    const [one, other] =
      role === 'client' ? [client({ keyPair }), server()] : [client(), server({ keyPair })]
    converse(one, other)
    assert.equal((role === 'client' ? other : one).record.failure, 51)
    assert.equal(content.length, 1)
    assert.equal(content[0]!.length, 64 + 33 + 1 + 32)
  }
})

/** Both ends after a handshake. */
function established(): [End, End] {
  const [one, other] = [client(), server()]
  converse(one, other)
  assert.ok(one.machine.established && other.machine.established)
  return [one, other]
}

const ticket = (end: Uint8Array): Uint8Array =>
  message(4, concatBytes(new Uint8Array(8), bytes(1, 9, 0, 2, 7, 7), end))

const after: readonly [
  what: string,
  to: 0 | 1,
  level: Level,
  sent: Uint8Array,
  Failure | undefined,
][] = [
  ['a ticket', 0, 'application', ticket(bytes(0, 0)), undefined],
  [
    'a ticket with the early data of QUIC',
    0,
    'application',
    ticket(bytes(0, 8, 0, 42, 0, 4, 255, 255, 255, 255)),
    undefined,
  ],
  [
    'a ticket with limited early data',
    0,
    'application',
    ticket(bytes(0, 8, 0, 42, 0, 4, 0, 0, 64, 0)),
    'violation',
  ],
  ['a ticket with a byte too many', 0, 'application', ticket(bytes(0, 0, 0)), 50],
  ['a ticket without a ticket', 0, 'application', message(4, new Uint8Array(13)), 50],
  ['a key update of TLS', 0, 'application', message(24, bytes(0)), 10],
  ['a key update of TLS', 1, 'application', message(24, bytes(1)), 10],
  ['a certificate request', 0, 'application', message(13, bytes(0, 0, 0)), 10],
  ['a ticket of a client', 1, 'application', ticket(bytes(0, 0)), 10],
  ['a second Finished', 0, 'handshake', message(20, new Uint8Array(32)), 'violation'],
  ['a second Finished', 1, 'handshake', message(20, new Uint8Array(32)), 'violation'],
  ['a hello', 0, 'initial', message(2, bytes(0)), 'violation'],
  ['a hello', 1, 'initial', message(1, bytes(0)), 'violation'],
]

for (const [what, to, level, sent, failure] of after) {
  const role = to === 0 ? 'client' : 'server'
  test(`after the handshake ${what} in ${level} reaches the ${role}: ${failure ?? 'fine'}`, () => {
    const end = established()[to]
    for (let at = 0; at < sent.length; at++) end.handle(level, sent.subarray(at, at + 1))
    assert.equal(end.record.failure, failure, end.record.message)
    assert.equal(end.machine.heldBytes, 0)
  })
}
