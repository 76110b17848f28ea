import assert from 'node:assert/strict'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { Heartbeats, type Scope, seededRandom } from '../runtime/index.ts'
import {
  Health,
  Metrics,
  makeToken,
  observeLimits,
  observeTerms,
  StatusServer,
  type StatusServerOptions,
} from './index.ts'

const limits = observeLimits({ connectionsMax: 4, responsesMax: 1, requestTimeoutMs: 1_000 })
const terms = observeTerms(limits)
const TOKEN = makeToken(seededRandom(1))

interface Got {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

function ask(
  server: StatusServer,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {} } = options
    const url = `${server.url}${path}`
    const asked = request(url, { method, headers, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => (body += part))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode!, body, headers: response.headers }),
      )
    })
    asked.on('error', reject)
    asked.end(options.body)
  })
}

type Extra = Partial<StatusServerOptions>
type Run = (server: StatusServer, heartbeats: Heartbeats, ledger: Ledger, scope: Scope) => unknown

async function serving(run: Run, extra: Extra = {}): Promise<void> {
  await withLedger(Object.values(terms), async (ledger, scope) => {
    const heartbeats = new Heartbeats(scope.clock)
    const health = new Health({ scope, ledger, terms, heartbeats })
    const server = await StatusServer.open({
      scope,
      ledger,
      terms,
      limits,
      listen: { host: '127.0.0.1', port: 0 },
      health,
      heartbeats,
      ...extra,
    })
    await run(server, heartbeats, ledger, scope)
  })
}

