/**
 * Three zones for tests: two on upstream API servers, one on the embedded one. The controllers are processes of their own
 * and meet over QUIC; each may do what the role in the README of the controller says, and nothing else.
 */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import {
  openCluster,
  type TestCluster,
  widgetDefinition,
} from '../../packages/mesh-controller/src/api-server/testing.ts'
import { takePorts } from '../../packages/mesh-controller/src/app/demo-ports.ts'
import { ZoneUnderTest } from '../../tests/mesh.ts'
import { until } from '../../tests/processes.ts'
import type { ApiUser } from './api-user.fixture.ts'
import type { Binaries } from './binaries.ts'
import { RealCluster } from './real-cluster.fixture.ts'

const README = new URL('../../packages/mesh-controller/README.md', import.meta.url)
const RBAC = '/apis/rbac.authorization.k8s.io/v1'
const ACCOUNT = 'weir-mesh-controller'
const CERTIFIED = 'weir-certified'
const STATUS_TOKEN = 'a-token-for-the-status-page'

export const WIDGETS = '/apis/demo.weir.example/v1/namespaces/default/widgets'
export const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

export interface RealZonesOptions {
  readonly binaries: Binaries
  /** Flags of the API server of each real zone. */
  readonly flags?: readonly string[]
  /** Whether the kind is there before the controllers start. Default true. */
  readonly define?: boolean
  /** Changes of the config of every controller. */
  readonly config?: object
}

export class RealZones {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-kube-'))
  readonly zones: ZoneUnderTest[] = []
  readonly clusters: RealCluster[] = []
  embedded!: TestCluster
  readonly #config: object

  private constructor(options: RealZonesOptions) {
    this.#config = { status: undefined, ...options.config }
  }

  static async open(options: RealZonesOptions): Promise<RealZones> {
    const mesh = new RealZones(options)
    try {
      await mesh.#open(options)
    } catch (error) {
      await mesh.close()
      throw error
    }
    return mesh
  }

  get a(): RealCluster {
    return this.clusters[0]!
  }

  get b(): RealCluster {
    return this.clusters[1]!
  }

  async #open({ binaries, flags, define }: RealZonesOptions): Promise<void> {
    const { folder } = this
    writeFileSync(join(folder, 'status.token'), STATUS_TOKEN, { mode: 0o600 })
    const ports = await takePorts(6)
    for (const name of ['zone-a', 'zone-b', 'zone-c']) {
      this.zones.push(new ZoneUnderTest(name, folder, ports.pop()!, ports.pop()!))
    }
    this.clusters.push(
      ...(await Promise.all(
        ['zone-a', 'zone-b'].map((name) =>
          RealCluster.open({
            binaries,
            folder: join(folder, `${name}.cluster`),
            ...(flags ? { flags } : {}),
          }),
        ),
      )),
    )
    const { a, b } = this
    this.embedded = await openCluster()
    await a.admin.must('POST', '/api/v1/namespaces/default/serviceaccounts', {
      metadata: { name: ACCOUNT },
    })
    await this.renewToken()
    await this.grantAccount()
    await grant(b.admin, { kind: 'User', name: CERTIFIED, apiGroup: 'rbac.authorization.k8s.io' })
    const tokenFile = join(folder, 'account.token')
    this.#write('zone-a.kubeconfig', a.kubeconfig({ tokenFile }))
    this.#write('zone-b.kubeconfig', await b.certificateKubeconfig(CERTIFIED))
    this.#write('zone-c.kubeconfig', this.embedded.server.kubeconfig())
    this.#write('zone-a.admin', a.adminKubeconfig)
    this.#write('zone-b.admin', b.adminKubeconfig)
    this.#write('zone-c.admin', this.embedded.server.kubeconfig())
    if (define !== false) for (const cluster of this.clusters) await defineWidgets(cluster.admin)
  }

  /** Asks for a token of the service account and puts it where the controller of zone-a reads it. */
  async renewToken(): Promise<void> {
    const answer = await this.a.admin.must(
      'POST',
      `/api/v1/namespaces/default/serviceaccounts/${ACCOUNT}/token`,
      { spec: { expirationSeconds: 3600 } },
    )
    // As the kubelet does it: the file is there at any time.
    this.#write('account.token.new', answer.body.status.token as string)
    renameSync(join(this.folder, 'account.token.new'), join(this.folder, 'account.token'))
  }

  /** Gives the account of zone-a its roles. */
  grantAccount(): Promise<void> {
    return grant(this.a.admin, { kind: 'ServiceAccount', name: ACCOUNT, namespace: 'default' })
  }

  /** Makes the account anew: tokens of the one before are worth nothing. */
  async replaceAccount(): Promise<void> {
    const path = '/api/v1/namespaces/default/serviceaccounts'
    await this.a.admin.must('DELETE', `${path}/${ACCOUNT}`)
    await this.a.admin.must('POST', path, { metadata: { name: ACCOUNT } })
  }

  start(zone: ZoneUnderTest, changes: object = {}): void {
    const status = { listen: `127.0.0.1:${zone.statusPort}`, tokenFile: 'status.token' }
    const others = this.zones.filter((each) => each !== zone)
    zone.start(others, { ...this.#config, status, ...changes })
  }

  async startAll(): Promise<void> {
    for (const zone of this.zones) this.start(zone)
    for (const zone of this.zones) {
      await until(`${zone.name} is joined`, async () => (await this.problem(zone)) === '', 90_000)
    }
  }

  /** Why a zone is not ready or has not heard of all others; empty when it is well. */
  async problem(zone: ZoneUnderTest): Promise<string> {
    const ready = await zone.readiness()
    if (ready !== 'ok') return ready
    const status = await this.status(zone)
    const waits = status.zones.find((row: { complete: boolean }) => !row.complete)
    return waits ? `waits for ${waits.zone}` : ''
  }

  /** The replication part of /status. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects, and fails where it is not
  async status(zone: ZoneUnderTest): Promise<any> {
    const answer = await fetch(`http://127.0.0.1:${zone.statusPort}/status`, {
      headers: { authorization: `Bearer ${STATUS_TOKEN}` },
    })
    return ((await answer.json()) as { replication: unknown }).replication
  }

  async close(): Promise<void> {
    await Promise.all(this.zones.map((zone) => zone.stop('SIGKILL')))
    await Promise.all(this.clusters.map((cluster) => cluster.close()))
    await this.embedded?.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text, { mode: 0o600 })
  }
}

export async function defineWidgets(admin: ApiUser): Promise<void> {
  await admin.must('POST', DEFINITIONS, widgetDefinition())
  await until('the kind is served', async () => (await admin.ask('GET', WIDGETS)).status === 200)
}

/** Gives a user the roles that the README of the controller shows, and nothing else. */
async function grant(admin: ApiUser, subject: object): Promise<void> {
  const manifests = /```yaml\n(apiVersion: rbac[\s\S]*?)```/.exec(readFileSync(README, 'utf8'))
  for (const document of parseAllDocuments(manifests![1]!)) {
    const role = document.toJS() as { kind: string; metadata: { name: string; namespace?: string } }
    const { namespace, name } = role.metadata
    const path = namespace === undefined ? RBAC : `${RBAC}/namespaces/${namespace}`
    const bindings = namespace === undefined ? 'clusterrolebindings' : 'rolebindings'
    await admin.must('POST', `${path}/${role.kind.toLowerCase()}s`, role)
    await admin.must('POST', `${path}/${bindings}`, {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: role.kind, name },
      subjects: [subject],
    })
  }
}
