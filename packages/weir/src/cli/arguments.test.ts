import assert from 'node:assert/strict'
import test from 'node:test'
import { blake3 } from '../core/index.ts'
import {
  parseLogLevel,
  parseMemory,
  parseNetworkId,
  parsePeer,
  parseTopic,
  parseTransport,
} from './arguments.ts'
import { loadController } from './plan.ts'
import { textOf } from './sub.ts'

const ID = 'ab'.repeat(32)

test('a peer is an id and an address with a port', () => {
  const { node, addresses } = parsePeer(`${ID}@127.0.0.1:9102`)
  assert.equal(Buffer.from(node).toString('hex'), ID)
  assert.deepEqual(addresses, ['127.0.0.1:9102'])
  assert.deepEqual(parsePeer(`${ID}@[::1]:1`).addresses, ['[::1]:1'])
  const bad = ['', ID, `${ID}@`, `${ID}@localhost:1`, `${ID}@127.0.0.1`, `${ID}@127.0.0.1:0`]
  for (const text of [...bad, `${ID.slice(1)}@127.0.0.1:1`, `@127.0.0.1:1`, `x${ID}@127.0.0.1:1`]) {
    assert.throws(() => parsePeer(text), { code: 'PEER_INVALID', message: /ID@127\.0\.0\.1:9102/ })
  }
})

test('a topic is 64 hex digits, or the hash of words', () => {
  assert.deepEqual(Buffer.from(parseTopic(ID)).toString('hex'), ID)
  assert.deepEqual(Buffer.from(parseTopic('demo')), Buffer.from(blake3(Buffer.from('demo'))))
  for (const text of ['', 'x'.repeat(257)]) {
    assert.throws(() => parseTopic(text), { code: 'TOPIC_INVALID' })
  }
  for (const text of [ID.slice(1), `${ID}0`, 'ab'.repeat(16)]) {
    assert.throws(() => parseTopic(text), {
      code: 'TOPIC_INVALID',
      message: new RegExp(`${text.length} hex digits; the id of a topic has 64`),
    })
  }
  // Few enough digits to be a name.
  assert.deepEqual(Buffer.from(parseTopic('cafe')), Buffer.from(blake3(Buffer.from('cafe'))))
})

test('sizes, network ids, transports and log levels are checked', () => {
  assert.equal(parseMemory('200Mi'), 200 * 2 ** 20)
  assert.throws(() => parseMemory('lots'), { code: 'SIZE_INVALID' })
  assert.equal(parseNetworkId('weir-demo'), 'weir-demo')
  assert.throws(() => parseNetworkId(''), { code: 'NETWORK_ID_INVALID' })
  assert.equal(parseTransport('quic'), 'quic')
  assert.equal(parseTransport('iroh'), 'iroh')
  assert.throws(() => parseTransport('tcp'), { code: 'TRANSPORT_UNKNOWN' })
  assert.equal(parseLogLevel('warn'), 'warn')
  assert.throws(() => parseLogLevel('loud'), { code: 'LOG_LEVEL_INVALID' })
})

test('a body is printed as its text, without what could look like another line, else as hex', () => {
  const cbor = (text: string) => {
    const bytes = Buffer.from(text)
    return { body: Buffer.concat([Buffer.from([0x78, bytes.length]), bytes]) }
  }
  assert.equal(textOf(cbor('one line that is long enough')), 'one line that is long enough')
  assert.equal(
    textOf(cbor('two\nlines, \u001b[31m red, \u2028 and a\ttab')),
    'two\\u000alines, \\u001b[31m red, \\u2028 and a\ttab',
  )
  assert.equal(textOf({ body: Uint8Array.of(0x61, 0x61) }), 'a')
  // A byte string, a text in a longer form than needed, a text with a byte behind it, no CBOR at all.
  assert.equal(textOf({ body: Uint8Array.of(0x41, 0x61) }), '4161')
  assert.equal(textOf({ body: Uint8Array.of(0x78, 0x01, 0x61) }), '780161')
  assert.equal(textOf({ body: Uint8Array.of(0x61, 0x61, 0x00) }), '616100')
  assert.equal(textOf({ body: Uint8Array.of(0xff) }), 'ff')
  assert.equal(textOf({ body: undefined }), '')
})

test('a controller that is not installed is told by a code', async () => {
  const code = 'CONTROLLER_MISSING'
  await assert.rejects(loadController('weir-mesh-nothing/app'), { code, message: /npm install/ })
})
