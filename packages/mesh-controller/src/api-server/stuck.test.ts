import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { type TestCluster, until, WIDGETS, WIDGETS_PATH, widget, withCluster } from './testing.ts'

const BIG = 'x'.repeat(2_000_000)
/** More than the buffers of the system take. */
const COUNT = 10

/** A client that asks for these paths and takes nothing of the answers. */
function askAndStop(cluster: TestCluster, ...paths: string[]): Promise<TLSSocket> {
  return sendAndStop(cluster, ...paths.map((path) => ['GET', path] as const))
}

/** A client that sends requests, of a method, a path and a body, and takes nothing of the answers. */
async function sendAndStop(
  cluster: TestCluster,
  ...requests: (readonly [method: string, path: string, body?: string])[]
): Promise<TLSSocket> {
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
  const head = `HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${cluster.server.token}\r\n`
  const texts = requests.map(([method, path, body = '']) => {
    const type = `application/${method === 'PATCH' ? 'merge-patch+json' : 'json'}`
    const length = `content-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`
    return `${method} ${path} ${head}${length}${body}`
  })
  socket.write(texts.join(''))
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

for (const [what, ...request] of [
  ['a list begins', 'GET', WIDGETS_PATH],
  ['a watch begins', 'GET', `${WIDGETS_PATH}?watch=true`],
  ['an object is read', 'GET', `${WIDGETS_PATH}/w0`],
  ['the body of a create is read', 'POST', WIDGETS_PATH, JSON.stringify(widget('new'))],
  ['the body of an update is read', 'PUT', `${WIDGETS_PATH}/w0`, JSON.stringify(widget('w0'))],
  ['the body of a patch is read', 'PATCH', `${WIDGETS_PATH}/w0`, '{"spec":{"note":"n"}}'],
  ['the body of a delete is read', 'DELETE', `${WIDGETS_PATH}/w0`, '{"dryRun":["All"]}'],
] as const) {
  test(`a client that goes before ${what} leaves nothing behind`, async () => {
    await withBigWidgets(async (cluster) => {
      cluster.faults = () => ({ delayMs: 300 })
      const socket = await sendAndStop(cluster, request)
      await until('it was asked', () => row(cluster, 'api.requests').entries === 1)
      socket.destroy()
      await until('all is free', () => row(cluster, 'api.requests').entries === 0, 5_000)
      assert.equal(cluster.server.watchers, 0)
      assert.equal(row(cluster, 'api.outgoing').bytes, 0)
    })
  })
}
