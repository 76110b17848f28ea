import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../codec/index.ts'
import { type Random, systemRandom } from '../../runtime/index.ts'
import { rfc } from '../crypto/vectors.fixture.ts'
import { RANDOM_BYTES } from './client-hello.ts'
import { KeySchedule } from './key-schedule.ts'
import { KeyShare } from './key-share.ts'
import { HEAD_BYTES } from './messages.ts'
import { TlsReader } from './reader.ts'
import { decodeServerHello, encodeServerHello, serverShare } from './server-hello.ts'
import { Transcript } from './transcript.ts'

/** Gives one secret, as if it were drawn. */
const drawn = (secret: Uint8Array): Random => ({ ...systemRandom, bytes: () => secret.slice() })

test('X25519 gives the keys and the secret of RFC 7748 section 6.1', () => {
  for (const [own, other] of [
    ['alice', 'bob'],
    ['bob', 'alice'],
  ]) {
    const share = new KeyShare(drawn(rfc('rfc7748', `${own}Private`)))
    assert.deepEqual(share.publicKey, rfc('rfc7748', `${own}Public`))
    const shared = share.exchange(rfc('rfc7748', `${other}Public`))
    assert.equal(toHex(shared!), toHex(rfc('rfc7748', 'shared')))
  }
})

test('a share of small order gives no secret', () => {
  for (const point of [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ]) {
    assert.equal(new KeyShare(systemRandom).exchange(Buffer.from(point, 'hex')), undefined)
  }
})

test('the secrets of the handshake of RFC 8448 section 3', () => {
  const of = (name: string) => rfc('rfc8448', name)
  const share = new KeyShare(drawn(of('serverPrivate')))
  assert.deepEqual(share.publicKey, of('serverPublic'))
  const shared = share.exchange(of('clientPublic'))
  const transcript = new Transcript()
  transcript.add(of('clientHello'))
  transcript.add(of('serverHello'))
  assert.equal(toHex(transcript.digest()), toHex(of('helloHash')))

  const schedule = new KeySchedule()
  const handshake = schedule.handshake(shared!, transcript.digest())
  assert.equal(toHex(handshake.client), toHex(of('clientHandshake')))
  assert.equal(toHex(handshake.server), toHex(of('serverHandshake')))
  const finished = schedule.finished('server', of('serverFinishedInput'))
  assert.equal(toHex(finished), toHex(of('serverFinished')))
  assert.ok(schedule.isFinished('server', of('serverFinishedInput'), finished))
  assert.ok(!schedule.isFinished('client', of('serverFinishedInput'), finished))
  assert.ok(!schedule.isFinished('server', of('serverFinishedInput'), finished.subarray(1)))
  // The client authenticates itself by Finished alone there.
  const answer = schedule.finished('client', of('finishedHash'))
  assert.equal(toHex(answer), toHex(of('clientFinished')))
  const application = schedule.application(of('finishedHash'))
  assert.equal(toHex(application.client), toHex(of('clientApplication')))
  assert.equal(toHex(application.server), toHex(of('serverApplication')))
})

test('the secrets after the HelloRetryRequest of RFC 8448 section 5', () => {
  const of = (name: string) => rfc('rfc8448retry', name)
  const transcript = new Transcript()
  transcript.add(of('clientHello'))
  transcript.restart()
  for (const name of ['retryRequest', 'secondClientHello', 'serverHello']) transcript.add(of(name))
  assert.equal(toHex(transcript.digest()), toHex(of('helloHash')))
  const secrets = new KeySchedule().handshake(of('shared'), transcript.digest())
  assert.equal(toHex(secrets.client), toHex(of('clientHandshake')))
  assert.equal(toHex(secrets.server), toHex(of('serverHandshake')))
})

test('the ServerHello of RFC 8448 section 3 is read and written', () => {
  const message = rfc('rfc8448', 'serverHello')
  const hello = decodeServerHello(new TlsReader(message, HEAD_BYTES))
  assert.equal(hello.suite, 0x1301)
  assert.equal(hello.retry, false)
  assert.equal(toHex(serverShare(hello)), toHex(rfc('rfc8448', 'serverPublic')))
  const random = message.subarray(HEAD_BYTES + 2, HEAD_BYTES + 2 + RANDOM_BYTES)
  const written = encodeServerHello(random, 0x1301, rfc('rfc8448', 'serverPublic'))
  // Ours has the same extensions in the other order.
  assert.equal(written.length, message.length)
  const again = decodeServerHello(new TlsReader(written, HEAD_BYTES))
  assert.deepEqual(new Map([...again.extensions].reverse()), hello.extensions)
})

test('the HelloRetryRequest of RFC 8448 section 5 is told from a ServerHello', () => {
  const message = rfc('rfc8448retry', 'retryRequest')
  assert.equal(decodeServerHello(new TlsReader(message, HEAD_BYTES)).retry, true)
})

test('wiped secrets are gone, and those of another handshake are not touched', () => {
  const schedule = new KeySchedule()
  const other = new KeySchedule()
  const hash = new Uint8Array(32)
  for (const each of [schedule, other]) each.handshake(rfc('rfc8448', 'shared'), hash)
  const before = toHex(other.finished('client', hash))
  assert.equal(toHex(schedule.finished('client', hash)), before)
  schedule.wipe()
  assert.notEqual(toHex(schedule.finished('client', hash)), before)
  assert.equal(toHex(other.finished('client', hash)), before)
})
