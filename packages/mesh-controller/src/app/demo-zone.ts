/**
 * One zone of the demo: its files, its API process and its controller process.
 *
 * All paths and ports are fixed when the zone is laid out, so either process can be started again and everybody else
 * still finds it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Ledger, Plan, Term } from 'weir-mesh/bounds'
import { flagsGiven, flagsOf } from 'weir-mesh/cli'
import { idHex, KeyPair } from 'weir-mesh/core'
import { writeKeyFile } from 'weir-mesh/node'
import { onAbort, type Scope, throwIfAborted } from 'weir-mesh/runtime'
import { stringifyJson } from '../kube/index.ts'
import { DemoChild } from './demo-child.ts'
import { NAMESPACE, WIDGETS } from './demo-widgets.ts'

const HOST = '127.0.0.1'
const HERE = import.meta.url
const FROM_SOURCE = extname(fileURLToPath(HERE)) === '.ts'
const CONDITION = Object.freeze(FROM_SOURCE ? ['--conditions=weir-source'] : [])
const API_PROGRAM = fileURLToPath(
  new URL(FROM_SOURCE ? '../api-server/main.ts' : '../api-server/main.js', HERE),
)
const CONTROLLER_PROGRAM = fileURLToPath(new URL('../../bin/weir-mesh-controller.js', HERE))
const ANSWER_BYTES_MAX = 1024 * 1024
const POLL_MS = 50

/** What the others have to know of a zone. */
export interface Seat {
  readonly zone: string
  readonly id: string
  readonly folder: string
  readonly apiPort: number
  readonly listenPort: number
  readonly statusPort: number
}

export interface ZoneOptions {
  readonly scope: Scope
  readonly ledger: Ledger
  readonly lines: Term
  readonly seat: Seat
  readonly others: readonly Seat[]
  readonly definition: string
  readonly statusToken: string
  readonly statusTokenFile: string
}

/** Makes the folder and the key of a zone. */
export function takeSeat(base: string, zone: string, ports: readonly number[]): Seat {
  const folder = join(base, zone)
  mkdirSync(folder, { mode: 0o700 })
  const key = KeyPair.generate()
  writeKeyFile(join(folder, 'key'), key)
  const [apiPort, listenPort, statusPort] = ports as [number, number, number]
  return { zone, id: idHex(key.id), folder, apiPort, listenPort, statusPort }
}

export class DemoZone {
  readonly name: string
  readonly seat: Seat
  readonly kubeconfig: string
  readonly config: string
  /** Set before a controller is started. */
  plan: Plan | undefined
  /** How many objects the plan has room for. */
  objectsMax = 0
  readonly #options: ZoneOptions
  #api: DemoChild | undefined
  #controller: DemoChild | undefined

  constructor(options: ZoneOptions) {
    this.#options = options
    this.seat = options.seat
    this.name = this.seat.zone
    this.kubeconfig = join(this.seat.folder, 'kubeconfig')
    this.config = join(this.seat.folder, 'config.yaml')
    writeFileSync(this.config, configText(options), { mode: 0o600, flag: 'wx' })
  }

  get statusUrl(): string {
    return `http://${HOST}:${this.seat.statusPort}`
  }

  get controller(): DemoChild | undefined {
    return this.#controller
  }

  get api(): DemoChild | undefined {
    return this.#api
  }

