import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { getEventListeners, once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ManualClock } from 'weir-mesh/runtime'
import { until } from '../api-server/testing.ts'
import { withLength, withRawServer, withTransport } from './raw-server.fixture.ts'
import type { Call } from './transport.ts'

const get: Call = { method: 'GET', path: '/x' }
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** A server that says nothing. */
const mute = () => {}

test('a request that waits for a connection can be given up, and the others go on', async () => {
  let went = 0
  await withRawServer(
    (request, socket) => {
      went++
      if (request.includes('/go')) socket.write(withLength('{}'))
    },
    async (server) => {
      await withTransport(
        { server: server.url },
        async ({ transport, account }) => {
          const holding = new AbortController()
          const held = transport.send({ ...get, signal: holding.signal }, account)
          await until('it is on its way', () => went === 1)
          const abort = new AbortController()
          const given = transport.send({ ...get, path: '/go', signal: abort.signal }, account)
          const late = transport.send({ ...get, path: '/go', deadlineMs: 30 }, account)
          const patient = transport.send({ ...get, path: '/go' }, account)
          abort.abort()
          await assert.rejects(given, { code: 'CLOSED' })
          await assert.rejects(late, { code: 'KUBE_TIMEOUT' })
          holding.abort()
          await assert.rejects(held, { code: 'CLOSED' })
          assert.equal((await patient).text, '{}')
          assert.equal((await transport.send({ ...get, path: '/go' }, account)).text, '{}')
          assert.deepEqual([went, server.connections], [3, 2])
          for (const { signal } of [holding, abort]) {
            assert.equal(getEventListeners(signal, 'abort').length, 0)
          }
        },
        { limits: { socketsMax: 0, streamsMax: 1 } },
      )
    },
  )
})

/** Where a call may be when it is ended: the path that leads there, and the scheme. */
const STAGES: readonly (readonly [string, 'http' | 'https', string])[] = [
  ['the connection', 'https', ''],
  ['the answer', 'http', ''],
  ['the rest of the header', 'http', 'HTTP/1.1 200 OK\r\nx'],
  ['the rest of the body', 'http', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{'],
  [
    'the time that the server asked for',
    'http',
    'HTTP/1.1 429 Busy\r\nretry-after: 20\r\ncontent-length: 2\r\n\r\n{}',
  ],
]

test('a call can be ended at each of its waits, by its signal, its deadline and its scope', async () => {
  for (const [stage, scheme, answer] of STAGES) {
    for (const how of ['signal', 'deadline', 'scope'] as const) {
      // It is not waited for what would come after the deadline.
      if (stage === 'the time that the server asked for' && how === 'deadline') continue
      const clock = new ManualClock()
      const abort = new AbortController()
      await withRawServer(
        (_request, socket) => void socket.write(answer),
        async (server) => {
          await withTransport(
            { server: `${scheme}://127.0.0.1:${server.port}`, insecureSkipTlsVerify: true },
            async ({ transport, account, scope }) => {
              const deadlineMs = how === 'deadline' ? 5_000 : 60_000
              const ended = assert.rejects(
                transport.send({ ...get, signal: abort.signal, deadlineMs }, account),
                { code: how === 'deadline' ? 'KUBE_TIMEOUT' : 'CLOSED' },
                `${stage}, ${how}`,
              )
              await until('it is connected', () => server.connections === 1)
              await pause(20)
              if (how === 'signal') abort.abort()
              else if (how === 'scope') void scope.close()
              else clock.advance(5_000)
              await ended
              assert.equal(getEventListeners(abort.signal, 'abort').length, 0)
            },
            { clock },
          )
          await until('the connection is closed', () => server.open === 0)
        },
      )
    }
  }
})

test('a call that is over before it begins sends nothing', async () => {
  await withRawServer(mute, async (server) => {
    let faults = 0
    const fault = (call: Call) => {
      faults++
      if (call.path === '/fault') throw new Error('a fault')
    }
    await withTransport(
      { server: server.url },
      async ({ transport, account, scope }) => {
        const signal = AbortSignal.abort()
        await assert.rejects(transport.send({ ...get, signal }, account), { code: 'CLOSED' })
        assert.equal(faults, 0)
        await assert.rejects(transport.send({ ...get, path: '/fault' }, account), /a fault/)
        await scope.close()
        await assert.rejects(transport.send(get, account), { code: 'CLOSED' })
      },
      { fault },
    )
    assert.equal(server.connections, 0)
  })
})

test('a connection that is not made in time, or refused, fails what waits for it', async () => {
  const clock = new ManualClock()
  await withRawServer(mute, async (server) => {
    await withTransport(
      { server: `https://127.0.0.1:${server.port}` },
      async ({ transport, account }) => {
        const sent = [get, get].map((call) => transport.send(call, account))
        const ended = sent.map((each) => assert.rejects(each, { code: 'KUBE_UNREACHABLE' }))
        await until('both are connected', () => server.connections === 2)
        clock.advance(10_000)
        await Promise.all(ended)
      },
      { clock },
    )
    await until('nothing is open', () => server.open === 0)
  })
  await withTransport({ server: 'http://127.0.0.1:1' }, async ({ transport, account }) => {
    const sent = Array.from({ length: 40 }, () => transport.send(get, account))
    for (const each of sent) await assert.rejects(each, { code: 'KUBE_UNREACHABLE' })
  })
})

test('a task that waits for an answer does not hold up the end of its scope', async () => {
  await withRawServer(mute, async (server) => {
    // That nothing ended too late is checked for each of these.
    await withTransport({ server: server.url }, async ({ transport, account, scope }) => {
      const task = scope.spawn('asks', () => transport.send(get, account))
      const ended = assert.rejects(task.result, { code: 'CLOSED' })
      await until('it is connected', () => server.connections === 1)
      await scope.close()
      await ended
    })
  })
})

// It was made again at once, hundreds of times a second, until the deadline: what a balancer without servers does.
test('a connection that the server ends before TLS is ready fails the request, and is not made again', async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    await withTransport(
      { server: `https://127.0.0.1:${port}`, insecureSkipTlsVerify: true },
      async ({ transport, account }) => {
        await assert.rejects(transport.send(get, account), { code: 'KUBE_UNREACHABLE' })
        assert.equal(connections, 1)
      },
    )
  } finally {
    server.close()
  }
})

