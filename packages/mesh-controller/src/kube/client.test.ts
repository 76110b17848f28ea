import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { type Clock, ManualClock, Scope } from 'weir-mesh/runtime'
import { makeIdentity } from '../api-server/index.ts'
import { WIDGETS, widget, withCluster } from '../api-server/testing.ts'
import { KubeClient } from './client.ts'
import type { ClusterConfig } from './cluster-config.ts'
import { DEFAULT_KUBE_LIMITS, type KubeLimits, kubeTerms } from './memory.ts'
import { EVENTS, NAMESPACES } from './types.ts'

/** A client for a server that is not the embedded one. */
async function withClient(
  config: ClusterConfig,
  run: (client: KubeClient, scope: Scope) => Promise<void>,
  options: { readonly limits?: Partial<KubeLimits>; readonly clock?: Clock } = {},
): Promise<void> {
  const terms = kubeTerms({ ...DEFAULT_KUBE_LIMITS, ...options.limits })
  const plan = planMemory(Object.values(terms), { limitBytes: 2 ** 31 })
  const ledger = new Ledger(plan, { assertLeaks: true })
  const scope = new Scope('test', options.clock ? { clock: options.clock } : {})
  try {
    await run(new KubeClient({ config, scope, ledger, terms }), scope)
  } finally {
    await scope.close()
  }
  ledger.assertEmpty()
}

async function withHttp(
  answer: Parameters<typeof createHttpServer>[1],
  run: (url: string, server: HttpServer) => Promise<void>,
): Promise<void> {
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, server)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

