/**
 * Where a cluster is and how it is asked: from a kubeconfig file, or from what a pod is given.
 *
 * Nothing is held beyond the values themselves. Files that are named stay names: tokens and certificates rotate.
 */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { describeError, WeirError } from 'weir-mesh/runtime'
import { isJsonObject, type Json, type JsonObject, parseJson } from './json.ts'

/** PEM text, or the file that holds it. */
export type PemSource = { readonly pem: string } | { readonly file: string }

export interface ClusterConfig {
  /** `https://host:port`, with a path where the API is not at the root. */
  readonly server: string
  /** Who signs the server's certificate. Default: the public authorities. */
  readonly ca?: PemSource
  readonly insecureSkipTlsVerify?: boolean
  /** The name in the server's certificate when it is not the host of `server`. */
  readonly tlsServerName?: string
  readonly token?: string
  /** Read again at least every minute, and after a 401. */
  readonly tokenFile?: string
  readonly certificate?: PemSource
  readonly key?: PemSource
  /** The namespace of the context. */
  readonly namespace?: string
}

const FILE_BYTES_MAX = 1024 * 1024
const IN_CLUSTER = '/var/run/secrets/kubernetes.io/serviceaccount'

/**
 * Reads a kubeconfig. JSON is read as it is; anything else is YAML, for which the parser is loaded first.
 *
 * @throws {WeirError} `KUBECONFIG_UNREADABLE`, `KUBECONFIG_INVALID`, `KUBECONFIG_UNSUPPORTED`.
 */
export async function loadKubeconfig(path: string, context?: string): Promise<ClusterConfig> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new WeirError(
      'KUBECONFIG_UNREADABLE',
      `cannot read the kubeconfig ${path}; check kubernetes.kubeconfig and the permissions of the file`,
      {
        cause: error,
      },
    )
  }
  if (text.length > FILE_BYTES_MAX) {
    throw invalid(path, `it is larger than ${FILE_BYTES_MAX} bytes`)
  }
  return readKubeconfig(await parseDocument(path, text), path, context)
}

async function parseDocument(path: string, text: string): Promise<Json> {
  try {
    if (text.trimStart().startsWith('{')) return parseJson(text)
    const { parse } = await import('yaml')
    return parse(text, { maxAliasCount: 0 }) as Json
  } catch (error) {
    throw invalid(path, describeError(error).split('\n')[0] ?? '')
  }
}

/** Reads a kubeconfig that is parsed already; `path` is for messages and for relative file names. */
export function readKubeconfig(document: Json, path: string, context?: string): ClusterConfig {
  if (!isJsonObject(document)) throw invalid(path, 'it is not a mapping')
  const wanted = context ?? text(document, 'current-context')
  if (!wanted) throw invalid(path, 'it has no current-context; name a context')
  const chosen = entry(document, 'contexts', wanted, 'context', path)
  const clusterName = text(chosen, 'cluster')
  const userName = text(chosen, 'user')
  if (!clusterName) throw invalid(path, `the context '${wanted}' names no cluster`)
  const cluster = entry(document, 'clusters', clusterName, 'cluster', path)
  const user = userName ? entry(document, 'users', userName, 'user', path) : {}
  for (const name of ['exec', 'auth-provider', 'username', 'password']) {
    if (Object.hasOwn(user, name)) {
      throw new WeirError(
        'KUBECONFIG_UNSUPPORTED',
        `the kubeconfig ${path} uses '${name}' for the user '${userName}'; use a token, a token file or a client certificate`,
      )
    }
  }
  const server = text(cluster, 'server') ?? ''
  checkServer(server, path)
  const folder = dirname(path)
  const ca = pemSource(cluster, 'certificate-authority', folder, path)
  const certificate = pemSource(user, 'client-certificate', folder, path)
  const key = pemSource(user, 'client-key', folder, path)
  if ((certificate === undefined) !== (key === undefined)) {
    throw invalid(path, `the user '${userName}' has only one of client certificate and client key`)
  }
  const token = text(user, 'token')
  const tokenFile = text(user, 'tokenFile')
  const tlsServerName = text(cluster, 'tls-server-name')
  const namespace = text(chosen, 'namespace')
  return {
    server,
    ...(ca ? { ca } : {}),
    ...(cluster['insecure-skip-tls-verify'] === true ? { insecureSkipTlsVerify: true } : {}),
    ...(tlsServerName ? { tlsServerName } : {}),
    ...(token ? { token } : {}),
    ...(tokenFile ? { tokenFile: resolve(folder, tokenFile) } : {}),
    ...(certificate && key ? { certificate, key } : {}),
    ...(namespace ? { namespace } : {}),
  }
}

/**
 * The cluster that this process runs in as a pod.
 *
 * @throws {WeirError} `KUBE_NOT_IN_CLUSTER`.
 */
export function inClusterConfig(
  environment: NodeJS.ProcessEnv = process.env,
  folder = IN_CLUSTER,
): ClusterConfig {
  const host = environment['KUBERNETES_SERVICE_HOST']
  const port = environment['KUBERNETES_SERVICE_PORT']
  if (!host || !port) {
    throw new WeirError(
      'KUBE_NOT_IN_CLUSTER',
      'KUBERNETES_SERVICE_HOST is not set: this is not a pod; name a kubeconfig instead of inCluster',
    )
  }
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: { file: `${folder}/ca.crt` },
    tokenFile: `${folder}/token`,
  }
}

function checkServer(server: string, path: string): void {
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol)) {
    throw invalid(path, `the server '${server.slice(0, 200)}' is not an http or https URL`)
  }
}

function entry(
  document: JsonObject,
  list: string,
  name: string,
  field: string,
  path: string,
): JsonObject {
  const items = document[list]
  if (Array.isArray(items)) {
    for (const item of items) {
      if (!isJsonObject(item) || item['name'] !== name) continue
      const value = item[field]
      if (isJsonObject(value)) return value
    }
  }
  throw invalid(path, `it has no ${field} '${name}'`)
}

function text(object: JsonObject, name: string): string | undefined {
  const value = Object.hasOwn(object, name) ? object[name] : undefined
  return typeof value === 'string' && value !== '' ? value : undefined
}

function pemSource(
  object: JsonObject,
  name: string,
  folder: string,
  path: string,
): PemSource | undefined {
  const inline = text(object, `${name}-data`)
  if (inline) {
    const pem = Buffer.from(inline, 'base64').toString('utf8')
    if (!pem.includes('-----BEGIN ')) throw invalid(path, `${name}-data is not PEM in base64`)
    return { pem }
  }
  const file = text(object, name)
  return file ? { file: resolve(folder, file) } : undefined
}

function invalid(path: string, why: string): WeirError {
  return new WeirError('KUBECONFIG_INVALID', `the kubeconfig ${path} cannot be used: ${why}`)
}
