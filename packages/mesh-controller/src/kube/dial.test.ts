import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { type Identity, makeIdentity } from '../api-server/index.ts'
import { until } from '../api-server/testing.ts'
import { readChunks } from './chunks.ts'
import { type Answerer, withLength, withRawServer, withTransport } from './raw-server.fixture.ts'
import { StreamedBody } from './streamed-body.ts'
import type { Call } from './transport.ts'

const get: Call = { method: 'GET', path: '/x' }
const identity: Identity = await makeIdentity('127.0.0.1', Date.now())
const tls = { key: identity.key, cert: identity.certificate, ALPNProtocols: ['h2', 'http/1.1'] }
const ca = { pem: identity.certificate }

/** Ends each connection with its answer, and writes down how it was made. */
function writeDown(seen: unknown[], of: (socket: TLSSocket) => unknown): Answerer {
  return (_request, socket) => {
    seen.push(of(socket as TLSSocket))
    socket.end(withLength('{}', 'connection: close\r\n'))
  }
}

test('the name of the server is asked for and checked, an address is only checked', async () => {
  const seen: unknown[] = []
  await withRawServer(
    writeDown(seen, (socket) => [socket.servername || false, socket.alpnProtocol]),
    async ({ port }) => {
      const ask = (host: string, tlsServerName?: string) =>
        withTransport(
          { server: `https://${host}:${port}`, ca, ...(tlsServerName ? { tlsServerName } : {}) },
          async ({ transport, account }) => {
            await transport.send(get, account)
          },
        )
      await ask('127.0.0.1')
      await ask('localhost')
      await ask('127.0.0.1', 'localhost')
      await ask('localhost', '127.0.0.1')
      await assert.rejects(ask('127.0.0.1', 'other.example'), { code: 'KUBE_UNREACHABLE' })
      await assert.rejects(ask('127.0.0.1', '127.0.0.2'), { code: 'KUBE_UNREACHABLE' })
    },
    { tls },
  )
  assert.deepEqual(seen, [
    [false, 'http/1.1'],
    ['localhost', 'http/1.1'],
    ['localhost', 'http/1.1'],
    [false, 'http/1.1'],
  ])
})

test('a session is resumed by the next connection', async () => {
  const seen: unknown[] = []
  await withRawServer(
    writeDown(seen, (socket) => socket.isSessionReused()),
    async (server) => {
      await withTransport({ server: server.url, ca }, async ({ transport, account }) => {
        for (let count = 0; count < 3; count++) {
          await transport.send(get, account)
          await until('it is closed', () => server.open === 0)
        }
      })
    },
    { tls },
  )
  assert.deepEqual(seen, [false, true, true])
})

test('an answer over many records comes as a whole, and in as many requests at once as there are', async () => {
  const text = JSON.stringify({ metadata: { note: 'n'.repeat(1_000_000) } })
  await withRawServer(
    (_request, socket) => void socket.write(withLength(text)),
    async ({ url }) => {
      await withTransport({ server: url, ca }, async ({ transport, ledger }) => {
        const { term } = [...ledger.rows()].find(({ term }) => term.name === 'kube.responses')!
        const accounts = Array.from({ length: 6 }, () => ledger.require(term))
        const answers = await Promise.all(accounts.map((one) => transport.send(get, one)))
        for (const answer of answers) assert.equal(answer.text, text)
        for (const account of accounts) {
          assert.equal(account.bytes, text.length)
          account.give(account.bytes)
          account[Symbol.dispose]()
        }
      })
    },
    { tls },
  )
})

test('a stream that ends while its reader is busy leaves a connection that is read', async () => {
  const note = 'n'.repeat(50_000)
  const stream = `HTTP/1.1 200 OK\r\ncontent-length: ${note.length}\r\n\r\n${note}`
  await withRawServer(
    (request, socket) => void socket.write(request.includes('/watch') ? stream : withLength('{}')),
    async (server) => {
      await withTransport({ server: server.url, ca }, async (wire) => {
        const { transport, account, scope } = wire
        const body = await transport.open({ method: 'GET', path: '/watch' }, wire.stream)
        assert.ok(body instanceof StreamedBody)
        let seen = 0
        await readChunks(body, {
          clock: scope.clock,
          scopeSignal: scope.signal,
          silenceMs: () => 30_000,
          async onChunk(chunk) {
            seen += chunk.length
            await new Promise((resolve) => setTimeout(resolve, 20))
          },
        })
        assert.equal(seen, note.length)
        assert.equal((await transport.send(get, account)).text, '{}')
        assert.equal(server.connections, 1)
      })
    },
    { tls },
  )
})

test('requests that begin together share the certificates that are read for the first', async () => {
  await withRawServer(
    (_request, socket) => void socket.write(withLength('{}')),
    async (server) => {
      await withTransport({ server: server.url, ca }, async ({ transport, account }) => {
        await Promise.all([get, get, get].map((call) => transport.send(call, account)))
      })
      assert.equal(server.connections, 3)
    },
    { tls },
  )
})
