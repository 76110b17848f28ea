/** Three zones on loopback: an API server and a controller each, the controllers joined over a backend of Weir. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { KeyPair } from 'weir-mesh/core'
import { writeKeyFile } from 'weir-mesh/node'
import { takePorts } from '../packages/mesh-controller/src/app/demo-ports.ts'
import { Child, until } from './children.ts'
import { Cluster } from './cluster.ts'
import { CONTROLLER_BIN, Folder } from './folder.ts'

export type TransportName = 'iroh' | 'quic'

export interface MeshOptions {
  /** Default quic. */
  readonly transport?: TransportName
  /** As in the config; default 200Mi. */
  readonly memory?: string
  /** Each controller writes a CPU profile into this folder when it ends. */
  readonly profile?: string | undefined
  /** Whether SIGUSR2 forces a collection; the checks of tests come with it. */
  readonly hooks?: boolean
  /** Called with the pid of a controller as it starts, for a control group. */
  readonly onStart?: (zone: string, pid: number) => void
}

const NAMES = Object.freeze(['zone-a', 'zone-b', 'zone-c'])
/** On a machine with much other work a process may take half a minute to start. */
const READY_MS = 180_000
const PROFILER = join(import.meta.dirname, 'profile-hook.ts')
const STATUS_TOKEN = randomBytes(16).toString('hex')

interface Seat {
  readonly zone: string
  readonly id: string
  readonly port: number
  readonly statusPort: number
}

export class Controller {
  readonly zone: string
  readonly #config: string
  readonly #folder: Folder
  readonly #statusPort: number
  readonly #options: MeshOptions
  #child: Child | undefined

  constructor(seat: Seat, config: string, folder: Folder, options: MeshOptions) {
    this.zone = seat.zone
    this.#statusPort = seat.statusPort
    this.#config = config
    this.#folder = folder
    this.#options = options
  }

  get pid(): number {
    if (!this.#child?.alive) throw new Error(`the controller of ${this.zone} has ended`)
    return this.#child.pid
  }

  get alive(): boolean {
    return this.#child?.alive === true
  }

  start(): void {
    const { profile, hooks } = this.#options
    this.#child = new Child({
      args: [
        ...(profile === undefined ? [] : ['--import', PROFILER]),
        CONTROLLER_BIN,
        ...['--config', this.#config, '--exit-with-stdin', '--log-level', 'info'],
      ],
      logPath: join(this.#folder.path, `${this.zone}.controller.log`),
      env: {
        WEIR_RUN: 'dist',
        ...(hooks ? { WEIR_ASSERT: '1' } : {}),
        ...(profile === undefined ? {} : { BENCH_PROFILE: join(profile, this.zone) }),
      },
    })
    this.#child.ignoreOutput()
    this.#options.onStart?.(this.zone, this.#child.pid)
  }

  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    return this.#child?.stop(signal) ?? Promise.resolve(0)
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name)
  }

  async ready(): Promise<boolean> {
    if (!this.alive) throw new Error(`the controller of ${this.zone} ended: ${this.#child?.end}`)
    return (await this.#get('/readyz'))?.status === 200
  }

  /** Zones whose snapshot was applied here, and how many objects there are; undefined while it does not answer. */
  async status(): Promise<ReplicationStatus | undefined> {
    const answer = await this.#get('/status')
    if (answer?.status !== 200) return undefined
    return (JSON.parse(answer.text) as { replication: ReplicationStatus }).replication
  }

  async metrics(): Promise<string> {
    return (await this.#get('/metrics'))?.text ?? ''
  }

  /** Whether all other zones were heard to the end of their snapshot. */
  async joined(): Promise<boolean> {
    const status = await this.status()
    const others = status?.zones.filter(({ zone }) => zone !== this.zone) ?? []
    return others.length === NAMES.length - 1 && others.every(({ complete }) => complete)
  }

  #get(path: string): Promise<{ status: number; text: string } | undefined> {
    return new Promise((resolve) => {
      const call = get(
        {
          host: '127.0.0.1',
          port: this.#statusPort,
          path,
          agent: false,
          headers: { authorization: `Bearer ${STATUS_TOKEN}` },
        },
        async (answer) => {
          let text = ''
          try {
            for await (const chunk of answer.setEncoding('utf8')) text += chunk
            resolve({ status: answer.statusCode!, text })
          } catch {
            resolve(undefined)
          }
        },
      )
      call.on('error', () => resolve(undefined))
    })
  }
}

