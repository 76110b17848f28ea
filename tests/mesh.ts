/**
 * Zones for tests that cross processes: the embedded APIs run in this process, each controller is a real one, started
 * by its command, and they meet over QUIC on loopback.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KeyPair } from 'weir-mesh/core'
import { writeKeyFile } from 'weir-mesh/node'
import {
  openCluster,
  type TestCluster,
} from '../packages/mesh-controller/src/api-server/testing.ts'
import { takePorts } from '../packages/mesh-controller/src/app/demo-ports.ts'
import { until } from './processes.ts'

const PROGRAM = new URL('../packages/mesh-controller/bin/weir-mesh-controller.js', import.meta.url)

export interface Memory {
  readonly heapUsed: number
  /** What of the heap is compiled code. */
  readonly codeUsed: number
  readonly arrayBuffers: number
  readonly rss: number
}

export class ZoneUnderTest {
  readonly name: string
  readonly folder: string
  readonly key = KeyPair.generate()
  readonly port: number
  readonly statusPort: number
  cluster!: TestCluster
  #child: ChildProcess | undefined
  err = ''

  constructor(name: string, folder: string, port: number, statusPort: number) {
    this.name = name
    this.folder = folder
    this.port = port
    this.statusPort = statusPort
    writeKeyFile(join(folder, `${name}.key`), this.key)
  }

  get id(): string {
    return Buffer.from(this.key.id).toString('hex')
  }

  /** The config with changes, as the text of a file. */
  config(others: readonly ZoneUnderTest[], changes: object = {}): string {
    return JSON.stringify({
      zone: this.name,
      keyFile: `${this.name}.key`,
      dataDir: `${this.name}.data`,
      listen: `127.0.0.1:${this.port}`,
      networkId: 'end-to-end',
      peers: others.map(({ name, id, port }) => ({
        zone: name,
        id,
        addresses: [`127.0.0.1:${port}`],
      })),
      kubernetes: { kubeconfig: `${this.name}.kubeconfig` },
      resources: [
        { group: 'demo.weir.example', version: 'v1', kind: 'Widget', namespaces: ['default'] },
      ],
      memory: '256Mi',
      status: { listen: `127.0.0.1:${this.statusPort}` },
      ...changes,
    })
  }

  start(others: readonly ZoneUnderTest[], changes: object = {}): ChildProcess {
    const path = join(this.folder, `${this.name}.yaml`)
    writeFileSync(path, this.config(others, changes))
    this.#child = startController(['--config', path, '--exit-with-stdin'], { WEIR_ASSERT: '1' })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.err = (this.err + text).slice(-200_000)
    })
    return this.#child
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null
    child.kill(signal)
    const [code] = (await once(child, 'exit')) as [number | null]
    return code
  }

  /** Why it is not ready, `ok` when it is. */
  async readiness(): Promise<string> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.statusPort}/readyz`)
      return (await answer.text()).trim()
    } catch {
      return 'not reached'
    }
  }

  async metric(name: string): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.statusPort}/metrics`)
    return Number(
      new RegExp(`^weir_${name} (.*)$`, 'm').exec(await answer.text())?.[1] ?? Number.NaN,
    )
  }

  /** What the process holds after a forced collection. */
  async memory(): Promise<Memory> {
    const lines = () => this.err.split('\n').filter((line) => line.startsWith('{"event":"memory"'))
    const before = lines().length
    this.#child!.kill('SIGUSR2')
    await until('the memory of a controller', () => lines().length > before)
    return JSON.parse(lines().at(-1)!) as Memory
  }
}

/** The command in a process of its own, from source. */
export function startController(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  const inherited = { ...process.env }
  delete inherited['NODE_TEST_CONTEXT']
  return spawn(process.execPath, ['--conditions=weir-source', PROGRAM.pathname, ...args], {
    env: { ...inherited, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

export class MeshUnderTest {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-test-'))
  readonly zones: ZoneUnderTest[] = []

  static async open(count: number): Promise<MeshUnderTest> {
    const mesh = new MeshUnderTest()
    const ports = await takePorts(2 * count)
    for (let index = 0; index < count; index++) {
      const name = `zone-${'abc'[index]}`
      const zone = new ZoneUnderTest(name, mesh.folder, ports.pop()!, ports.pop()!)
      zone.cluster = await openCluster()
      writeFileSync(join(mesh.folder, `${name}.kubeconfig`), zone.cluster.server.kubeconfig())
      mesh.zones.push(zone)
    }
    return mesh
  }

  others(zone: ZoneUnderTest): ZoneUnderTest[] {
    return this.zones.filter((each) => each !== zone)
  }

  start(zone: ZoneUnderTest, changes: object = {}): void {
    zone.start(this.others(zone), changes)
  }

  async startAll(): Promise<void> {
    for (const zone of this.zones) this.start(zone)
    for (const zone of this.zones)
      await until(`${zone.name} is ready`, async () => (await zone.readiness()) === 'ok')
    for (const zone of this.zones) {
      await until(
        `${zone.name} is joined`,
        async () => (await zone.metric('sync_sessions')) >= this.zones.length - 1,
      )
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.zones.map((zone) => zone.stop('SIGKILL')))
    for (const zone of this.zones) await zone.cluster.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
