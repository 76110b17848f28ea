/** The shape of the config file, in valibot. Loaded by the launcher only. */
import * as v from 'valibot'
import { invalid, TRANSPORTS } from './config.ts'

const zone = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'a zone is a DNS label such as zone-a'),
)
const id = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{64}$/, 'an id has 64 hex digits; `weir keygen` prints it'),
)
const text = v.pipe(v.string(), v.minLength(1, 'must not be empty'))

const peer = v.strictObject({ zone, id, addresses: v.pipe(v.array(text), v.maxLength(16)) })

const resource = v.strictObject({
  group: v.string(),
  version: text,
  kind: text,
  namespaces: v.exactOptional(
    v.pipe(v.array(text), v.minLength(1, 'leave it out for all namespaces')),
  ),
})

const shape = v.strictObject({
  zone,
  keyFile: text,
  dataDir: v.exactOptional(text),
  listen: text,
  networkId: text,
  transport: v.optional(v.picklist(TRANSPORTS, 'is quic or iroh'), 'quic'),
  peers: v.optional(v.pipe(v.array(peer), v.maxLength(63, 'at most 63 peers')), []),
  unknownPeers: v.optional(v.picklist(['refuse', 'allow'], 'is refuse or allow'), 'refuse'),
  kubernetes: v.strictObject({
    kubeconfig: v.exactOptional(text),
    inCluster: v.exactOptional(v.boolean()),
  }),
  resources: v.pipe(
    v.array(resource),
    v.minLength(1, 'needs at least one kind'),
    v.maxLength(8, 'at most 8 kinds'),
  ),
  memory: v.exactOptional(v.pipe(v.union([text, v.number()]), v.transform(String))),
  status: v.optional(
    v.strictObject({
      listen: v.optional(text, '127.0.0.1:8080'),
      tokenFile: v.exactOptional(text),
    }),
    {},
  ),
})

/** @throws {WeirError} `CONFIG_INVALID` naming every key that is wrong, missing or unknown. */
export function checkShape(value: unknown, path: string): v.InferOutput<typeof shape> {
  const result = v.safeParse(shape, value ?? {})
  if (result.success) return result.output
  throw invalid(path, result.issues.slice(0, 10).map(describe))
}

function describe(issue: v.BaseIssue<unknown>): string {
  const key = v.getDotPath(issue) ?? ''
  if (issue.type === 'strict_object') {
    return issue.received === 'undefined'
      ? `${key} is missing`
      : `${key} is not a key of the config`
  }
  const received = issue.received.length > 60 ? `${issue.received.slice(0, 60)}…` : issue.received
  if (received === 'undefined') return `${key} is missing`
  return `${key}: ${issue.message}${issue.message.includes('eceived') ? '' : ` (it is ${received})`}`
}
