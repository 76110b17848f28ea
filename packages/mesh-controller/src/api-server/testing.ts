/** A cluster for tests: the embedded API on a free port, a client for it, and a ledger that must be empty afterwards. */
import { request as httpsRequest } from 'node:https'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { type Clock, Counters, Heartbeats, type Logger, Scope } from 'weir-mesh/runtime'
import {
  type ClusterConfig,
  DEFAULT_KUBE_LIMITS,
  isKubeError,
  type JsonObject,
  KubeClient,
  type KubeLimits,
  type KubeObject,
  kubeTerms,
  parseJson,
  type RequestFault,
  type ResourceRef,
  readKubeconfig,
} from '../kube/index.ts'
import type { Identity } from './certificate.ts'
import type { FaultHook } from './faults.ts'
import { type ApiLimits, apiTerms, DEFAULT_API_LIMITS } from './memory.ts'
import { ApiServer } from './server.ts'

/** The resource of the tests: one namespaced kind with a status, a default and a schema. */
export const WIDGETS: ResourceRef = Object.freeze({
  group: 'demo.weir.example',
  version: 'v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
})

export function widgetDefinition(): JsonObject {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'widgets.demo.weir.example' },
    spec: {
      group: 'demo.weir.example',
      scope: 'Namespaced',
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget', shortNames: ['wd'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
            { name: 'Color', type: 'string', jsonPath: '.spec.color' },
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: {
                spec: {
                  type: 'object',
                  properties: {
                    size: { type: 'integer', minimum: 0 },
                    color: { type: 'string', enum: ['red', 'green', 'blue'], default: 'red' },
                    note: { type: 'string' },
                    extra: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
                  },
                },
                status: {
                  type: 'object',
                  properties: { phase: { type: 'string' }, count: { type: 'integer' } },
                },
              },
            },
          },
        },
      ],
    },
  }
}

/** The path of the widgets of the default namespace. */
export const WIDGETS_PATH = '/apis/demo.weir.example/v1/namespaces/default/widgets'

export function widget(name: string, spec: JsonObject = {}, namespace = 'default'): KubeObject {
  return {
    apiVersion: 'demo.weir.example/v1',
    kind: 'Widget',
    metadata: { name, namespace },
    spec,
  }
}

export interface TestClusterOptions {
  readonly api?: Partial<ApiLimits>
  readonly kube?: Partial<KubeLimits>
  readonly bookmarkMs?: number
  readonly stuckMs?: number
  readonly clock?: Clock
  readonly log?: Logger
  readonly listen?: string
  readonly token?: string
  readonly identity?: Identity
  readonly fault?: RequestFault
}

export interface TestCluster {
  readonly scope: Scope
  readonly ledger: Ledger
  readonly server: ApiServer
  readonly client: KubeClient
  readonly config: ClusterConfig
  readonly counters: Counters
  readonly heartbeats: Heartbeats
  /** What goes wrong from now on; undefined for nothing. */
  faults: FaultHook | undefined
  /** Another client with its own limits would need its own ledger; this one shares the cluster's. */
  close(): Promise<void>
}

/** Opens a cluster with the Widget kind; `close` checks that nothing is left. */
export async function openCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const counters = new Counters()
  const scope = new Scope('test', {
    counters,
    ...(options.clock ? { clock: options.clock } : {}),
    ...(options.log ? { log: options.log } : {}),
  })
  const api = apiTerms({ ...DEFAULT_API_LIMITS, ...options.api })
  const kube = kubeTerms({ ...DEFAULT_KUBE_LIMITS, ...options.kube })
  const plan = planMemory([...Object.values(api), ...Object.values(kube)], { limitBytes: 2 ** 31 })
  const ledger = new Ledger(plan, { counters, assertLeaks: true })
  const server = await ApiServer.open({
    scope,
    ledger,
    terms: api,
    faults: (request) => cluster.faults?.(request),
    bookmarkMs: options.bookmarkMs ?? 200,
    ...(options.stuckMs === undefined ? {} : { stuckMs: options.stuckMs }),
    ...(options.listen === undefined ? {} : { listen: options.listen }),
    ...(options.token === undefined ? {} : { token: options.token }),
    ...(options.identity === undefined ? {} : { identity: options.identity }),
  })
  server.define(widgetDefinition())
  const config = readKubeconfig(parseJson(server.kubeconfig()), 'test')
  const client = new KubeClient({
    config,
    scope,
    ledger,
    terms: kube,
    ...(options.fault ? { fault: options.fault } : {}),
  })
  const cluster: TestCluster = {
    scope,
    ledger,
    server,
    client,
    config,
    counters,
    heartbeats: new Heartbeats(scope.clock),
    faults: undefined,
    async close() {
      await scope.close()
      ledger.assertEmpty()
    },
  }
  return cluster
}

/** Runs a test in a cluster and closes it, whatever happens. */
export async function withCluster(
  run: (cluster: TestCluster) => Promise<void>,
  options: TestClusterOptions = {},
): Promise<void> {
  const cluster = await openCluster(options)
  try {
    await run(cluster)
  } catch (error) {
    await cluster.scope.close()
    throw error
  }
  await cluster.close()
}

export interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly text: string
  readonly body: JsonObject
}

export interface Ask {
  readonly method?: string
  readonly body?: unknown
  readonly type?: string
  readonly accept?: string
  readonly token?: string | undefined
}

/** A request as any client may send it, without the kube client in between. */
export function ask(cluster: TestCluster, path: string, options: Ask = {}): Promise<Answer> {
  const {
    body,
    type = 'application/json',
    accept,
    method = body === undefined ? 'GET' : 'POST',
  } = options
  const text =
    typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body)
  const token = 'token' in options ? options.token : cluster.server.token
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      new URL(path, cluster.server.url),
      {
        method,
        ca: cluster.server.identity.certificate,
        agent: false,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(accept === undefined ? {} : { accept }),
          ...(text === undefined
            ? {}
            : { 'content-type': type, 'content-length': Buffer.byteLength(text) }),
        },
      },
      (response) => {
        let answer = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (answer += chunk))
        response.on('error', reject)
        response.on('end', () => {
          const json = String(response.headers['content-type']).startsWith('application/json')
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: answer,
            // The lines of a watch are the test's own affair.
            body: json && /^.+\n?$/.test(answer) ? (JSON.parse(answer) as JsonObject) : {},
          })
        })
      },
    )
    request.on('error', reject)
    request.end(text)
  })
}

/** Waits until a condition holds; fails with what was waited for. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limitMs = 20_000,
): Promise<void> {
  const end = Date.now() + limitMs
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise<void>((resolve) => setTimeout(resolve, 5))
  }
}

/** A widget as the cluster has it; undefined when there is none. */
export async function findWidget(
  client: KubeClient,
  name: string,
  namespace = 'default',
): Promise<KubeObject | undefined> {
  try {
    return await client.get(WIDGETS, namespace, name)
  } catch (error) {
    if (isKubeError(error, 'KUBE_NOT_FOUND')) return undefined
    throw error
  }
}
