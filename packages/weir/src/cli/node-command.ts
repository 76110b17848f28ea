/**
 * What `pub` and `sub` have in common: their options, and the way from the command line through the launcher to an open
 * node.
 */
import { join } from 'node:path'
import { Command } from 'commander'
import { findMemoryLimit, formatPlan, type MemoryLimit, type Plan } from '../bounds/index.ts'
import { equalBytes } from '../codec/index.ts'
import { idHex, type KeyPair, nodeIdFromHex, topicIdFromHex, topicName } from '../core/index.ts'
import { Node, type NodePlan, planNode, readKeyFile } from '../node/index.ts'
import { StatusServer } from '../observe/index.ts'
import { createLogger, type LogLevel, WeirError } from '../runtime/index.ts'
import { parseAddress, type TransportName } from '../transport/index.ts'
import {
  parseListen,
  parseLogLevel,
  parseMemory,
  parseNetworkId,
  parsePeer,
  parseTopic,
  parseTransport,
} from './arguments.ts'
import { launch, launched } from './launcher.ts'
import { LINE_BYTES_MAX, LINE_TERMS } from './memory.ts'
import { UntilEnd } from './until-end.ts'

/** Everything a node command needs, as it goes through the launcher: JSON. */
export interface NodeConfig {
  readonly topic: string
  readonly key: string
  readonly data: string
  readonly bind: string
  readonly peers: readonly { readonly id: string; readonly addresses: readonly string[] }[]
  readonly networkId: string
  readonly transport: TransportName
  readonly memoryBytes: number
  readonly status: string | undefined
  readonly knownPeersOnly: boolean
  readonly exitWithStdin: boolean
  readonly logLevel: LogLevel
}

/** Header, the head of the CBOR text, and what stands around an operation in a frame. */
const SPARE_BYTES = 8 * 1024
/** Rows of the plan that are shown at start, the largest: all of them would fill two screens. */
const PLAN_ROWS = 12

interface Options {
  readonly topic: ReturnType<typeof parseTopic>
  readonly key: string
  readonly data: string
  readonly bind: string
  readonly peer: readonly ReturnType<typeof parsePeer>[]
  readonly networkId: string
  readonly transport: TransportName
  readonly memory?: number
  readonly status?: string
  readonly knownPeersOnly: boolean
  readonly exitWithStdin: boolean
  readonly logLevel: LogLevel
  readonly quiet: boolean
}

/** Runs with an open node until `end` is aborted. */
export type NodeProgram = (node: Node, config: NodeConfig, end: UntilEnd) => Promise<void>

/** A command with the options of a node. `done` gets the exit code. */
export function nodeCommand(
  name: string,
  description: string,
  program: NodeProgram,
  done: (code: number) => void,
): Command {
  return new Command(name)
    .description(description)
    .requiredOption(
      '--topic <topic>',
      'id of 64 hex digits, or a name, whose BLAKE3 hash is the id',
      parseTopic,
    )
    .requiredOption('--key <file>', 'the key file, made by weir keygen')
    .requiredOption('--data <folder>', 'where the logs are kept; one process at a time')
    .option('--bind <address>', 'UDP address to bind', parseListen, '127.0.0.1:0')
    .option(
      '--peer <id@address>',
      'a node to keep a session with; may be repeated',
      (text: string, before: Options['peer']) => [...before, parsePeer(text)],
      [],
    )
    .option('--network-id <text>', 'nodes of other networks never meet', parseNetworkId, 'p2panda')
    .option('--transport <name>', 'the transport backend', parseTransport, 'quic')
    .option('--memory <size>', 'limit of the process, such as 200Mi', parseMemory)
    .option('--status <address>', 'serve /livez, /readyz and /metrics there', parseListen)
    .option('--known-peers-only', 'refuse nodes that are no --peer', false)
    .option('--exit-with-stdin', 'end when standard input ends', false)
    .option('--log-level <level>', 'debug, info, warn or error', parseLogLevel, 'info')
    .option('--quiet', 'no plan, and only warnings', false)
    .action(async (options: Options) => done(await start(options, program)))
}