test('a call that is aborted in the turn in which a busy answer came does not begin to wait', async () => {
  const controller = new AbortController()
  await withRawServer(
    (_request, socket) =>
      socket.write('HTTP/1.1 429 Busy\r\nretry-after: 20\r\ncontent-length: 2\r\n\r\n{}'),
    ({ url }) =>
      withTransport(
        { server: url },
        async ({ transport, account }) => {
          let failed = ''
          const call = { method: 'GET', path: '/x', signal: controller.signal } as const
          transport.send(call, account).catch((error) => {
            failed = error.code
          })
          await until('it has ended', () => failed !== '', 3_000)
          assert.equal(failed, 'CLOSED')
        },
        {
          clock: new ManualClock(),
          // Drawn between the answer and the wait.
          random: {
            bytes: (length) => new Uint8Array(length),
            below: () => {
              controller.abort()
              return 0
            },
          },
        },
      ),
  )
})

test('a token file that cannot be read to its end holds no call beyond its deadline, and none of an end', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-token-'))
  const tokenFile = join(folder, 'token')
  // Opening it waits for a writer, as a file of a system that hangs.
  execFileSync('mkfifo', [tokenFile])
  try {
    await withTransport({ server: 'http://127.0.0.1:1', tokenFile }, async (wire) => {
      const { transport, account, scope } = wire
      const codes: string[] = []
      const ended = (error: { readonly code: string }) => void codes.push(error.code)
      transport.send({ ...get, deadlineMs: 50 }, account).catch(ended)
      await until('the first has ended', () => codes.length === 1, 3_000)
      const controller = new AbortController()
      transport.send({ ...get, signal: controller.signal }, account).catch(ended)
      controller.abort()
      await until('the second has ended', () => codes.length === 2, 3_000)
      transport.send(get, account).catch(ended)
      void scope.close()
      await until('the third has ended', () => codes.length === 3, 3_000)
      assert.deepEqual(codes, ['KUBE_TIMEOUT', 'CLOSED', 'CLOSED'])
    })
  } finally {
    // Whoever still waits for a writer gets one.
    closeSync(openSync(tokenFile, constants.O_RDWR))
    rmSync(folder, { recursive: true })
  }
})
