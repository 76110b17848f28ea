import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { ManualClock } from 'weir-mesh/runtime'
import { until } from '../api-server/testing.ts'
import { withLength, withRawServer, withTransport } from './raw-server.fixture.ts'
import { StreamedBody } from './streamed-body.ts'
import type { Call } from './transport.ts'

const get: Call = { method: 'GET', path: '/x' }
const post: Call = { method: 'POST', path: '/x', body: '{"a":"\u{1f600}"}' }
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** A server that says nothing. */
const mute = () => {}

test('a request is what was asked for, header and body together', async () => {
  let seen = ''
  await withRawServer(
    (request, socket) => {
      seen = Buffer.from(request, 'latin1').toString('utf8')
      socket.write(withLength('{}'))
    },
    async ({ url, port }) => {
      await withTransport(
        { server: `${url}/base/`, token: 't' },
        async ({ transport, account }) => {
          await transport.send({ ...post, contentType: 'a/b', accept: 'c/d' }, account)
          assert.equal(
            seen,
            `POST /base/x HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nuser-agent: test\r\nauthorization: Bearer t\r\n` +
              'accept: c/d\r\ncontent-type: a/b\r\ncontent-length: 12\r\n\r\n{"a":"\u{1f600}"}',
          )
          await transport.send(get, account)
          assert.ok(!/content-/.test(seen))
        },
      )
    },
  )
})

test('a line end in what a configuration says is refused with a code, and never sent', async () => {
  let requests = 0
  await withRawServer(
    (_request, socket) => {
      requests++
      socket.write(withLength('{}'))
    },
    async ({ url }) => {
      const token = 'a\r\nx: y'
      await withTransport({ server: url, token }, async ({ transport, account }) => {
        await assert.rejects(transport.send(get, account), (error: Error) => {
          assert.equal((error as unknown as { code: string }).code, 'KUBE_CREDENTIALS')
          return !error.message.includes('x: y')
        })
      })
      await withTransport({ server: url }, async ({ transport, account }) => {
        const bad: Partial<Call>[] = [
          { path: '/a b' },
          { path: '/a\r\nx: y' },
          { path: '/a\u{e9}' },
          { path: '/a#b' },
          { path: 'a' },
          { accept: 'a\n' },
          { body: '', contentType: 'a\r\nb: c' },
        ]
        for (const part of bad) {
          const sent = transport.send({ ...get, ...part }, account)
          await assert.rejects(sent, { code: 'KUBE_REQUEST_INVALID', retryable: false })
        }
      })
      const opened = withTransport({ server: url }, async () => {}, { userAgent: 'a\r\nb' })
      await assert.rejects(opened, { code: 'KUBE_REQUEST_INVALID' })
    },
  )
  assert.equal(requests, 0)
})