test('probes and metrics answer without a token', () =>
  serving(async (server, heartbeats) => {
    assert.deepEqual(pick(await ask(server, '/livez')), [200, 'ok\n'])
    assert.deepEqual(pick(await ask(server, '/readyz')), [200, 'ok\n'])
    using part = heartbeats.register('watch', { deadlineMs: 5_000 })
    part.stop('ended')
    assert.deepEqual(pick(await ask(server, '/readyz')), [503, 'watch: stopped: ended\n'])
    assert.equal((await ask(server, '/livez')).status, 200)
    const metrics = await ask(server, '/metrics')
    assert.equal(metrics.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
    assert.match(metrics.body, /weir_part_healthy\{part="watch"\} 0\n/)
    assert.match(metrics.body, /weir_memory_term_planned_bytes\{term="observe.series"\} \d+\n/)
    assert.match(metrics.body, /weir_memory_pressure_share\{source="accounts"\} 0\.\d+\n/)
    assert.match(metrics.body, /\nprocess_resident_memory_bytes \d+\n/)
    assert.match(
      metrics.body,
      /weir_memory_refused_total\{term="observe.problems",reason="cap"\} 0/,
    )
    assertExposition(metrics.body)
  }))

test('metrics of the program are shown beside the others', () =>
  withLedger(Object.values(terms), async (ledger, scope) => {
    const heartbeats = new Heartbeats(scope.clock)
    const health = new Health({ scope, ledger, terms, heartbeats })
    const metrics = scope.own('metrics', new Metrics(ledger, terms))
    metrics.gauge('peers', 'Peers.', () => 3)
    metrics.gauge('broken', 'h', () => {
      throw new Error('no')
    })
    const listen = { host: '127.0.0.1', port: 0 }
    const server = await StatusServer.open({
      ...{ scope, ledger, terms, limits, listen, health, heartbeats, metrics },
    })
    scope.counters.counter('seen_total', 'Seen.').add(2)
    const { body } = await ask(server, '/metrics')
    assert.match(body, /\nweir_peers 3\n/)
    assert.match(body, /\nweir_seen_total 2\n/)
  }))

test('the status needs the token', () =>
  serving(
    async (server) => {
      const wrong = [{}, { authorization: 'Bearer wrong' }, { authorization: `Basic ${TOKEN}` }]
      for (const headers of wrong) {
        assert.equal((await ask(server, '/status', { headers })).status, 401)
      }
      const headers = { authorization: `Bearer ${TOKEN}` }
      const right = await ask(server, '/status', { headers })
      assert.equal(right.status, 200)
      assert.deepEqual(JSON.parse(right.body).peers, ['a'])
      assert.equal(right.headers['cache-control'], 'no-store')
    },
    { token: TOKEN, sections: { peers: () => ['a'] } },
  ))

test('without a token the status is not served', () =>
  serving(async (server) => {
    const headers = { authorization: 'Bearer undefined' }
    assert.equal((await ask(server, '/status', { headers })).status, 404)
  }))

test('on loopback a Host that is not ours is refused', () =>
  serving(async (server) => {
    assert.equal((await ask(server, '/metrics', { headers: { host: 'evil.example' } })).status, 421)
    assert.equal((await ask(server, '/livez', { headers: { host: '127.0.0.1:1' } })).status, 421)
    const host = `localhost:${server.port}`
    assert.equal((await ask(server, '/livez', { headers: { host } })).status, 200)
  }))

test('other methods, bodies and paths are refused, HEAD has no body', () =>
  serving(async (server) => {
    assert.equal((await ask(server, '/livez', { method: 'DELETE' })).status, 405)
    assert.equal((await ask(server, '/livez', { method: 'POST', body: 'x' })).status, 413)
    assert.equal((await ask(server, '/other')).status, 404)
    assert.deepEqual(pick(await ask(server, '/livez', { method: 'HEAD' })), [200, ''])
  }))

test('a taken port is told by a code, with what to do', () =>
  serving(async (server, heartbeats, ledger, scope) => {
    const second = StatusServer.open({
      scope,
      ledger,
      terms,
      limits,
      listen: { host: '127.0.0.1', port: server.port },
      health: { problems: () => [] } as unknown as Health,
      heartbeats,
    })
    await assert.rejects(second, {
      code: 'PORT_TAKEN',
      message: /listens on 127\.0\.0\.1:\d+; stop it, or give .* another port/,
    })
    const elsewhere = StatusServer.open({
      scope,
      ledger,
      terms,
      limits,
      listen: { host: '192.0.2.1', port: 0 },
      health: { problems: () => [] } as unknown as Health,
      heartbeats,
    })
    await assert.rejects(elsewhere, { code: 'LISTEN_FAILED' })
  }))

test('observe.connections: one connection more than the cap is closed at once', () =>
  serving(async (server, _heartbeats, ledger) => {
    const sockets: Socket[] = []
    for (let count = 0; count < limits.connectionsMax; count++) sockets.push(await open(server))
    while (ledger.row(terms.connections).entries < limits.connectionsMax) await sleep(5)
    const more = await open(server)
    await ended(more)
    assert.equal(ledger.row(terms.connections).refused.cap, 1)
    for (const socket of sockets) socket.destroy()
    while (ledger.row(terms.connections).entries > 0) await sleep(5)
    assert.equal((await ask(server, '/livez')).status, 200)
  }))

test('observe.responses: one answer more than the cap gets 503', () =>
  serving(async (server, _heartbeats, ledger) => {
    // Both are read from one packet: the second is handled while the first is still being sent.
    const socket = await open(server)
    const get = `GET /livez HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`
    socket.write(get + get)
    let answers = ''
    socket.setEncoding('latin1').on('data', (part: string) => (answers += part))
    while (!answers.includes('observe.responses is full')) await sleep(5)
    assert.deepEqual(answers.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 503'])
    assert.equal(ledger.row(terms.responses).refused.cap, 1)
    while (ledger.row(terms.responses).entries > 0) await sleep(5)
    socket.write(get)
    while (answers.match(/HTTP/g)!.length < 3) await sleep(5)
    const codes = answers.match(/HTTP\/1\.1 \d+/g)!.map((line) => line.slice(-3))
    assert.deepEqual(codes, ['200', '503', '200'])
  }))

test('a request that does not come, a head that is too long and garbage end the connection', () =>
  serving(async (server, _heartbeats, ledger) => {
    const silent = await open(server)
    silent.write('GET /livez HTTP/1.1\r\n')
    await ended(silent)
    const long = await open(server)
    long.write(`GET /livez HTTP/1.1\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`)
    await ended(long)
    const garbage = await open(server)
    garbage.write(Buffer.from([0x16, 0x03, 0x01, 0, 0, 0, 0x0d, 0x0a, 0x0d, 0x0a]))
    await ended(garbage)
    while (ledger.row(terms.connections).entries > 0) await sleep(5)
    assert.equal((await ask(server, '/livez')).status, 200)
  }))

// Each byte was activity, and the end of our side alone ended nothing: sixteen of them, and no probe was answered.
test('a client that sends on, byte by byte, holds its connection no longer than a request may take', () =>
  serving(async (server, _heartbeats, ledger) => {
    const begins = [
      'GET /livez HTTP/1.1\r\nX: ',
      'GET /livez HTTP/1.1\r\nContent-Length: 99999\r\n\r\n',
    ]
    for (const begin of begins) {
      const socket = connect({ host: '127.0.0.1', port: server.port, allowHalfOpen: true })
      socket.on('error', () => {}).pause()
      socket.write(begin)
      await sleep(100)
      let writes = 0
      for (; ledger.row(terms.connections).entries > 0 && writes < 200; writes++) {
        socket.write('y')
        await sleep(50)
      }
      socket.destroy()
      assert.ok(writes < 200, `${begin} holds its connection`)
    }
  }))

test('closing ends open connections', async () => {
  let socket: Socket | undefined
  await serving(async (server) => {
    socket = await open(server)
    socket.write(`GET /livez HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`)
    await server.close()
    await server.close()
  })
  await ended(socket!)
})

test('an answer that is longer than its cap leaves families out and counts them', async () => {
  const small = observeLimits({ responseBytesMax: 3_000 })
  await serving(
    async (server, _heartbeats, _ledger, scope) => {
      const { body } = await ask(server, '/metrics')
      assert.ok(body.length <= 3_000)
      assertExposition(body)
      assert.ok(scope.counters.value('metrics_left_out_total') > 0)
    },
    { limits: small },
  )
})

const pick = (got: Got) => [got.status, got.body]

function open(server: StatusServer): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => resolve(socket))
    socket.once('error', reject)
  })
}

function ended(socket: Socket): Promise<void> {
  if (socket.closed) return Promise.resolve()
  return new Promise((resolve) => {
    socket.on('error', () => {})
    socket.once('close', () => resolve())
    socket.resume()
  })
}

/** Every line is a comment or a sample, and no series comes twice. */
function assertExposition(text: string): void {
  const seen = new Set<string>()
  for (const line of text.trimEnd().split('\n')) {
    if (/^# (HELP|TYPE) [a-z0-9_]+ \S/.test(line)) continue
    const [, series] = /^([a-z0-9_]+(?:\{[^}]*\})?) \S+$/.exec(line) ?? []
    assert.ok(series, line)
    assert.ok(!seen.has(series), `twice: ${series}`)
    seen.add(series)
  }
}
