import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { withLedger } from '../../../weir/testing/index.ts'
import { until, WIDGETS, withCluster } from '../api-server/testing.ts'
import { KubeClient } from './client.ts'
import { DEFAULT_KUBE_LIMITS, kubeTerms } from './memory.ts'
import { withLength, withRawServer } from './raw-server.fixture.ts'
import { watch } from './reflector.fixture.ts'
import { Reflector } from './reflector.ts'

type Answerer = (request: string, socket: Socket) => void

/** A reflector of widgets for a server that answers each list and each watch as the test says. */
async function reflecting(
  answers: { readonly list: Answerer; readonly watch: Answerer },
  run: (reflector: Reflector<number>) => Promise<void>,
  firstMs = 60_000,
): Promise<void> {
  const terms = kubeTerms(DEFAULT_KUBE_LIMITS)
  const answer: Answerer = (request, socket) =>
    /^GET \S*watch=true/.test(request)
      ? answers.watch(request, socket)
      : answers.list(request, socket)
  await withRawServer(answer, ({ url }) =>
    withLedger(Object.values(terms), async (ledger, scope) => {
      const client = new KubeClient({ config: { server: url }, scope, ledger, terms })
      const reflector = new Reflector<number>({
        client,
        resource: WIDGETS,
        namespaces: ['default'],
        backoffMs: { first: firstMs, most: 60_000 },
        pageLimit: 1,
        project: () => 0,
        onEvent() {},
      })
      await run(reflector)
      await reflector.close()
    }),
  )
}

const soon = () => new Promise<void>((resolve) => setTimeout(resolve, 300))

function page(name: string, token: string): string {
  return withLength(
    JSON.stringify({
      kind: 'List',
      metadata: { resourceVersion: '7', ...(token === '' ? {} : { continue: token }) },
      items: name === '' ? [] : [{ metadata: { name, namespace: 'default', uid: name } }],
    }),
  )
}

const line = (type: string, object: unknown) => `${JSON.stringify({ type, object })}\n`
const bookmark = (version: number) =>
  line('BOOKMARK', { kind: 'Widget', metadata: { resourceVersion: String(version) } })
const gone = line('ERROR', { kind: 'Status', code: 410, reason: 'Expired' })

// Each was a round without a pause: the bookmark counted as progress.
for (const [what, after, moves] of [
  ['ends', '', 0],
  ['ends with another version', '', 1],
  ['says 410', gone, 0],
] as const) {
  test(`a server that sends a bookmark and then ${what} is asked again only after a wait`, () => {
    let watches = 0
    return reflecting(
      {
        list: (_request, socket) => socket.write(page('a', '')),
        watch: (_request, socket) => {
          watches++
          socket.end(`HTTP/1.1 200 OK\r\n\r\n${bookmark(7 + moves * watches)}${after}`)
        },
      },
      async (reflector) => {
        await until('it has watched', () => watches > 0)
        await soon()
        assert.ok(watches <= 2, `${watches} watches`)
        assert.ok(reflector.state.lists <= 2, `${reflector.state.lists} lists`)
      },
    )
  })
}

test('an event that cannot be taken is no progress: the waits grow', () => {
  let watches = 0
  return reflecting(
    {
      list: (_request, socket) => socket.write(page('a', '')),
      watch: (_request, socket) => {
        watches++
        socket.end(
          `HTTP/1.1 200 OK\r\n\r\n${line('ADDED', { metadata: { resourceVersion: '9' } })}`,
        )
      },
    },
    async (reflector) => {
      await until('it has failed', () => reflector.state.problem !== '')
      await soon()
      await soon()
      assert.ok(watches <= 8, `${watches} watches`)
    },
    5,
  )
})

// It listed for ever, without a wait, and nothing told of it.
for (const [what, next, most] of [
  ['whose next page has the same token', (_asked: number) => page('', 'again'), 2],
  ['that begins again with each page', (asked: number) => page('a', `token-${asked}`), 2],
  ['that goes round', (asked: number) => page('', `token-${asked % 5}`), 13],
] as const) {
  test(`a list ${what} fails, and is tried again only after a wait`, () => {
    let asked = 0
    return reflecting(
      {
        list: (_request, socket) => socket.write(next(asked++)),
        watch: (_request, socket) => void socket.destroy(),
      },
      async (reflector) => {
        await until('it has failed', () => reflector.state.problem !== '', 5_000)
        await soon()
        assert.match(reflector.state.problem, /leads back to itself/)
        assert.equal(reflector.state.lists, 1)
        assert.equal(asked, most)
      },
    )
  })
}

test('a watch that ends after a while with nothing but bookmarks is opened again at once', async () => {
  await withCluster(
    async (cluster) => {
      const { reflector } = watch(cluster, { backoffMs: { first: 60_000, most: 60_000 } })
      await until('it watches', () => cluster.server.watchers === 1)
      await new Promise((resolve) => setTimeout(resolve, 1_200))
      cluster.server.endWatches()
      await until('it watches again', () => reflector.state.watches === 2)
    },
    { bookmarkMs: 50 },
  )
})
