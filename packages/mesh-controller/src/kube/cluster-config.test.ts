import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inClusterConfig, loadKubeconfig, readKubeconfig } from './cluster-config.ts'
import type { JsonObject } from './json.ts'

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

function config(cluster: JsonObject = {}, user: JsonObject = { token: 't' }): JsonObject {
  return {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u', namespace: 'n' } }],
    clusters: [{ name: 'k', cluster: { server: 'https://127.0.0.1:6443', ...cluster } }],
    users: [{ name: 'u', user }],
  }
}

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-kubeconfig-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('a kubeconfig with everything inline', () => {
  const data = Buffer.from(PEM).toString('base64')
  const read = readKubeconfig(
    config(
      { 'certificate-authority-data': data, 'tls-server-name': 'api' },
      { 'client-certificate-data': data, 'client-key-data': data },
    ),
    '/etc/kube/config',
  )
  assert.deepEqual(read, {
    server: 'https://127.0.0.1:6443',
    ca: { pem: PEM },
    tlsServerName: 'api',
    certificate: { pem: PEM },
    key: { pem: PEM },
    namespace: 'n',
  })
})

test('file names are relative to the kubeconfig', () => {
  const read = readKubeconfig(
    config({ 'certificate-authority': 'ca.crt' }, { tokenFile: 'token' }),
    '/etc/kube/config',
  )
  assert.deepEqual(read.ca, { file: '/etc/kube/ca.crt' })
  assert.equal(read.tokenFile, '/etc/kube/token')
})

test('a kubeconfig in YAML, and one in JSON, without certificate checks', async () => {
  await inFolder(async (folder) => {
    const yaml = join(folder, 'yaml')
    await writeFile(
      yaml,
      `apiVersion: v1
current-context: c
contexts: [{ name: c, context: { cluster: k, user: u } }]
clusters: [{ name: k, cluster: { server: 'http://localhost:1', insecure-skip-tls-verify: true } }]
users: [{ name: u, user: { token: abc } }]
`,
    )
    const expected = { server: 'http://localhost:1', insecureSkipTlsVerify: true, token: 'abc' }
    assert.deepEqual(await loadKubeconfig(yaml), expected)
    const json = join(folder, 'json')
    await writeFile(json, JSON.stringify(config()))
    assert.equal((await loadKubeconfig(json, 'c')).token, 't')
  })
})

test('each way in which a kubeconfig is of no use has its code', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'config')
    await assert.rejects(loadKubeconfig(path), { code: 'KUBECONFIG_UNREADABLE' })
    for (const text of ['{', 'a: [', 'a: &x [1]\nb: *x', '[]', '"text"', '']) {
      await writeFile(path, text)
      await assert.rejects(loadKubeconfig(path), { code: 'KUBECONFIG_INVALID' }, text)
    }
    await writeFile(path, ' '.repeat(1024 * 1024 + 1))
    await assert.rejects(loadKubeconfig(path), { code: 'KUBECONFIG_INVALID' })
  })
  const invalid: readonly JsonObject[] = [
    {},
    { ...config(), 'current-context': 'other' },
    { ...config(), clusters: [] },
    { ...config(), users: [] },
    config({ server: 'ftp://x' }),
    config({ server: 'no url' }),
    config({ 'certificate-authority-data': 'AAAA' }),
    config({}, { 'client-certificate': 'x' }),
  ]
  for (const document of invalid) {
    assert.throws(() => readKubeconfig(document, 'f'), { code: 'KUBECONFIG_INVALID' })
  }
  for (const user of [{ exec: {} }, { 'auth-provider': {} }, { username: 'a', password: 'b' }]) {
    const unsupported = { code: 'KUBECONFIG_UNSUPPORTED' }
    assert.throws(() => readKubeconfig(config({}, user), 'f'), unsupported)
  }
})

test('inside a pod the service account is used', () => {
  const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }
  assert.deepEqual(inClusterConfig(environment, '/sa'), {
    server: 'https://[fd00::1]:443',
    ca: { file: '/sa/ca.crt' },
    tokenFile: '/sa/token',
  })
  assert.throws(() => inClusterConfig({}), { code: 'KUBE_NOT_IN_CLUSTER' })
})
