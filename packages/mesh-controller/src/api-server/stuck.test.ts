import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { type TestCluster, until, WIDGETS, WIDGETS_PATH, widget, withCluster } from './testing.ts'

const BIG = 'x'.repeat(2_000_000)
/** More than the buffers of the system take. */
const COUNT = 10

/** A client that asks and takes nothing of the answer. */
async function askAndStop(cluster: TestCluster, ...paths: string[]): Promise<TLSSocket> {
  const { hostname: host, port } = new URL(cluster.server.url)
  const socket = connect({
    host,
    port: Number(port),
    ca: cluster.server.identity.certificate,
    servername: '',
  })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  socket.pause()
  const head = `HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${cluster.server.token}\r\n\r\n`
  socket.write(paths.map((path) => `GET ${path} ${head}`).join(''))
  return socket
}

const row = (cluster: TestCluster, name: string) =>
  [...cluster.ledger.rows()].find(({ term }) => term.name === name)!

async function withBigWidgets(run: (cluster: TestCluster) => Promise<void>, options = {}) {
  await withCluster(
    async (cluster) => {
      for (let count = 0; count < COUNT; count++) {
        await cluster.client.create(WIDGETS, widget(`w${count}`, { note: BIG }))
      }
      await run(cluster)
    },
    { stuckMs: 1_500, ...options },
  )
}

// Each of these clients held its place, and what it had not taken, for as long as it liked.
for (const [what, ...paths] of [
  ['a list', WIDGETS_PATH],
  ['objects', ...Array.from({ length: 8 }, (_, at) => `${WIDGETS_PATH}/w${at}`)],
  ['a watch that has ended meanwhile', `${WIDGETS_PATH}?watch=true&timeoutSeconds=1`],
] as const) {
  test(`a client that takes nothing of ${what} is cut, and all that it held is free`, async () => {
    await withBigWidgets(async (cluster) => {
      const socket = await askAndStop(cluster, ...(paths as readonly string[]))
      await until('it holds something', () => row(cluster, 'api.outgoing').bytes > 0)
      await until(
        'all is free',
        () =>
          row(cluster, 'api.outgoing').bytes === 0 &&
          row(cluster, 'api.requests').entries === 0 &&
          cluster.server.watchers === 0,
        10_000,
      )
      assert.equal(cluster.counters.value('api_answers_cut_total') > 0, true)
      socket.destroy()
    })
  })
}

for (const [what, path] of [
  ['a list', WIDGETS_PATH],
  ['a watch', `${WIDGETS_PATH}?watch=true`],
] as const) {
  test(`a client that goes before ${what} begins leaves nothing behind`, async () => {
    await withBigWidgets(async (cluster) => {
      cluster.faults = () => ({ delayMs: 300 })
      const socket = await askAndStop(cluster, path)
      await until('it was asked', () => row(cluster, 'api.requests').entries === 1)
      socket.destroy()
      await until('all is free', () => row(cluster, 'api.requests').entries === 0, 5_000)
      assert.equal(cluster.server.watchers, 0)
      assert.equal(row(cluster, 'api.outgoing').bytes, 0)
    })
  })
}
