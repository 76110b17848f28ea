/**
 * An upstream kube-apiserver with an etcd of its own, on loopback with TLS, service accounts and RBAC. No other part of a
 * cluster runs: what the controllers of Kubernetes would do (endpoints, garbage collection, emptying a namespace that is
 * deleted) is not done.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { takePorts } from '../../packages/mesh-controller/src/app/demo-ports.ts'
import { until } from '../../tests/processes.ts'
import { ApiUser } from './api-user.fixture.ts'
import type { Binaries } from './binaries.ts'
import { makeAuthority, signedBy } from './certificates.fixture.ts'

const ADMIN_TOKEN = 'token-of-the-administrator'
/** A user who may do nothing before a role is bound to it. */
export const PLAIN_USER = 'weir-plain'
const PLAIN_TOKEN = 'token-of-the-plain-user'

export interface RealClusterOptions {
  readonly binaries: Binaries
  readonly folder: string
  /** Flags of kube-apiserver beside those that every cluster has. */
  readonly flags?: readonly string[]
}

export class RealCluster {
  readonly folder: string
  readonly url: string
  readonly etcdUrl: string
  /** What may do everything. */
  readonly admin: ApiUser
  readonly #binaries: Binaries
  readonly #flags: readonly string[]
  readonly #authority: Awaited<ReturnType<typeof makeAuthority>>
  #etcd: ChildProcess | undefined
  #apiserver: ChildProcess | undefined

  private constructor(
    options: RealClusterOptions,
    authority: Awaited<ReturnType<typeof makeAuthority>>,
    ports: { readonly api: number; readonly client: number; readonly peer: number },
  ) {
    this.folder = options.folder
    this.#binaries = options.binaries
    this.#authority = authority
    this.url = `https://127.0.0.1:${ports.api}`
    this.etcdUrl = `http://127.0.0.1:${ports.client}`
    this.#flags = [...this.#fixedFlags(ports.api), ...(options.flags ?? [])]
    this.#peerUrl = `http://127.0.0.1:${ports.peer}`
    this.admin = new ApiUser(this.url, authority.certificate, { token: ADMIN_TOKEN })
  }

  readonly #peerUrl: string

