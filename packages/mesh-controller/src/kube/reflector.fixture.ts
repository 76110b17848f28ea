/** A reflector that writes down what it is told, and ways to make its watches fail. */
import type { FaultHook } from '../api-server/index.ts'
import { type TestCluster, WIDGETS } from '../api-server/testing.ts'
import { Reflector, type ReflectorEvent, type ReflectorOptions } from './reflector.ts'

export type ReflectorTestOptions = Partial<ReflectorOptions<number>>

/** A reflector that remembers sizes and writes down what it is told. */
export function watch(cluster: TestCluster, options: ReflectorTestOptions = {}) {
  const log: string[] = []
  const events: ReflectorEvent<number>[] = []
  const reflector = new Reflector<number>({
    client: cluster.client,
    resource: WIDGETS,
    namespaces: ['default'],
    heartbeats: cluster.heartbeats,
    backoffMs: { first: 5, most: 50 },
    project: (object) => ((object['spec'] ?? {}) as { size?: number }).size ?? -1,
    onEvent(event) {
      events.push(event)
      log.push(
        `${event.type} ${event.name} ${event.projection ?? `was ${event.previous?.projection}`}`,
      )
    },
    ...options,
  })
  return { reflector, log, events }
}

export const isWatch: (path: string, fault: ReturnType<FaultHook>) => FaultHook =
  (path, fault) => (request) =>
    request.watch && request.path.endsWith(path) ? fault : undefined

/** Makes every open watch too old: something changed that it was not told, and the history is gone. */
export async function expire(cluster: TestCluster, meanwhile?: () => Promise<void>): Promise<void> {
  cluster.server.stallWatches()
  await cluster.client.createEvent(
    { apiVersion: 'v1', kind: 'Namespace', name: 'default' },
    { type: 'Normal', reason: 'Test', message: 'moves the revision on' },
  )
  await meanwhile?.()
  cluster.server.compact()
  cluster.server.cutWatches()
}
