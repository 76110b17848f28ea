/**
 * The controller's configuration: a YAML file, checked as a whole before anything starts. Unknown keys are refused,
 * and every message names the key and what belongs there.
 *
 * The launcher reads it; the running controller gets it parsed, so that it does not load the YAML parser.
 */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { findMemoryLimit, parseBytes } from 'weir-mesh/bounds'
import { parseAddress } from 'weir-mesh/plan'
import { WeirError } from 'weir-mesh/runtime'

/** The backends that reach another process. */
export const TRANSPORTS = Object.freeze(['quic', 'iroh'] as const)

export interface PeerConfig {
  readonly zone: string
  /** 64 hex digits. */
  readonly id: string
  readonly addresses: readonly string[]
}

export interface KubernetesConfig {
  readonly kubeconfig: string | undefined
  readonly inCluster: boolean
}

export interface ResourceEntry {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly namespaces: readonly string[] | undefined
}

export interface Config {
  readonly zone: string
  readonly keyFile: string
  /** Keeps the incarnation; without it the start time is the incarnation. */
  readonly dataDir: string | undefined
  readonly listen: string
  readonly networkId: string
  readonly transport: (typeof TRANSPORTS)[number]
  readonly peers: readonly PeerConfig[]
  readonly unknownPeers: 'refuse' | 'allow'
  readonly kubernetes: KubernetesConfig
  readonly resources: readonly ResourceEntry[]
  readonly memoryBytes: number
  readonly memorySource: 'option' | 'cgroup' | 'default'
  readonly statusListen: string
  /** The status token's file; without one, /status answers on loopback only. */
  readonly statusTokenFile: string | undefined
}

/**
 * Reads and checks a config file. Paths in it are relative to the file.
 *
 * @throws {WeirError} `CONFIG_UNREADABLE`, `CONFIG_INVALID` with every problem, each with its key.
 */
export async function readConfig(
  path: string,
  options: { readonly memory?: string } = {},
): Promise<Config> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new WeirError(
      'CONFIG_UNREADABLE',
      `the config file ${path} cannot be read; check --config`,
      {
        cause: error,
      },
    )
  }
  return parseConfig(text, { ...options, path, base: dirname(resolve(path)) })
}

/** As `readConfig`, for a text. `base` is the folder that paths are relative to. */
export async function parseConfig(
  text: string,
  options: { readonly memory?: string; readonly path?: string; readonly base?: string } = {},
): Promise<Config> {
  const path = options.path ?? 'config'
  const { parse } = await import('yaml')
  let value: unknown
  try {
    value = parse(text, { maxAliasCount: 16, uniqueKeys: true })
  } catch (error) {
    const what = error instanceof Error ? error.message.split('\n', 1)[0]!.replace(/:$/, '') : ''
    throw new WeirError('CONFIG_INVALID', `${path} is not YAML: ${what}`)
  }
  const { checkShape } = await import('./config-shape.ts')
  const given = checkShape(value, path)
  const problems = [...crossCheck(given)]
  if (problems.length > 0) throw invalid(path, problems)
  const at = (file: string) => resolve(options.base ?? '.', file)
  const option = options.memory ?? given.memory
  const limit = findMemoryLimit(option === undefined ? undefined : parseBytes(option))
  return {
    zone: given.zone,
    keyFile: at(given.keyFile),
    dataDir: given.dataDir === undefined ? undefined : at(given.dataDir),
    listen: given.listen,
    networkId: given.networkId,
    transport: given.transport,
    peers: given.peers,
    unknownPeers: given.unknownPeers,
    kubernetes: {
      inCluster: given.kubernetes.inCluster === true,
      kubeconfig:
        given.kubernetes.kubeconfig === undefined ? undefined : at(given.kubernetes.kubeconfig),
    },
    resources: given.resources.map((each) => ({ ...each, namespaces: each.namespaces })),
    memoryBytes: limit.bytes,
    memorySource: limit.source,
    statusListen: given.status.listen,
    statusTokenFile: given.status.tokenFile === undefined ? undefined : at(given.status.tokenFile),
  }
}

type Given = ReturnType<typeof import('./config-shape.ts').checkShape>

/** What a shape cannot say: references between keys. */
function* crossCheck(given: Given): IterableIterator<string> {
  for (const [key, address] of [
    ['listen', given.listen],
    ['status.listen', given.status.listen],
  ] as const) {
    if (!isAddress(address)) yield `${key}: '${address}' is not IP:PORT, for example 127.0.0.1:9102`
  }
  const zones = new Set([given.zone])
  const ids = new Set<string>()
  for (const [at, peer] of given.peers.entries()) {
    if (zones.has(peer.zone))
      yield `peers.${at}.zone: '${peer.zone}' is there twice; every zone has a name of its own`
    if (ids.has(peer.id)) yield `peers.${at}.id: two peers have the key ${peer.id.slice(0, 10)}…`
    zones.add(peer.zone)
    ids.add(peer.id)
    for (const address of peer.addresses) {
      if (!isAddress(address))
        yield `peers.${at}.addresses: '${address}' is not IP:PORT, for example 192.0.2.7:9102`
    }
  }
  const { inCluster, kubeconfig } = given.kubernetes
  if ((inCluster === true) === (kubeconfig !== undefined)) {
    yield 'kubernetes: give either kubeconfig: FILE or inCluster: true'
  }
  const kinds = new Set<string>()
  for (const [at, { group, kind }] of given.resources.entries()) {
    if (kinds.has(`${group}/${kind}`)) yield `resources.${at}: ${kind} is there twice`
    kinds.add(`${group}/${kind}`)
  }
  if (given.memory !== undefined) {
    try {
      parseBytes(given.memory)
    } catch (error) {
      yield `memory: ${(error as Error).message}`
    }
  }
}

function isAddress(text: string): boolean {
  try {
    parseAddress(text)
    return true
  } catch {
    return false
  }
}

export function invalid(path: string, problems: readonly string[]): WeirError {
  return new WeirError('CONFIG_INVALID', `${path}: ${problems.join('; ')}`)
}
