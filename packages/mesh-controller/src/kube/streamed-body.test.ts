import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { ManualClock } from 'weir-mesh/runtime'
import { until } from '../api-server/testing.ts'
import { type ReadChunksOptions, readChunks } from './chunks.ts'
import { KubeError } from './errors.ts'
import { type Wire, withLength, withRawServer, withTransport } from './raw-server.fixture.ts'
import { StreamedBody } from './streamed-body.ts'
import type { Call } from './transport.ts'

const watch: Call = { method: 'GET', path: '/watch' }
const BEGIN = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

async function open({ transport, stream }: Wire, call = watch): Promise<StreamedBody> {
  const body = await transport.open(call, stream)
  assert.ok(body instanceof StreamedBody)
  return body
}

function reading(
  { scope }: Wire,
  onChunk: ReadChunksOptions['onChunk'],
  options: Partial<ReadChunksOptions> = {},
): ReadChunksOptions {
  return {
    clock: scope.clock,
    scopeSignal: scope.signal,
    silenceMs: () => 30_000,
    onChunk,
    ...options,
  }
}

test('a stream begins with its header, comes as it is sent, and leaves its connection to the next', async () => {
  let socket!: Socket
  await withRawServer(
    (request, from) => {
      socket = from
      socket.write(request.includes('/watch') ? BEGIN + chunk('a') : withLength('{}'))
    },
    async (server) => {
      await withTransport({ server: server.url }, async (wire) => {
        const body = await open(wire)
        let seen = ''
        const read = readChunks(
          body,
          reading(wire, (bytes) => void (seen += bytes.toString())),
        )
        await until('the first came', () => seen === 'a')
        socket.write(chunk('b') + chunk('c'))
        await until('the next came', () => seen === 'abc')
        socket.write('0\r\n\r\n')
        await read
        await wire.transport.send({ method: 'GET', path: '/x' }, wire.account)
        assert.equal(server.connections, 1)
      })
    },
  )
})

test('a reader that takes its time stops the sender, and then gets all of it in its order', async () => {
  const total = 24 * 1024 * 1024
  let left = total
  const pour = (socket: Socket) => {
    while (left > 0) {
      const size = Math.min(left, 60_000)
      const text = String.fromCharCode(97 + ((left / 1000) % 26))
      left -= size
      if (!socket.write(chunk(text.repeat(size)), 'latin1')) {
        socket.once('drain', () => pour(socket))
        return
      }
    }
    socket.write('0\r\n\r\n')
  }
  await withRawServer(
    (_request, socket) => {
      socket.write(BEGIN)
      pour(socket)
    },
    async (server) => {
      await withTransport({ server: server.url }, async (wire) => {
        const body = await open(wire)
        let seen = 0
        let went = () => {}
        const read = readChunks(
          body,
          reading(wire, async (bytes) => {
            seen += bytes.length
            if (seen === bytes.length) await new Promise<void>((resolve) => (went = resolve))
            else if (seen % 7 === 0) await pause(0)
          }),
        )
        await until('the reader is busy', () => seen > 0)
        const before = process.memoryUsage().arrayBuffers
        let then = -1
        await until('the sender stands still', () => {
          const now = left
          const still = now === then
          then = now
          return still
        })
        await pause(50)
        assert.equal(left, then)
        assert.ok(left > total / 2, `${left} of ${total} are left`)
        assert.ok(process.memoryUsage().arrayBuffers < before + 1024 * 1024)
        went()
        await read
        assert.equal(seen, total)
      })
    },
  )
})

test('what came before a connection broke is read first', async () => {
  const ends: readonly (readonly [string, string])[] = [
    ['', 'KUBE_UNREACHABLE'],
    ['5\r\nab', 'KUBE_UNREACHABLE'],
    ['nonsense\r\n', 'KUBE_HTTP_INVALID'],
  ]
  for (const [rest, code] of ends) {
    await withRawServer(
      (_request, socket) => void socket.end(BEGIN + chunk('all') + rest),
      async (server) => {
        await withTransport({ server: server.url }, async (wire) => {
          const body = await open(wire)
          await pause(10)
          let seen = ''
          const read = readChunks(
            body,
            reading(wire, (bytes) => void (seen += bytes.toString())),
          )
          await assert.rejects(read, { code, retryable: true })
          assert.equal(seen, rest.startsWith('5') ? 'allab' : 'all')
          await until('it is closed', () => server.open === 0)
        })
      },
    )
  }
})

test('a stream ends with its signal, its silence, its scope and its reader, and so does the connection', async () => {
  for (const how of ['signal', 'silence', 'scope', 'reader', 'destroy', 'busy reader'] as const) {
    const clock = new ManualClock()
    const abort = new AbortController()
    await withRawServer(
      (_request, socket) => void socket.write(BEGIN + chunk('a')),
      async (server) => {
        await withTransport(
          { server: server.url },
          async (wire) => {
            const body = await open(wire)
            let seen = 0
            let went = () => {}
            const onChunk = () => {
              seen++
              if (how === 'reader') throw new Error('enough')
              if (how === 'busy reader') return new Promise<void>((resolve) => (went = resolve))
              return undefined
            }
            const read = readChunks(body, reading(wire, onChunk, { signal: abort.signal }))
            const ended = assert.rejects(read, {
              ...(how === 'reader'
                ? { message: 'enough' }
                : { code: how === 'silence' ? 'KUBE_SILENT' : 'CLOSED' }),
            })
            await until('the chunk came', () => seen === 1)
            if (how === 'signal' || how === 'busy reader') abort.abort()
            else if (how === 'silence') for (let s = 0; s < 32; s++) clock.advance(1_000)
            else if (how === 'scope') void wire.scope.close()
            else if (how === 'destroy') body.destroy(new KubeError('CLOSED', 'by hand'))
            went()
            await ended
            await until('it is closed', () => server.open === 0)
          },
          { clock },
        )
      },
    )
  }
})

test('a success is streamed at once, and a refusal comes as a whole, within the deadline', async () => {
  let socket!: Socket
  await withRawServer(
    (_request, from) => {
      socket = from
      from.write('HTTP/1.1 410 Gone\r\ncontent-length: 4\r\n\r\n{')
    },
    async (server) => {
      await withTransport({ server: server.url }, async ({ transport, stream }) => {
        const answer = transport.open(watch, stream)
        await until('it is asked', () => socket !== undefined)
        await pause(10)
        socket.write('"a"')
        assert.deepEqual(await answer, { status: 410, retryAfterMs: undefined, text: '{"a"' })
        const late = transport.open({ ...watch, deadlineMs: 30 }, stream)
        await assert.rejects(late, { code: 'KUBE_TIMEOUT' })
      })
    },
  )
})
