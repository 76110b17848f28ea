/** What a person has to mend is told by /readyz, /status, /metrics and the log; /livez stays well, so nothing restarts it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { KeyPair } from 'weir-mesh/core'
import { writeKeyFile } from 'weir-mesh/node'
import { createLogger, systemRandom } from 'weir-mesh/runtime'
import { openCluster, type TestCluster, until } from '../api-server/testing.ts'
import { Controller, planController, readConfig } from './index.ts'

const TOKEN = '0123456789abcdef0123456789abcdef'

interface Told {
  readonly cluster: TestCluster
  readonly log: readonly string[]
  get(path: string): Promise<{ readonly status: number; readonly text: string }>
}

/** A zone alone, with two namespaces. */
async function withZone(run: (told: Told) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-told-'))
  const cluster = await openCluster()
  const log: string[] = []
  let controller: Controller | undefined
  try {
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text)
      return name
    }
    writeKeyFile(join(folder, 'zone.key'), KeyPair.generate(systemRandom))
    const path = file(
      'config.yaml',
      `
zone: zone-a
keyFile: zone.key
listen: 127.0.0.1:0
networkId: told
kubernetes: { kubeconfig: ${file('kubeconfig', cluster.server.kubeconfig())} }
resources: [{ group: demo.weir.example, version: v1, kind: Widget, namespaces: [default, kube-system] }]
memory: 200Mi
status: { listen: '127.0.0.1:0', tokenFile: ${file('token', TOKEN)} }
`,
    )
    const config = await readConfig(join(folder, path))
    const planned = await planController(config)
    const write = (line: string) => void log.push(line)
    controller = await Controller.open({ config, planned, log: createLogger({ write }) })
    const { statusUrl } = controller
    await run({
      cluster,
      log,
      async get(at) {
        const headers = { authorization: `Bearer ${TOKEN}` }
        const answer = await fetch(new URL(at, statusUrl), { headers })
        return { status: answer.status, text: await answer.text() }
      },
    })
  } finally {
    await controller?.close()
    await cluster.close()
    rmSync(folder, { recursive: true })
  }
}

/** As an operator or a kubelet sees it. */
async function isTold(told: Told, words: RegExp): Promise<void> {
  await until('it is not ready', async () => words.test((await told.get('/readyz')).text))
  assert.equal((await told.get('/readyz')).status, 503)
  assert.equal((await told.get('/livez')).status, 200)
  const { replication } = JSON.parse((await told.get('/status')).text)
  assert.match(replication.problem, words)
  await until('it is logged', () => told.log.some((line) => words.test(line)))
}

async function metric(told: Told, name: string): Promise<number> {
  const { text } = await told.get('/metrics')
  return Number(new RegExp(`^weir_${name} (\\d+)$`, 'm').exec(text)?.[1] ?? NaN)
}

const isReady = async (told: Told) => (await told.get('/readyz')).status === 200

test('a namespace that may not be read is named with what to do, until it may', () =>
  withZone(async (told) => {
    await until('it is ready', () => isReady(told))
    assert.equal(await metric(told, 'mesh_refused'), 0)
    told.cluster.faults = ({ method, path }) =>
      method === 'GET' && path.endsWith('/kube-system/widgets') ? { status: 403 } : undefined
    told.cluster.server.cutWatches()
    const words =
      /widgets in the namespace kube-system cannot be read .*KUBE_FORBIDDEN.*list and watch/
    await isTold(told, words)
    assert.equal(await metric(told, 'mesh_refused'), 1)
    told.cluster.faults = undefined
    await until('it is ready again', () => isReady(told))
  }))

test('a cluster that was set up anew is told with what to do, and nothing restarts by itself', () =>
  withZone(async (told) => {
    await until('it is ready', () => isReady(told))
    assert.equal(await metric(told, 'mesh_cluster_believed'), 1)
    const { url, token, identity } = told.cluster.server
    await told.cluster.server.close()
    const anew = await openCluster({ listen: new URL(url).host, token, identity })
    try {
      const words = /KUBE_CLUSTER_REPLACED.*another cluster.*restart this program/
      await isTold(told, words)
      assert.equal(await metric(told, 'mesh_cluster_believed'), 0)
    } finally {
      await anew.close()
    }
  }))