/** Answers as a whole, in pieces, and byte by byte; what the reader must see of each. */
const ANSWERS: readonly (readonly [string, string, string])[] = [
  ['a length', withLength('{"a":1}'), '{"a":1}'],
  [
    'chunks',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{"\r\n5\r\na":1}\r\n0\r\n\r\n',
    '{"a":1}',
  ],
  [
    'interim answers',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nlink: y\r\n\r\n${withLength('1')}`,
    '1',
  ],
  ['no content', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
  ['letters of several bytes', withLength('"\xf0\x9f\x98\x80"'), '"\u{1f600}"'],
]

test('answers come as they were sent, however slowly, and the connection is kept', async () => {
  let drip = false
  let which = 0
  const answer = async (_request: string, socket: Socket) => {
    const bytes = Buffer.from(ANSWERS[which]![1], 'latin1')
    for (let at = 0; at < bytes.length; at += drip ? 1 : bytes.length) {
      socket.write(bytes.subarray(at, drip ? at + 1 : bytes.length))
      if (drip) await pause(1)
    }
  }
  await withRawServer(
    (request, socket) => void answer(request, socket),
    async (server) => {
      await withTransport({ server: server.url }, async ({ transport, account }) => {
        for (which = 0; which < ANSWERS.length; which++) {
          const [name, , text] = ANSWERS[which]!
          for (drip of [false, true]) {
            assert.equal((await transport.send(get, account)).text, text, name)
          }
        }
      })
      assert.equal(server.connections, 1)
    },
  )
})

test('an answer that ends with its connection, or with the wish for it, ends the connection', async () => {
  const answers = [
    'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}',
    'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}',
    'HTTP/1.1 200 OK\r\n\r\n{}',
    'HTTP/1.0 200 OK\r\n\r\n{}',
  ]
  await withRawServer(
    (_request, socket, count) => {
      socket.write(answers[count]!)
      if (count >= 2) socket.end()
    },
    async (server) => {
      await withTransport({ server: server.url }, async ({ transport, account }) => {
        for (const _ of answers) assert.equal((await transport.send(get, account)).text, '{}')
        await until('all are closed', () => server.open === 0)
      })
      assert.equal(server.connections, 4)
    },
  )
})

test('what is no answer, and what breaks off, is told by a code and ends the connection', async () => {
  const answers: readonly (readonly [string, string])[] = [
    ['nonsense\r\n', 'KUBE_HTTP_INVALID'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n', 'KUBE_HTTP_INVALID'],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}!!\r\n', 'KUBE_HTTP_INVALID'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a', 'KUBE_UNREACHABLE'],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n', 'KUBE_UNREACHABLE'],
    ['HTTP/1.1 200 OK\r\nx', 'KUBE_UNREACHABLE'],
    ['', 'KUBE_UNREACHABLE'],
  ]
  for (const cut of [
    (socket: Socket) => socket.end(),
    (socket: Socket) => socket.resetAndDestroy(),
  ]) {
    await withRawServer(
      (_request, socket, count) => {
        const [text, code] = answers[count]!
        socket.write(text, () => code === 'KUBE_UNREACHABLE' && setTimeout(cut, 5, socket))
        if (text === '') cut(socket)
      },
      async (server) => {
        await withTransport({ server: server.url }, async ({ transport, account }) => {
          for (const [text, code] of answers) {
            await assert.rejects(transport.send(get, account), { code, retryable: true }, text)
          }
          await until('all are closed', () => server.open === 0)
        })
        assert.equal(server.connections, answers.length)
      },
    )
  }
})

test('a byte that nobody asked for ends the connection, with an answer or without', async () => {
  await withRawServer(
    (_request, socket, count) => {
      // The second answer is the whole of what the first was followed by, and must reach nobody.
      socket.write(count === 0 ? withLength('{}') + withLength('{"evil":1}') : withLength('{}'))
      if (count === 1) setTimeout(() => socket.write(withLength('{"evil":2}')), 20)
    },
    async (server) => {
      await withTransport({ server: server.url }, async ({ transport, account }) => {
        const both = [
          transport.send(get, account),
          pause(0).then(() => transport.send(get, account)),
        ]
        for (const answer of await Promise.all(both)) assert.equal(answer.text, '{}')
        await until('it is closed', () => server.open === 0)
        assert.equal((await transport.send(get, account)).text, '{}')
        assert.equal(server.connections, 3)
      })
    },
  )
})

test('a kept connection that the server has closed costs a read one more try, and a write an error', async () => {
  let cutNext = false
  let requests = 0
  await withRawServer(
    (_request, socket) => {
      requests++
      if (cutNext) socket.destroy()
      else socket.write(withLength('{}'))
      cutNext = false
    },
    async (server) => {
      await withTransport({ server: server.url }, async ({ transport, account }) => {
        await transport.send(get, account)
        cutNext = true
        await transport.send(get, account)
        assert.deepEqual([requests, server.connections], [3, 2])
        cutNext = true
        await assert.rejects(transport.send(post, account), { code: 'KUBE_UNREACHABLE' })
        assert.equal(requests, 4)
        cutNext = true
        // The first request of a connection is not sent again: it may have been what broke it.
        await assert.rejects(transport.send(get, account), { code: 'KUBE_UNREACHABLE' })
        assert.equal(requests, 5)
        // A server that closes an idle connection is seen before anything is sent.
        await transport.send(get, account)
        server.last.end()
        await until('it is closed', () => server.open === 0)
        await transport.send(post, account)
      })
    },
  )
})

test('an idle connection is not used for longer than the server keeps it, and is closed in the end', async () => {
  const clock = new ManualClock()
  await withRawServer(
    (request, socket) => {
      socket.write(withLength('{}', request.includes('hint') ? 'keep-alive: timeout=5\r\n' : ''))
    },
    async (server) => {
      await withTransport(
        { server: server.url },
        async ({ transport, account }) => {
          const use = async (path: string, connections: number) => {
            await transport.send({ ...get, path }, account)
            assert.equal(server.connections, connections)
          }
          await use('/hint', 1)
          clock.advance(3_900)
          await use('/hint', 1)
          clock.advance(4_100)
          await use('/x', 2)
          clock.advance(49_000)
          await use('/x', 2)
          clock.advance(60_000)
          await until('it is closed', () => server.open === 0)
          assert.equal(clock.timers, 0)
        },
        { clock },
      )
    },
  )
})

test('kube.sockets: requests beyond the plan wait in their order, and what a burst left is closed', async () => {
  const clock = new ManualClock()
  const waiting: (() => void)[] = []
  const order: string[] = []
  await withRawServer(
    (request, socket) => {
      order.push(/\/(\d+)/.exec(request)?.[1] ?? '')
      waiting.push(() => socket.write(withLength('{}')))
    },
    async (server) => {
      await withTransport(
        { server: server.url },
        async ({ transport, account }) => {
          const sent = Array.from({ length: 20 }, (_, at) =>
            transport.send({ ...get, path: `/${at}` }, account),
          )
          await until('as many as there are sockets came', () => waiting.length === 6)
          await pause(20)
          assert.equal(waiting.length, 6)
          for (let done = 0; done < 20; done++) {
            await until('the next came', () => waiting.length > done)
            waiting[done]!()
          }
          await Promise.all(sent)
          assert.equal(server.connections, 6)
          assert.deepEqual(
            order.slice(6),
            Array.from({ length: 14 }, (_, at) => String(at + 6)),
          )
          clock.advance(5_000)
          await until('four are left', () => server.open === 4)
          clock.advance(50_000)
          await until('none is left', () => server.open === 0)
        },
        { clock, limits: { socketsMax: 4, streamsMax: 2 } },
      )
    },
  )
})

test('an answer to a request that has not left yet ends the connection, and is taken', async () => {
  let came = 0
  await withRawServer(mute, async (server) => {
    await withTransport({ server: server.url }, async ({ transport, account }) => {
      const body = 'x'.repeat(16 * 1024 * 1024)
      const sent = transport.send({ ...post, body }, account)
      await until('it is connected', () => server.connections === 1)
      server.last.pause()
      server.last.on('data', (chunk) => {
        came += chunk.length
      })
      server.last.write('HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}')
      assert.equal((await sent).status, 413)
      await until('it is closed', () => server.open === 0 || !server.last.resume())
    })
  })
  assert.ok(came < 16 * 1024 * 1024)
})

test('the address of the server may be a name with several addresses, or one of IPv6', async () => {
  const answer = (_request: string, socket: Socket) => void socket.write(withLength('{}'))
  for (const urlHost of ['localhost', '[::1]']) {
    const host = urlHost === 'localhost' ? '127.0.0.1' : '::1'
    await withRawServer(
      answer,
      async ({ url }) => {
        await withTransport({ server: url }, async ({ transport, account }) => {
          assert.equal((await transport.send(get, account)).text, '{}')
        })
      },
      { host, urlHost },
    )
  }
})

test('an answer that says too large a length is refused before it comes', async () => {
  await withRawServer(
    (_request, socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 50001\r\n\r\n'),
    async (server) => {
      await withTransport(
        { server: server.url },
        async ({ transport, account }) => {
          await assert.rejects(transport.send(get, account), { code: 'KUBE_RESPONSE_TOO_LARGE' })
          assert.equal(account.bytes, 0)
        },
        { limits: { responseBytesMax: 50_000 } },
      )
    },
  )
})

test('a redirect is not followed, and not taken for an answer', async () => {
  await withRawServer(
    (_request, socket) => {
      socket.write(
        'HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 2\r\n\r\n{}',
      )
    },
    async (server) => {
      await withTransport({ server: server.url }, async ({ transport, account, stream }) => {
        assert.equal((await transport.send(get, account)).status, 302)
        const opened = await transport.open(get, stream)
        assert.ok(!(opened instanceof StreamedBody))
      })
    },
  )
})
