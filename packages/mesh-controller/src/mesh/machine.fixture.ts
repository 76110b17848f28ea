/** A replication machine of zone-a that knows zone-b; what it asks for is kept in lists. */
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { blake3, type NodeId, zoneLogId } from 'weir-mesh/core'
import { instant } from 'weir-mesh/machine'
import { REST_MS } from './catching-up.ts'
import { contentHash, encodeContent } from './content.ts'
import { meshTerms } from './memory.ts'
import { meshTopic } from './names.ts'
import { decodeBody, encodeBegin } from './protocol.ts'
import {
  type ReplicationEffects,
  type ReplicationEvent,
  ReplicationMachine,
} from './replication-machine.ts'
import type { Observed } from './row.ts'

export const topic = meshTopic(blake3(Uint8Array.of(1)))
export const other = blake3(Uint8Array.of(2)) as Uint8Array as NodeId
export const stranger = blake3(Uint8Array.of(3)) as Uint8Array as NodeId
export const named = (name: string) => ({ resource: 'g/Widget', namespace: 'default', name })
export const bytes = (value: number) => encodeContent({ spec: { value } })
export const item = (name: string, value: number) => ({
  ...named(name),
  version: '1',
  content: bytes(value),
})

export function setUp(objectsMax = 64) {
  const terms = meshTerms({
    objectsMax,
    zonesMax: 4,
    publishBytesMax: 1 << 22,
    logBytesMax: 1 << 24,
    appliesMax: 4,
    pendingMax: 8,
  })
  const ledger = new Ledger(planMemory(Object.values(terms), { limitBytes: 1 << 28 }))
  const machine = new ReplicationMachine({
    zone: 'zone-a',
    incarnation: 1,
    topic,
    appliesMax: 4,
    accounts: {
      objects: ledger.require(terms.objects),
      zones: ledger.require(terms.zones),
      chunk: ledger.require(terms.chunk),
    },
  })
  machine.bind('zone-b', other)
  const done: string[] = []
  const published: { kind: string; name: string; prune: boolean; bytes: number }[] = []
  const effects: ReplicationEffects = {
    publish(_seq, body, prune) {
      const read = decodeBody(body)
      const name =
        read.kind === 'put'
          ? read.item.name
          : read.kind === 'delete'
            ? read.name.name
            : read.kind === 'chunk'
              ? read.items.map((each) => each.name).join(' ')
              : ''
      published.push({ kind: read.kind, name, prune, bytes: body.length })
    },
    apply: (row, action) => void done.push(`${action.type} ${row.name}`),
    refetch: (row) => void done.push(`refetch ${row.name}`),
    conflict: (row, zone) => void done.push(`conflict ${row.name} ${zone.name}`),
    dropLog: (_author, logId) =>
      void done.push(`drop ${Buffer.from(logId.subarray(0, 2)).toString('hex')}`),
    problem: (problem, zone) => void done.push(`problem ${problem} ${zone}`),
    snapshotApplied: (zone) => void done.push(`applied ${zone.name}`),
  }
  const clock = { ms: 0 }
  let seq = 0
  const handle = (event: ReplicationEvent) =>
    machine.handle(event, instant(clock.ms * 1000), effects)
  /** Nothing comes for so long that what was read counts as the present. */
  const rest = () => {
    clock.ms += REST_MS
    machine.wake(instant(clock.ms * 1000), effects)
  }
  /** Reads an operation; the last one of its log that is known, unless there is a height. */
  const operation = (
    body: Uint8Array,
    fields: {
      incarnation?: number
      author?: NodeId
      zone?: string
      seq?: number
      height?: number
    } = {},
  ) => {
    seq = fields.seq ?? seq
    handle({
      type: 'operation',
      author: fields.author ?? other,
      logId: zoneLogId(topic, fields.zone ?? 'zone-b', fields.incarnation ?? 1),
      seq,
      height: fields.height ?? seq + 1,
      body,
    })
    seq++
  }
  const begin = (
    snapshot: number,
    fields: { incarnation?: number; cluster?: string; seq?: number; height?: number } = {},
  ) =>
    operation(
      encodeBegin('zone-b', { incarnation: 1, cluster: 'cb', ...fields, snapshot, count: 0 }),
      fields,
    )
  const observed = (name: string, fields: Partial<Observed>, value = 1) =>
    handle({
      type: 'observed',
      name: named(name),
      observed: {
        uid: `u-${name}`,
        version: '5',
        owner: '',
        cluster: '',
        hash: contentHash(bytes(value)),
        ...fields,
      },
      content: bytes(value),
    })
  const close = () => {
    machine[Symbol.dispose]()
    ledger.assertEmpty()
  }
  return {
    machine,
    effects,
    handle,
    operation,
    begin,
    observed,
    done,
    published,
    clock,
    rest,
    close,
  }
}
