/**
 * One zone's API server as a process of its own, and a client that costs the bench as little as it can: bodies are
 * made once, and of a watch only type, name and version are read.
 */
import { readFileSync, rmSync } from 'node:fs'
import type { ClientRequest } from 'node:http'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { Child, until } from './children.ts'
import { drive } from './drive.ts'
import { DIST, type Folder } from './folder.ts'
import { editText, widgetText } from './objects.ts'
import { Requests } from './requests.ts'

/** Objects that each API server has made, edited and deleted before it is measured with. */
const WARM_UP = 4_000
const PARALLEL = 16
const COLLECTION = '/apis/demo.weir.example/v1/namespaces/default/widgets'

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly name: string
  /** When its line was read, on the clock of the bench. */
  readonly at: number
}

export interface RequestCounts {
  readonly [method: string]: number
}

export class Cluster {
  readonly zone: string
  readonly kubeconfig: string
  readonly #folder: Folder
  readonly #child: Child
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16, rejectUnauthorized: false })
  readonly #watchAgent = new Agent({ keepAlive: false, rejectUnauthorized: false })
  readonly #watches = new Set<ClientRequest>()
  #requests!: Requests
  #port = 0
  #token = ''

  private constructor(zone: string, folder: Folder) {
    this.zone = zone
    this.#folder = folder
    this.kubeconfig = join(folder.path, `${zone}.kubeconfig`)
    this.#child = new Child({
      args: [
        '--max-semi-space-size=8',
        ...(process.env['BENCH_API_FLAGS']?.split(' ') ?? []),
        '--import',
        join(import.meta.dirname, 'count-requests.ts'),
        join(DIST, 'api-server/main.js'),
        ...['--listen', '127.0.0.1:0', '--kubeconfig-out', this.kubeconfig],
        ...['--name', zone, '--crd', folder.crd, '--memory', '1Gi'],
      ],
      logPath: join(folder.path, `${zone}.api.log`),
      env: { BENCH_COUNTS: this.#countsPath },
    })
  }

  get pid(): number {
    return this.#child.pid
  }

  static async start(zone: string, folder: Folder): Promise<Cluster> {
    const cluster = new Cluster(zone, folder)
    const ready = await cluster.#child.line()
    if (ready === undefined) throw new Error(`the API server of ${zone} did not start; see its log`)
    cluster.#port = Number(new URL((JSON.parse(ready) as { url: string }).url).port)
    cluster.#child.ignoreOutput()
    const kubeconfig = JSON.parse(readFileSync(cluster.kubeconfig, 'utf8')) as {
      users: [{ user: { token: string } }]
    }
    cluster.#token = kubeconfig.users[0].user.token
    cluster.#requests = new Requests(cluster.#port, cluster.#token)
    return cluster
  }

  get #countsPath(): string {
    return join(this.#folder.path, `${this.zone}.counts.json`)
  }

  /** Requests so far, without those of the bench. */
  async requests(): Promise<RequestCounts> {
    rmSync(this.#countsPath, { force: true })
    this.#child.signal('SIGUSR2')
    let counts: RequestCounts | undefined
    await until(
      `the counts of ${this.zone}`,
      () => {
        try {
          counts = JSON.parse(readFileSync(this.#countsPath, 'utf8')) as RequestCounts
          return true
        } catch {
          return false
        }
      },
      5_000,
      50,
    )
    return counts!
  }

  /** Sends the body, which is an object as JSON text. @returns when the answer began. */
  create(body: string): Promise<number> {
    return this.#send('POST', COLLECTION, body, 'application/json')
  }

  patch(name: string, body: string): Promise<number> {
    return this.#send('PATCH', `${COLLECTION}/${name}`, body, 'application/merge-patch+json')
  }

  delete(name: string): Promise<number> {
    return this.#send('DELETE', `${COLLECTION}/${name}`)
  }

  /**
   * Makes, edits and deletes objects, watched by nobody else, so that V8 has compiled API server and bench: what is
   * measured is the controllers.
   */
  async warmUp(): Promise<void> {
    await this.watch(() => {})
    const each = (send: (at: number) => Promise<unknown>) =>
      drive(WARM_UP, { parallel: PARALLEL }, send)
    await each((at) => this.create(widgetText(`w-${at}`)))
    await each((at) => this.patch(`w-${at}`, editText(at)))
    await each((at) => this.delete(`w-${at}`))
    this.stopWatching()
  }

  /** All objects, as name and a text that is equal where the content is equal. */
  async contents(): Promise<Map<string, string>> {
    const contents = new Map<string, string>()
    let token = ''
    do {
      const query = `?limit=500${token === '' ? '' : `&continue=${encodeURIComponent(token)}`}`
      const page = JSON.parse(await this.#get(COLLECTION + query)) as {
        metadata: { continue?: string }
        items: { metadata: { name: string }; spec: object }[]
      }
      for (const { metadata, spec } of page.items) contents.set(metadata.name, sorted(spec))
      token = page.metadata.continue ?? ''
    } while (token !== '')
    return contents
  }

  /** Reports every change from now on; the promise settles when the watch is open. */
  async watch(onChange: (change: Change) => void): Promise<void> {
    const page = JSON.parse(await this.#get(`${COLLECTION}?limit=1`)) as {
      metadata: { resourceVersion: string }
    }
    const path = `${COLLECTION}?watch=1&resourceVersion=${page.metadata.resourceVersion}`
    await this.#openWatch(path, onChange)
  }

  #openWatch(path: string, onChange: (change: Change) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = request({
        ...this.#target('GET', path),
        agent: this.#watchAgent,
      })
      this.#watches.add(call)
      call.on('error', (error) => {
        if (this.#watches.has(call)) reject(error)
      })
      call.once('response', (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`watch: ${answer.statusCode}`))
        let rest = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          const at = performance.now()
          rest += chunk
          let from = 0
          for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', from)) {
            const change = readChange(rest.slice(from, end), at)
            if (change) onChange(change)
            from = end + 1
          }
          rest = rest.slice(from)
        })
        answer.on('error', () => {})
        resolve()
      })
      call.end()
    })
  }

  stopWatching(): void {
    const calls = [...this.#watches]
    this.#watches.clear()
    for (const call of calls) call.destroy()
  }

  async stop(): Promise<void> {
    this.stopWatching()
    this.#agent.destroy()
    this.#requests.close()
    await this.#child.stop()
  }

  #target(method: string, path: string) {
    return {
      host: '127.0.0.1',
      port: this.#port,
      method,
      path,
      headers: { authorization: `Bearer ${this.#token}`, 'user-agent': 'weir-bench' },
    }
  }

  async #send(method: string, path: string, body?: string, type?: string): Promise<number> {
    const { status, at } = await this.#requests.send(method, path, body, type)
    if (status < 300) return at
    throw new Error(`${this.zone}: ${method} ${path}: ${status}`)
  }

  #get(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = request({ ...this.#target('GET', path), agent: this.#agent })
      call.once('error', reject)
      call.once('response', async (answer) => {
        let text = ''
        for await (const chunk of answer.setEncoding('utf8')) text += chunk
        if (answer.statusCode === 200) resolve(text)
        else reject(new Error(`${this.zone}: GET ${path}: ${answer.statusCode}`))
      })
      call.end()
    })
  }
}

/** The order of keys is not content. */
const sorted = (spec: object): string => JSON.stringify(Object.entries(spec).sort())

/** The first `"name":"…"` of an event is that of its object: the server writes metadata before spec. */
function readChange(line: string, at: number): Change | undefined {
  const type = /^\{"type":"(\w+)"/.exec(line)?.[1]
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') return undefined
  const name = /"name":"([^"]+)"/.exec(line)?.[1]
  return name === undefined ? undefined : { type, name, at }
}
