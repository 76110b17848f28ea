/**
 * Which cluster the API server is of: the uid of its namespace `kube-system`, which no other cluster has.
 *
 * The rule: what is missing in another cluster was not deleted. So before a list that could show deletions, it is asked
 * whether the cluster is still the one of the start; one that was set up anew at the same address is told, not believed.
 *
 * Memory: one uid.
 */
import { type KubeClient, KubeError, NAMESPACES } from '../kube/index.ts'

export class ClusterIdentity {
  readonly #client: KubeClient
  #uid = ''

  constructor(client: KubeClient) {
    this.#client = client
  }

  /** Empty before it was learnt. */
  get uid(): string {
    return this.#uid
  }

  async learn(signal: AbortSignal): Promise<void> {
    this.#uid = await this.#now(signal)
  }

  /** @throws {KubeError} `KUBE_CLUSTER_REPLACED`, and what an answer of the API server may be. */
  async check(signal: AbortSignal): Promise<void> {
    const uid = await this.#now(signal)
    if (uid === this.#uid) return
    throw new KubeError(
      'KUBE_CLUSTER_REPLACED',
      `another cluster answers at this address (its kube-system has the uid ${uid}, not ${this.#uid}): nothing of it is taken; restart this program`,
    )
  }

  async #now(signal: AbortSignal): Promise<string> {
    const namespace = await this.#client.get(NAMESPACES, undefined, 'kube-system', { signal })
    return namespace.metadata.uid ?? ''
  }
}