  /** Starts the API and waits until it serves. */
  async startApi(signal: AbortSignal): Promise<DemoChild> {
    const { folder, apiPort } = this.seat
    let ready = false
    this.#api?.[Symbol.dispose]()
    const child = this.#spawn(`the API of ${this.name}`, {
      args: [
        ...CONDITION,
        API_PROGRAM,
        ...['--listen', `${HOST}:${apiPort}`, '--name', this.name],
        ...['--kubeconfig-out', this.kubeconfig, '--state-dir', join(folder, 'api')],
        ...['--crd', this.#options.definition],
      ],
      onLine: (line) => {
        ready ||= line.includes('"ready"')
      },
    })
    this.#api = child
    await this.#until(() => ready, child, signal)
    return child
  }

  /** Starts the controller; it is ready when `problem` says so. */
  startController(): DemoChild {
    this.#controller?.[Symbol.dispose]()
    const child = this.#spawn(`the controller of ${this.name}`, {
      args: [
        ...(this.plan ? flagsOf(this.plan) : []),
        ...CONDITION,
        CONTROLLER_PROGRAM,
        ...['--config', this.config, '--exit-with-stdin', '--log-format', 'text'],
      ],
      env: flagsGiven(),
    })
    this.#controller = child
    return child
  }

  /** Why the controller is not ready, or not joined to the others yet; undefined when it is. */
  async problem(): Promise<string | undefined> {
    const ready = await this.#get('/readyz')
    if (ready === undefined) return 'it does not answer'
    if (ready.status !== 200) return ready.text.trim().replaceAll('\n', ', ')
    const zones = await this.#zones()
    if (zones === undefined) return 'it does not tell its status'
    for (const { zone } of this.#options.others) {
      if (!zones.some((row) => row.zone === zone && row.complete)) return `it waits for ${zone}`
    }
    return undefined
  }

  /** Settles when the controller is ready and has heard of all other zones. */
  async joined(signal: AbortSignal, child = this.#controller): Promise<void> {
    if (child) await this.#until(async () => (await this.problem()) === undefined, child, signal)
  }

  /** What the controller knows of each zone. */
  async #zones(): Promise<readonly ZoneRow[] | undefined> {
    const answer = await this.#get('/status')
    if (answer?.status !== 200) return undefined
    return (JSON.parse(answer.text) as StatusText).replication.zones
  }

  async #until(
    holds: () => boolean | Promise<boolean>,
    child: DemoChild,
    signal: AbortSignal,
  ): Promise<void> {
    while (!(await holds())) {
      child.check()
      throwIfAborted(signal)
      await this.#options.scope.sleep(POLL_MS)
    }
  }

  #spawn(
    name: string,
    options: Pick<ConstructorParameters<typeof DemoChild>[0], 'args' | 'env' | 'onLine'>,
  ): DemoChild {
    const { scope, ledger, lines } = this.#options
    return new DemoChild({
      name,
      scope,
      lines: ledger.require(lines, { label: name }),
      ...options,
    })
  }

  #get(path: string): Promise<{ readonly status: number; readonly text: string } | undefined> {
    const headers = { authorization: `Bearer ${this.#options.statusToken}` }
    const { signal } = this.#options.scope
    return new Promise((resolve) => {
      const request = get(
        { host: HOST, port: this.seat.statusPort, path, agent: false, headers, timeout: 5_000 },
        (answer) => {
          let text = ''
          answer.setEncoding('utf8')
          answer.on('data', (chunk: string) => {
            text += chunk
            if (text.length > ANSWER_BYTES_MAX) request.destroy()
          })
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
        },
      )
      const aborted = onAbort(signal, () => request.destroy())
      request.on('timeout', () => request.destroy())
      request.on('error', () => {}) // `close` follows
      request.on('close', () => {
        aborted[Symbol.dispose]()
        resolve(undefined) // of no effect after an answer
      })
    })
  }
}

interface ZoneRow {
  readonly zone: string
  /** Whether its snapshot was applied. */
  readonly complete: boolean
}

/** The part of /status that the demo reads. */
interface StatusText {
  readonly replication: { readonly zones: readonly ZoneRow[] }
}

/** JSON is YAML: no program that writes YAML is needed. */
function configText(options: ZoneOptions): string {
  const { seat, others, statusTokenFile } = options
  const { group, version, kind } = WIDGETS
  const config = {
    zone: seat.zone,
    keyFile: 'key',
    dataDir: 'data',
    listen: `${HOST}:${seat.listenPort}`,
    networkId: 'weir-demo',
    peers: others.map(({ zone, id, listenPort }) => ({
      zone,
      id,
      addresses: [`${HOST}:${listenPort}`],
    })),
    kubernetes: { kubeconfig: 'kubeconfig' },
    resources: [{ group, version, kind, namespaces: [NAMESPACE] }],
    memory: '200Mi',
    status: { listen: `${HOST}:${seat.statusPort}`, tokenFile: statusTokenFile },
  }
  return `${stringifyJson(config)}\n`
}