  /** Starts both and waits until the API is ready. */
  static async open(options: RealClusterOptions): Promise<RealCluster> {
    const { folder } = options
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const authority = await makeAuthority()
    const [api, client, peer] = await takePorts(3)
    const ports = { api: api!, client: client!, peer: peer! }
    const cluster = new RealCluster(options, authority, ports)
    const server = await signedBy(authority, { name: 'kube-apiserver', server: true })
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const files: Readonly<Record<string, string>> = {
      'ca.crt': authority.certificate,
      'server.crt': server.certificate,
      'server.key': server.key,
      'accounts.key': privateKey.export({ type: 'sec1', format: 'pem' }) as string,
      'accounts.pub': publicKey.export({ type: 'spki', format: 'pem' }) as string,
      'tokens.csv': `${ADMIN_TOKEN},admin,1,system:masters\n${PLAIN_TOKEN},${PLAIN_USER},2\n`,
    }
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(folder, name), text, { mode: 0o600 })
    }
    try {
      cluster.startEtcd()
      cluster.startApiserver()
      await cluster.ready()
    } catch (error) {
      await cluster.close()
      throw error
    }
    return cluster
  }

  /** The certificate of a user who is known by it alone. */
  async certificateOf(
    user: string,
  ): Promise<{ readonly certificate: string; readonly key: string }> {
    return signedBy(this.#authority, { name: user })
  }

  /** A kubeconfig for these fields of `user`. */
  kubeconfig(user: object): string {
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'c',
          cluster: {
            server: this.url,
            'certificate-authority-data': base64(this.#authority.certificate),
          },
        },
      ],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    })
  }

  get adminKubeconfig(): string {
    return this.kubeconfig({ token: ADMIN_TOKEN })
  }

  get plainKubeconfig(): string {
    return this.kubeconfig({ token: PLAIN_TOKEN })
  }

  async certificateKubeconfig(user: string): Promise<string> {
    const { certificate, key } = await this.certificateOf(user)
    return this.kubeconfig({
      'client-certificate-data': base64(certificate),
      'client-key-data': base64(key),
    })
  }

  startEtcd(): void {
    this.#etcd = this.#spawn('etcd', this.#binaries.etcd, [
      '--name=default',
      `--data-dir=${join(this.folder, 'etcd')}`,
      `--listen-client-urls=${this.etcdUrl}`,
      `--advertise-client-urls=${this.etcdUrl}`,
      `--listen-peer-urls=${this.#peerUrl}`,
      `--initial-advertise-peer-urls=${this.#peerUrl}`,
      `--initial-cluster=default=${this.#peerUrl}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ])
  }

  startApiserver(more: readonly string[] = []): void {
    this.#apiserver = this.#spawn('kube-apiserver', this.#binaries.apiserver, [
      ...this.#flags,
      ...more,
    ])
  }

  async ready(): Promise<void> {
    await until(
      'the API server is ready',
      async () => {
        if (this.#apiserver?.exitCode != null) {
          throw new Error(`kube-apiserver ended:\n${this.log('kube-apiserver').slice(-2_000)}`)
        }
        const answer = await this.admin.ask('GET', '/readyz').catch(() => undefined)
        if (answer?.status !== 200) return false
        // The namespace is made by a task of the server, some time after it is ready.
        const made = await this.admin.ask('GET', '/api/v1/namespaces/default')
        return made.status === 200
      },
      90_000,
    )
  }

  async killApiserver(): Promise<void> {
    await kill(this.#apiserver, 'SIGKILL')
  }

  async killEtcd(): Promise<void> {
    await kill(this.#etcd, 'SIGKILL')
  }

  /** Sends a signal: SIGSTOP makes a server that is silent on open connections. */
  signalApiserver(signal: NodeJS.Signals): void {
    this.#apiserver?.kill(signal)
  }

  /** Removes an object from etcd behind the back of the API server, by its path below /registry. */
  async remove(path: string): Promise<void> {
    await this.#etcdCall('kv/deleterange', { key: base64(`/registry/${path}`) })
  }

  /** Forgets the past in etcd, up to now. */
  async compact(): Promise<void> {
    const status = await this.#etcdCall('maintenance/status', {})
    const revision = (status as { header: { revision: string } }).header.revision
    await this.#etcdCall('kv/compaction', { revision, physical: true })
  }

  log(program: string): string {
    return readFileSync(join(this.folder, `${program}.log`), 'utf8')
  }

  async close(): Promise<void> {
    this.#apiserver?.kill('SIGCONT')
    await kill(this.#apiserver, 'SIGKILL')
    await kill(this.#etcd, 'SIGKILL')
    this.admin.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #fixedFlags(port: number): string[] {
    const file = (name: string) => join(this.folder, name)
    return [
      `--etcd-servers=${this.etcdUrl}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--tls-cert-file=${file('server.crt')}`,
      `--tls-private-key-file=${file('server.key')}`,
      `--client-ca-file=${file('ca.crt')}`,
      `--token-auth-file=${file('tokens.csv')}`,
      `--service-account-key-file=${file('accounts.pub')}`,
      `--service-account-signing-key-file=${file('accounts.key')}`,
      '--service-account-issuer=https://kubernetes.invalid',
      '--service-cluster-ip-range=10.0.0.0/24',
      '--authorization-mode=RBAC',
      // Its address is of loopback, which no endpoint may have.
      '--endpoint-reconciler-type=none',
      '--allow-privileged=true',
    ]
  }

  #spawn(name: string, program: string, args: readonly string[]): ChildProcess {
    const out = openSync(join(this.folder, `${name}.log`), 'a')
    const child = spawn(program, args, { cwd: this.folder, stdio: ['ignore', out, out] })
    // A test that ends early must not leave it behind.
    process.once('exit', () => child.kill('SIGKILL'))
    child.once('error', () => {})
    return child
  }

  async #etcdCall(path: string, body: object): Promise<unknown> {
    const answer = await fetch(`${this.etcdUrl}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(`etcd ${path}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }
}

async function kill(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')
