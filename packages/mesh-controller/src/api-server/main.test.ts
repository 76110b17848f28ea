import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { Scope } from 'weir-mesh/runtime'
import { KubeClient, kubeTerms, loadKubeconfig, NAMESPACES, stringifyJson } from '../kube/index.ts'
import { WIDGETS, widgetDefinition } from './testing.ts'

const PROGRAM = fileURLToPath(new URL('./main.ts', import.meta.url))

interface Child {
  readonly child: ChildProcess
  readonly ready: Promise<string>
  readonly ended: Promise<number | null>
  readonly err: () => string
}

function start(args: readonly string[]): Child {
  const child = spawn(process.execPath, ['--conditions=weir-source', PROGRAM, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const ready = new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString()
      const line = /^(\{.*\})\n/m.exec(out)?.[1]
      if (line !== undefined) resolve(line)
    })
    ended.then(() => reject(new Error(`it ended: ${err}`))).catch(() => {})
  })
  ready.catch(() => {})
  return { child, ready, ended, err: () => err }
}

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-api-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function withKubeconfig(path: string, run: (client: KubeClient) => Promise<void>) {
  const terms = kubeTerms()
  const ledger = new Ledger(planMemory(Object.values(terms), { limitBytes: 2 ** 31 }))
  const scope = new Scope('test')
  try {
    await run(new KubeClient({ config: await loadKubeconfig(path), scope, ledger, terms }))
  } finally {
    await scope.close()
  }
}

test('it says that it is ready, serves its definitions, and ends with its standard input', async () => {
  await inFolder(async (folder) => {
    const crd = join(folder, 'crd.yaml')
    const kubeconfig = join(folder, 'kubeconfig')
    await writeFile(crd, `---\n${stringifyJson(widgetDefinition())}\n---\n`)
    const { child, ready, ended, err } = start([
      '--kubeconfig-out',
      kubeconfig,
      '--crd',
      crd,
      '--name',
      'zone-a',
    ])
    const { event, url } = JSON.parse(await ready) as { event: string; url: string }
    assert.equal(event, 'ready')
    assert.match(url, /^https:\/\/127\.0\.0\.1:\d+$/)
    assert.equal((await stat(kubeconfig)).mode & 0o777, 0o600)
    await withKubeconfig(kubeconfig, async (client) => {
      assert.deepEqual(await client.findResource('demo.weir.example', 'v1', 'Widget'), WIDGETS)
    })
    child.stdin?.end()
    assert.equal(await ended, 0, err())
    assert.deepEqual((await readdir(folder)).sort(), ['crd.yaml', 'kubeconfig'])
  })
})

test('on the same port after a kill, an old kubeconfig is still right', async () => {
  await inFolder(async (folder) => {
    const kubeconfig = join(folder, 'kubeconfig')
    const state = join(folder, 'state')
    const first = start(['--kubeconfig-out', kubeconfig, '--state-dir', state])
    const { url } = JSON.parse(await first.ready) as { url: string }
    const text = await readFile(kubeconfig, 'utf8')
    first.child.kill('SIGKILL')
    await first.ended
    const second = start(['--listen', new URL(url).host, '--state-dir', state])
    await second.ready
    assert.equal(await readFile(kubeconfig, 'utf8'), text)
    await withKubeconfig(kubeconfig, async (client) => {
      await client.get(NAMESPACES, undefined, 'default')
    })
    assert.equal((await stat(join(state, 'identity.json'))).mode & 0o777, 0o600)
    second.child.kill('SIGTERM')
    assert.equal(await second.ended, 0, second.err())
  })
})

test('what it cannot use ends it with one line that says so', async () => {
  await inFolder(async (folder) => {
    const other = join(folder, 'other.yaml')
    await writeFile(other, 'kind: ConfigMap\n')
    const broken = join(folder, 'broken.yaml')
    await writeFile(broken, 'a: [\n')
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['--crd', other], /CRD_INVALID: .*other\.yaml holds something else/],
      [['--crd', broken], /CRD_INVALID/],
      [['--crd', join(folder, 'none')], /ENOENT/],
      [['--listen', 'nonsense'], /API_LISTEN: .*HOST:PORT/],
      [['--bookmark-ms', '1'], /OPTION_INVALID/],
      [['--memory', '1Mi'], /PLAN_TOO_LARGE/],
      [['--unknown'], /--unknown/],
    ]
    for (const [args, message] of cases) {
      const { ended, err } = start(args)
      assert.equal(await ended, 1, args.join(' '))
      assert.match(err(), message)
      assert.ok(err().trim().split('\n').length <= 2, err())
    }
  })
})
