/** The texts are those of version 1.1.0, as they came out of it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { ConnectionClosedError, StreamError } from 'weir-mesh/transport'
import {
  bindFailure,
  briefly,
  closeInfo,
  closeInfoOfError,
  handshakeFailure,
  streamFailure,
} from './errors.ts'

const TRACE =
  '\n\nStack backtrace:\n   0: <anyhow::Error>::msg::<alloc::string::String>\n   1: anyhow::__private::format_err'
const connecting = (last: string) =>
  new Error(
    `ConnectError::Connecting (/a/b/endpoint.rs:1060:20)\nCaused by:\n    ConnectingError::ConnectionError (/a/poll.rs:258:39)\n    ${last}${TRACE}`,
  )

test('the text of a close gives code, reason and side', () => {
  assert.deepEqual(closeInfo('closed by peer: bye (code 7)'), {
    code: 7,
    reason: 'bye',
    by: 'remote',
  })
  assert.deepEqual(closeInfo('closed by peer: 0'), { code: 0, reason: '', by: 'remote' })
  assert.deepEqual(closeInfo('closed by peer: a (code 1) (code 2)'), {
    code: 2,
    reason: 'a (code 1)',
    by: 'remote',
  })
  assert.deepEqual(closeInfo('closed by peer: two\nlines (code 3)').reason, 'two\nlines')
  assert.equal(closeInfo('closed').by, 'local')
  assert.deepEqual(closeInfo('timed out'), { code: 0, reason: 'timed out', by: 'lost' })
  assert.equal(closeInfo('').by, 'lost')
  assert.equal(closeInfo(`closed by peer: ${'x'.repeat(10_000)} (code 3)`).reason.length, 256)
})

test('stream errors give their code', () => {
  const failure = (text: string) => streamFailure(new Error(text + TRACE), undefined)
  for (const [text, code] of [
    ['Reset(7)', 'STREAM_RESET'],
    ['Stopped(7)', 'STREAM_STOPPED'],
  ] as const) {
    const error = failure(text)
    assert.ok(error instanceof StreamError)
    assert.deepEqual([error.code, error.streamCode], [code, 7])
  }
  assert.equal(failure('ClosedStream').code, 'CLOSED')
  assert.equal(failure('ClosedStream { _private: () }').code, 'CLOSED')
})

test('a lost connection is told from its text when the connection has not said it yet', () => {
  const text =
    'ConnectionLost(ApplicationClosed(ApplicationClose { error_code: 7, reason: b"bye \\"x\\"" }))'
  const error = streamFailure(new Error(text + TRACE), undefined)
  assert.ok(error instanceof ConnectionClosedError)
  assert.deepEqual(error.close, { code: 7, reason: 'bye \\"x\\"', by: 'remote' })
  assert.equal(closeInfoOfError(new Error('ConnectionLost(LocallyClosed)')).by, 'local')
  assert.equal(closeInfoOfError(new Error('ConnectionLost(TimedOut)')).by, 'lost')
  const known = streamFailure(new Error(text), { code: 1, reason: 'known', by: 'remote' })
  assert.ok(known instanceof ConnectionClosedError)
  assert.equal(known.close.code, 1)
})

test('handshakes end with a code of ours', () => {
  const code = (text: string) => handshakeFailure(connecting(text)).code
  assert.equal(
    code("aborted by peer: … error 120: peer doesn't support any known protocol"),
    'PROTOCOL_REFUSED',
  )
  const ours =
    'TransportError(Error { code: Code::crypto(78), reason: "", crypto: Some(NoApplicationProtocol) })'
  assert.equal(handshakeFailure(new Error(ours + TRACE)).code, 'PROTOCOL_REFUSED')
  assert.equal(code('Endpoint is closed (/x/endpoint.rs:1097:24)'), 'CLOSED')
  const refused = handshakeFailure(
    connecting('aborted by peer: the server refused to accept a new connection'),
  )
  assert.deepEqual([refused.code, refused.retryable], ['CONNECT_FAILED', true])
  assert.match(refused.message, /refused to accept/)
  assert.match(
    handshakeFailure(connecting('invalid peer certificate: UnknownIssuer')).message,
    /another key/,
  )
})

test('an address in use and one that cannot be bound are told apart', () => {
  const inUse = `Failed to bind sockets (/a/socket.rs:946:24)\nCaused by:\n    Address already in use (os error 98)${TRACE}`
  assert.equal(bindFailure(new Error(inUse), '127.0.0.1:1').code, 'ADDRESS_IN_USE')
  assert.equal(bindFailure(new Error('whatever'), '192.0.2.1:1').code, 'ADDRESS_INVALID')
})

test('texts that nobody knows stay short and lose nothing but their trace', () => {
  assert.equal(briefly(connecting('timed out')), 'timed out')
  assert.equal(briefly('x'.repeat(10_000)).length, 200)
  assert.equal(briefly(undefined), 'undefined')
  assert.equal(briefly(new Error('')), '')
  assert.equal(
    streamFailure(new Error('something new'), undefined).code,
    'CONNECTION_CLOSED',
    'the least claim',
  )
})