async function start(options: Options, program: NodeProgram): Promise<number> {
  const before = launched<NodeConfig>()
  if (before) return run(before, program)
  const limit = findMemoryLimit(options.memory)
  const config = configOf(options, limit)
  // What the user has to mend is said before anything starts.
  checkPeers(config, readKeyFile(config.key))
  const { plan } = await planOf(config)
  if (!options.quiet) {
    console.error(planText(plan, limit, { rowsMax: PLAN_ROWS }))
    console.error('weir: "weir plan" prints all rows')
  }
  return (await launch({ plan, config })) ?? (await run(config, program))
}

/** The plan of `pub` and `sub`: one topic, with the line that is read. */
export async function planOf(
  config: Pick<NodeConfig, 'memoryBytes' | 'transport'>,
): Promise<NodePlan> {
  return planNode({
    memoryBytes: config.memoryBytes,
    transport: config.transport,
    durable: true,
    topicsMax: 1,
    program: 'library',
    extraTerms: Object.values(LINE_TERMS),
  })
}

export function planText(
  plan: Plan,
  limit: MemoryLimit,
  options: { readonly rowsMax?: number } = {},
): string {
  const from = { option: 'as given', cgroup: 'of the cgroup', default: 'by default' }[limit.source]
  return `memory plan, limit ${from}:\n${formatPlan(plan, options)}`
}

function configOf(options: Options, limit: MemoryLimit): NodeConfig {
  const { key, data, bind, networkId, transport, knownPeersOnly, exitWithStdin } = options
  return {
    topic: idHex(options.topic),
    key,
    data,
    bind,
    peers: options.peer.map(({ node, addresses }) => ({ id: idHex(node), addresses })),
    networkId,
    transport,
    memoryBytes: limit.bytes,
    status: options.status,
    knownPeersOnly,
    exitWithStdin,
    logLevel: options.quiet && options.logLevel === 'info' ? 'warn' : options.logLevel,
  }
}

function checkPeers(config: NodeConfig, key: KeyPair): void {
  if (!config.peers.some(({ id }) => equalBytes(nodeIdFromHex(id), key.id))) return
  throw new WeirError(
    'PEER_INVALID',
    'a --peer has the key of this node; each node needs a key file of its own',
  )
}

async function run(config: NodeConfig, program: NodeProgram): Promise<number> {
  using end = new UntilEnd()
  const plan = await planOf(config)
  await using node = await Node.open({
    memoryBytes: config.memoryBytes,
    plan,
    key: readKeyFile(config.key),
    store: { path: join(config.data, 'weir.db') },
    listen: config.bind,
    networkId: config.networkId,
    peers: config.peers.map(({ id, addresses }) => ({ node: nodeIdFromHex(id), addresses })),
    unknownPeers: config.knownPeersOnly ? 'refuse' : 'accept',
    log: createLogger({ level: config.logLevel, format: 'text' }),
  })
  if (config.status !== undefined) await openStatus(node, config.status)
  console.error(`weir: node ${idHex(node.id)} on ${node.addresses.join(' ')}`)
  console.error(
    `weir: topic ${config.topic}, called ${topicName(topicOf(config))} in logs and in /status`,
  )
  await program(node, config, end)
  return 0
}

async function openStatus(node: Node, listen: string): Promise<void> {
  const { scope, ledger, planned, health, heartbeats } = node
  const server = await StatusServer.open({
    scope,
    ledger,
    terms: planned.terms.observe,
    limits: planned.limits.observe,
    listen: parseAddress(listen),
    health,
    heartbeats,
  })
  console.error(`weir: health and metrics on ${server.url}`)
}

export const topicOf = (config: NodeConfig) => topicIdFromHex(config.topic)

/** Longest line that fits into an operation of this node. */
export function lineBytesMax(node: Node): number {
  const { operationBytesMax } = node.planned.limits.topics
  return Math.min(LINE_BYTES_MAX, operationBytesMax - SPARE_BYTES)
}
