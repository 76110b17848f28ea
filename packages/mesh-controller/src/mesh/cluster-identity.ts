/**
 * Which cluster the API server is of, and whether what it says may be believed: the uid of its namespace `kube-system`,
 * which no other cluster has, and versions that only grow.
 *
 * The rule: what is missing in another cluster, or in a copy from the past, was not deleted. So before a list that could
 * show deletions, and before a watch goes on, it is asked whether the cluster is still the one of the start. Whether another
 * one counts is for a person to decide, by a restart: an address that leads astray for a while is not to change what a
 * zone has, and what a restored cluster lacks is perhaps nowhere but in the other zones.
 *
 * Memory: one uid and one error.
 */
import { describeError, type Logger } from 'weir-mesh/runtime'
import {
  compareResourceVersions,
  isKubeError,
  type KubeClient,
  KubeError,
  NAMESPACES,
  rewound,
} from '../kube/index.ts'

export class ClusterIdentity {
  readonly #client: KubeClient
  readonly #log: Logger
  #uid = ''
  #doubt: KubeError | undefined

  constructor(client: KubeClient, log: Logger) {
    this.#client = client
    this.#log = log
  }

  /** Empty before it was learnt. */
  get uid(): string {
    return this.#uid
  }

  /** Why nothing is taken from the cluster, with what to do; empty when it is believed. */
  get doubt(): string {
    return this.#doubt ? describeError(this.#doubt) : ''
  }

  async learn(signal: AbortSignal): Promise<void> {
    this.#uid = await this.#now(signal)
  }

  /** @throws {KubeError} `KUBE_CLUSTER_REPLACED`, `KUBE_REWOUND`, and what an answer of the API server may be. */
  async check(signal: AbortSignal): Promise<void> {
    this.#refuseRewound()
    const uid = await this.#now(signal)
    this.#refuseRewound() // a watch may have seen it meanwhile
    if (uid === this.#uid) return this.#believe()
    const error = new KubeError(
      'KUBE_CLUSTER_REPLACED',
      `another cluster answers at this address (its kube-system has the uid ${uid}, not ${this.#uid}): nothing of it is taken. If the address leads astray, mend it, and this goes on by itself; if the cluster was set up anew, restart this program: no zone deletes anything then`,
    )
    this.#distrust(error)
    throw error
  }

  /** As `check`, before a watch goes on: what else is wrong with the server shows there. */
  async checkWatch(signal: AbortSignal): Promise<void> {
    try {
      await this.check(signal)
    } catch (error) {
      if (this.#doubt || signal.aborted) throw error
    }
  }

  /**
   * @param seen a version that was known before the list was asked for.
   * @throws {KubeError} `KUBE_REWOUND` when the list is older.
   */
  checkVersion(seen: string, listed: string): void {
    if (seen === '' || listed === '' || compareResourceVersions(listed, seen) >= 0) return
    const error = rewound(seen, listed)
    this.noteFailure(error)
    throw error
  }

  /** Versions that went back are not believed again in this life: they grow past the old ones in time. */
  noteFailure(error: unknown): void {
    if (isKubeError(error, 'KUBE_REWOUND')) this.#distrust(error)
  }

  #refuseRewound(): void {
    if (this.#doubt?.code === 'KUBE_REWOUND') throw this.#doubt
  }

  #distrust(error: KubeError): void {
    if (this.#doubt?.code !== error.code) {
      this.#log.error('the cluster is not believed any more', { error: describeError(error) })
    }
    this.#doubt = error
  }

  #believe(): void {
    if (!this.#doubt) return
    this.#doubt = undefined
    this.#log.info('the cluster of the start answers again', { uid: this.#uid })
  }

  async #now(signal: AbortSignal): Promise<string> {
    const namespace = await this.#client.get(NAMESPACES, undefined, 'kube-system', { signal })
    return namespace.metadata.uid ?? ''
  }
}
