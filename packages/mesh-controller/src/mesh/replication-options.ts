/** What replication of one zone is given, and what it says of the others. Memory: none of its own. */
import type { Ledger } from 'weir-mesh/bounds'
import type { KeyPair, TopicId } from 'weir-mesh/core'
import type { Heartbeats, Random, Scope } from 'weir-mesh/runtime'
import type { LogName, LogStore, StoredOperation } from 'weir-mesh/store'
import type { Published } from 'weir-mesh/sync'
import type { KubeClient } from '../kube/index.ts'
import type { MeshLimits, meshTerms } from './memory.ts'

export interface ResourceConfig {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly namespaces?: readonly string[]
}

/** Lets tests stop or stall a part; each must show in the readiness check. */
export interface ReplicationFaults {
  readonly ownLog?: () => Promise<void> | void
  readonly apply?: () => Promise<void> | void
  readonly watch?: (stage: 'list' | 'watch' | 'event') => Promise<void> | void
}

export interface ReplicationOptions {
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: ReturnType<typeof meshTerms>
  readonly limits: MeshLimits
  readonly heartbeats: Heartbeats
  readonly random: Random
  readonly zone: string
  readonly incarnation: number
  readonly key: KeyPair
  readonly topic: TopicId
  readonly resources: readonly ResourceConfig[]
  readonly client: KubeClient
  readonly store: LogStore
  /** Whether a key that nobody configured may speak for a zone whose name is free. Default false. */
  readonly bindUnknown?: boolean
  /** Keeps an own operation and offers it to the peers. */
  readonly publish: (operation: StoredOperation) => Promise<Published>
  /** Removes a log that does not count any more from the store. */
  readonly deleteLog: (log: LogName) => Promise<unknown>
  readonly faults?: ReplicationFaults
  /** Silence after which a part counts as stalled. Default 8 000 ms. */
  readonly heartbeatMs?: number
}

export interface ZoneStatus {
  readonly zone: string
  readonly id: string
  readonly objects: number
  /** Whether a snapshot of its present log was read to the end. */
  readonly complete: boolean
  /** Its log is read from the begin: what it wants is written when that has come to the present. */
  readonly catchingUp: boolean
  readonly cluster: string
  readonly incarnation: number
  readonly sequence: number
}