export interface ReplicationStatus {
  readonly objects: number
  readonly ownObjects: number
  readonly snapshots: number
  readonly queued: number
  readonly pending: number
  readonly retrying: number
  readonly zones: readonly {
    readonly zone: string
    readonly objects: number
    readonly complete: boolean
  }[]
}

export class Mesh {
  readonly folder = new Folder()
  readonly clusters: Cluster[] = []
  readonly controllers: Controller[] = []
  /** Whether somebody has to look at the logs. */
  #kept = false

  /** API servers, which have worked already, and configs; controllers are started by `start`. */
  static async prepare(options: MeshOptions = {}): Promise<Mesh> {
    const mesh = new Mesh()
    writeFileSync(join(mesh.folder.path, 'status.token'), STATUS_TOKEN, { mode: 0o600 })
    const seats: Seat[] = []
    const ports = await takePorts(2 * NAMES.length)
    for (const zone of NAMES) {
      const key = KeyPair.generate()
      writeKeyFile(join(mesh.folder.path, `${zone}.key`), key)
      const [port, statusPort] = [ports.pop()!, ports.pop()!]
      seats.push({ zone, id: Buffer.from(key.id).toString('hex'), port, statusPort })
    }
    for (const seat of seats) {
      mesh.clusters.push(await Cluster.start(seat.zone, mesh.folder))
      const config = join(mesh.folder.path, `${seat.zone}.yaml`)
      writeFileSync(config, JSON.stringify(configOf(seat, seats, options)))
      mesh.controllers.push(new Controller(seat, config, mesh.folder, options))
    }
    await Promise.all(mesh.clusters.map((cluster) => cluster.warmUp()))
    return mesh
  }

  /** As `prepare`, and waits until all controllers are ready and have heard of each other. */
  static async open(options: MeshOptions = {}): Promise<Mesh> {
    const mesh = await Mesh.prepare(options)
    for (const controller of mesh.controllers) controller.start()
    await mesh.joined()
    return mesh
  }

  async joined(): Promise<void> {
    try {
      for (const controller of this.controllers) {
        await until(`${controller.zone} ready`, () => controller.ready(), READY_MS, 50)
        await until(`${controller.zone} joined`, () => controller.joined(), READY_MS, 50)
      }
    } catch (error) {
      this.#kept = true
      for (const controller of this.controllers) {
        const status = controller.alive ? await controller.status() : 'ended'
        console.error(`${controller.zone}: ${JSON.stringify(status)}`)
      }
      throw error
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.controllers.map((controller) => controller.stop()))
    await Promise.all(this.clusters.map((cluster) => cluster.stop()))
    if (!this.#kept && process.env['BENCH_KEEP'] === undefined) this.folder.remove()
    else console.error(`kept ${this.folder.path}`)
  }
}

function configOf(own: Seat, seats: readonly Seat[], options: MeshOptions) {
  return {
    zone: own.zone,
    keyFile: `${own.zone}.key`,
    dataDir: `${own.zone}.data`,
    listen: `127.0.0.1:${own.port}`,
    networkId: 'weir-bench',
    transport: options.transport ?? 'quic',
    peers: seats
      .filter((seat) => seat !== own)
      .map(({ zone, id, port }) => ({ zone, id, addresses: [`127.0.0.1:${port}`] })),
    kubernetes: { kubeconfig: `${own.zone}.kubeconfig` },
    resources: [
      { group: 'demo.weir.example', version: 'v1', kind: 'Widget', namespaces: ['default'] },
    ],
    memory: options.memory ?? '200Mi',
    status: { listen: `127.0.0.1:${own.statusPort}`, tokenFile: 'status.token' },
  }
}