test('an object is created, read, replaced, patched and deleted', async () => {
  await withCluster(async ({ client }) => {
    const created = await client.create(WIDGETS, widget('w', { size: 1 }))
    assert.equal(created.metadata.generation, 1)
    assert.deepEqual(created['spec'], { size: 1, color: 'red' })
    assert.deepEqual(await client.get(WIDGETS, 'default', 'w'), created)
    const replaced = await client.replace(WIDGETS, { ...created, spec: { size: 2 } })
    assert.deepEqual(replaced['spec'], { size: 2, color: 'red' })
    await assert.rejects(client.replace(WIDGETS, { ...created, spec: { size: 3 } }), {
      code: 'KUBE_CONFLICT',
    })
    const version = replaced.metadata.resourceVersion as string
    const patched = await client.mergePatch(
      WIDGETS,
      'default',
      'w',
      { spec: { size: 4 } },
      { resourceVersion: version },
    )
    assert.deepEqual(patched['spec'], { size: 4, color: 'red' })
    const old = client.mergePatch(
      WIDGETS,
      'default',
      'w',
      { spec: { size: 5 } },
      { resourceVersion: version },
    )
    await assert.rejects(old, { code: 'KUBE_CONFLICT' })
    const status = await client.patchStatus(WIDGETS, 'default', 'w', { phase: 'Ready' })
    assert.deepEqual(status['status'], { phase: 'Ready' })
    assert.equal(status.metadata.generation, patched.metadata.generation)
    await assert.rejects(client.delete(WIDGETS, 'default', 'w', { uid: 'other' }), {
      code: 'KUBE_CONFLICT',
    })
    const stale = client.delete(WIDGETS, 'default', 'w', { resourceVersion: version })
    await assert.rejects(stale, { code: 'KUBE_CONFLICT' })
    await client.delete(WIDGETS, 'default', 'w', {
      uid: created.metadata.uid as string,
      resourceVersion: status.metadata.resourceVersion as string,
    })
    await assert.rejects(client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_NOT_FOUND' })
    await assert.rejects(client.delete(WIDGETS, 'default', 'w'), { code: 'KUBE_NOT_FOUND' })
  })
})

test('a dry run changes nothing', async () => {
  await withCluster(async ({ client, server }) => {
    const before = server.size
    await client.create(WIDGETS, widget('w', { size: 1 }), { dryRun: true })
    assert.equal(server.size, before)
    await client.create(WIDGETS, widget('w', { size: 1 }))
    await client.delete(WIDGETS, 'default', 'w', { dryRun: true })
    assert.equal(server.size, before + 1)
  })
})

test('an integer above 2^53 goes through create, read and patch unchanged', async () => {
  await withCluster(async ({ client }) => {
    const exact = 9007199254740993n
    await client.create(WIDGETS, widget('w', { size: 1, extra: { n: exact, m: -exact } }))
    const patched = await client.mergePatch(WIDGETS, 'default', 'w', {
      spec: { extra: { o: exact } },
    })
    assert.deepEqual((patched['spec'] as { extra: unknown }).extra, {
      n: exact,
      m: -exact,
      o: exact,
    })
  })
})

test('a kind is found by its name, and an unknown one is told', async () => {
  await withCluster(async ({ client }) => {
    assert.deepEqual(await client.findResource('demo.weir.example', 'v1', 'Widget'), WIDGETS)
    assert.deepEqual(await client.findResource('', 'v1', 'Namespace'), NAMESPACES)
    const unknown = { code: 'KUBE_KIND_UNKNOWN', retryable: true }
    await assert.rejects(client.findResource('demo.weir.example', 'v1', 'Gadget'), unknown)
    await assert.rejects(client.findResource('none.example', 'v1', 'Widget'), unknown)
  })
})

test('a core event is recorded beside its object', async () => {
  await withCluster(async ({ client }) => {
    const target = { apiVersion: 'demo.weir.example/v1', kind: 'Widget', name: 'w' }
    const text = { type: 'Warning', reason: 'TooLarge', message: 'm'.repeat(2_000) } as const
    await client.createEvent({ ...target, namespace: 'default', uid: 'u' }, text)
    await client.createEvent(target, text)
    const { items } = await client.list(EVENTS, {
      namespace: 'default',
      fieldSelector: 'involvedObject.uid=u',
    })
    assert.equal(items.length, 1)
    assert.equal(items[0]?.['reason'], 'TooLarge')
    assert.equal(String(items[0]?.['message']).length, 1_024)
  })
})

test('a refusal carries what the server said', async () => {
  await withCluster(async ({ client }) => {
    await assert.rejects(client.create(WIDGETS, widget('w', { size: -1 })), {
      code: 'KUBE_INVALID',
      status: 422,
      reason: 'Invalid',
      retryable: false,
    })
    await client.create(WIDGETS, widget('w'))
    await assert.rejects(client.create(WIDGETS, widget('w')), { code: 'KUBE_ALREADY_EXISTS' })
  })
})

test('a server that asks to wait is asked again, within the deadline', async () => {
  await withCluster(async (cluster) => {
    let refusals = 2
    cluster.faults = () => (refusals-- > 0 ? { status: 429, retryAfter: 0 } : undefined)
    await cluster.client.create(WIDGETS, widget('w'))
    assert.equal(refusals, -1)
    cluster.faults = () => ({ status: 503, retryAfter: 60 })
    await assert.rejects(cluster.client.get(WIDGETS, 'default', 'w', { deadlineMs: 2_000 }), {
      code: 'KUBE_UNAVAILABLE',
      retryable: true,
      retryAfterMs: 60_000,
    })
    cluster.faults = () => ({ status: 500 })
    await assert.rejects(cluster.client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_SERVER_ERROR' })
  })
})

test('a server that does not answer in time is told apart from one that is not there', async () => {
  await withCluster(async (cluster) => {
    cluster.faults = () => ({ delayMs: 60_000 })
    const late = cluster.client.get(WIDGETS, 'default', 'w', { deadlineMs: 50 })
    await assert.rejects(late, { code: 'KUBE_TIMEOUT', retryable: true })
    cluster.faults = () => ({ hangUp: true })
    const gone = cluster.client.create(WIDGETS, widget('w'))
    await assert.rejects(gone, { code: 'KUBE_UNREACHABLE', retryable: true })
  })
  await withClient({ server: 'http://127.0.0.1:1' }, async (client) => {
    await assert.rejects(client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_UNREACHABLE' })
  })
})

test('an answer that drips is given up at its deadline', async () => {
  await withHttp(
    (_request, response) => {
      response.write('{')
      // tidy: runtime-only: the server of a test that drips on purpose
      const drip = setInterval(() => response.write(' '), 10)
      response.on('close', () => clearInterval(drip))
    },
    async (url) => {
      await withClient({ server: url }, async (client) => {
        const dripping = client.get(WIDGETS, 'default', 'w', { deadlineMs: 100 })
        await assert.rejects(dripping, { code: 'KUBE_TIMEOUT' })
      })
    },
  )
})

test('a request can be aborted by its signal and by the end of its scope', async () => {
  await withCluster(async (cluster) => {
    cluster.faults = () => ({ delayMs: 60_000 })
    const abort = new AbortController()
    const first = cluster.client.get(WIDGETS, 'default', 'w', { signal: abort.signal })
    const second = cluster.client.get(WIDGETS, 'default', 'w')
    setTimeout(() => abort.abort(), 20)
    await assert.rejects(first, { code: 'CLOSED' })
    const aborted = cluster.client.get(WIDGETS, 'default', 'w', { signal: abort.signal })
    await assert.rejects(aborted, { code: 'CLOSED' })
    const closing = assert.rejects(second, { code: 'CLOSED' })
    await cluster.scope.close()
    await closing
    await assert.rejects(cluster.client.get(WIDGETS, 'default', 'w'), { code: 'CLOSED' })
  })
})

test('kube.sockets: many requests share as many connections as the plan has, and no more', async () => {
  let connections = 0
  await withHttp(
    (_request, response) => void setTimeout(() => response.end('{"metadata":{"name":"w"}}'), 2),
    async (url, server) => {
      server.on('connection', () => connections++)
      await withClient(
        { server: url },
        async (client) => {
          const results = []
          for (let count = 0; count < 60; count++) results.push(client.get(WIDGETS, 'default', 'w'))
          await Promise.all(results)
        },
        { limits: { socketsMax: 3, streamsMax: 1, requestsMax: 64 } },
      )
    },
  )
  assert.equal(connections, 4)
})

test('an answer above the cap is refused and does not stay in memory', async () => {
  await withHttp(
    (_request, response) => void response.end(`{"metadata":{},"x":"${'y'.repeat(100_000)}"}`),
    async (url) => {
      await withClient(
        { server: url },
        async (client) => {
          const got = client.get(WIDGETS, 'default', 'w')
          await assert.rejects(got, { code: 'KUBE_RESPONSE_TOO_LARGE', retryable: false })
        },
        { limits: { responseBytesMax: 50_000 } },
      )
      await withClient(
        { server: url },
        async (client) => {
          const got = client.get(WIDGETS, 'default', 'w')
          await assert.rejects(got, { code: 'KUBE_BUSY', retryable: true })
        },
        { limits: { bodiesBytesMax: 50_000 } },
      )
    },
  )
})

test('an answer that is no object, or breaks off, is refused', async () => {
  const answers = ['[]', 'nonsense', '"x"', '{}']
  await withHttp(
    (request, response) => {
      const [, which = ''] = /\/w(\d)/.exec(request.url ?? '') ?? []
      if (which === '4') {
        response.setHeader('content-length', 100)
        response.write('{"metadata"')
        setTimeout(() => response.destroy(), 10)
      } else response.end(answers[Number(which)])
    },
    async (url) => {
      await withClient({ server: url }, async (client) => {
        const codes: string[] = []
        for (let which = 0; which < 5; which++) {
          await client
            .get(WIDGETS, 'default', `w${which}`)
            .catch((error) => codes.push(error.code as string))
        }
        assert.deepEqual(codes, [
          'KUBE_RESPONSE_INVALID',
          'JSON_INVALID',
          'KUBE_RESPONSE_INVALID',
          'KUBE_RESPONSE_INVALID',
          'KUBE_UNREACHABLE',
        ])
      })
    },
  )
})

test('a list that holds something else than objects is refused, and null holds none', async () => {
  const answers = ['[{}]', '[{"metadata":{"name":"w"}},7]', 'null', '[{"metadata":{"name":"w"}}]']
  let next = 0
  await withHttp(
    (_request, response) => response.end(`{"metadata":{},"items":${answers[next++]}}`),
    async (url) => {
      await withClient({ server: url }, async (client) => {
        for (const _ of [1, 2]) {
          await assert.rejects(client.list(WIDGETS), { code: 'KUBE_RESPONSE_INVALID' })
        }
        assert.equal((await client.list(WIDGETS)).items.length, 0)
        assert.equal((await client.list(WIDGETS)).items.length, 1)
      })
    },
  )
})

test('a token file is read again after a 401, and a fixed token is not tried twice', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-token-'))
  const seen: string[] = []
  try {
    const tokenFile = join(folder, 'token')
    await writeFile(tokenFile, 'old\n')
    await withHttp(
      (request, response) => {
        seen.push(request.headers.authorization ?? '')
        response.statusCode = request.headers.authorization === 'Bearer new' ? 200 : 401
        response.end('{"metadata":{"name":"w"}}')
      },
      async (url) => {
        await withClient({ server: url, tokenFile }, async (client) => {
          await assert.rejects(client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_UNAUTHORIZED' })
          await writeFile(tokenFile, 'new\n')
          await client.get(WIDGETS, 'default', 'w')
          await client.get(WIDGETS, 'default', 'w')
          assert.deepEqual(seen.splice(0).slice(-2), ['Bearer new', 'Bearer new'])
          await rm(tokenFile)
        })
        await withClient({ server: url, tokenFile }, async (client) => {
          await assert.rejects(client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_CREDENTIALS' })
        })
        await withClient({ server: url, token: 'fixed' }, async (client) => {
          seen.length = 0
          await assert.rejects(client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_UNAUTHORIZED' })
          assert.deepEqual(seen, ['Bearer fixed'])
        })
      },
    )
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a client certificate is shown, its files are followed, and a foreign authority is refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-certificate-'))
  const own = await makeIdentity('127.0.0.1', Date.now())
  const other = await makeIdentity('127.0.0.1', Date.now())
  const shown: (string | undefined)[] = []
  const server = createServer(
    { key: own.key, cert: own.certificate, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      shown.push((request.socket as TLSSocket).getPeerCertificate().fingerprint256)
      response.end('{"metadata":{"name":"w"}}')
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    const ca = { pem: own.certificate }
    const certificate = { file: join(folder, 'tls.crt') }
    const key = { file: join(folder, 'tls.key') }
    await writeFile(certificate.file, own.certificate)
    await writeFile(key.file, own.key)
    const clock = new ManualClock()
    await withClient(
      { server: url, ca, certificate, key },
      async (client) => {
        await client.get(WIDGETS, 'default', 'w')
        await writeFile(certificate.file, other.certificate)
        await writeFile(key.file, other.key)
        await client.get(WIDGETS, 'default', 'w')
        clock.advance(61_000)
        await client.get(WIDGETS, 'default', 'w')
      },
      { clock },
    )
    const [first, second] = [own, other].map((one) => new X509Certificate(one.certificate))
    assert.deepEqual(shown, [first?.fingerprint256, first?.fingerprint256, second?.fingerprint256])
    await withClient({ server: url, ca: { pem: other.certificate } }, async (client) => {
      await assert.rejects(client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_UNREACHABLE' })
    })
    const careless = { server: url, ca: { pem: other.certificate }, insecureSkipTlsVerify: true }
    await withClient(careless, async (client) => {
      await client.get(WIDGETS, 'default', 'w')
    })
    await writeFile(key.file, 'no key')
    await withClient({ server: url, ca, certificate, key }, async (client) => {
      await assert.rejects(client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_CREDENTIALS' })
    })
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await rm(folder, { recursive: true })
  }
})

test('kube.responses: one request more than the plan is refused', async () => {
  await withCluster(
    async (cluster) => {
      cluster.faults = () => ({ delayMs: 300 })
      const running = [1, 2].map(() => cluster.client.list(WIDGETS, { namespace: 'default' }))
      await assert.rejects(cluster.client.get(WIDGETS, 'default', 'w'), {
        code: 'KUBE_BUSY',
        retryable: true,
      })
      await Promise.all(running)
    },
    { kube: { requestsMax: 2 } },
  )
})
