/**
 * Signals for whoever watches memory, only with `WEIR_ASSERT=1`: SIGUSR2 forces a collection and writes one line with
 * what the process holds to standard error. Leak tests use it; in production nothing listens.
 */
import { forceCollection } from 'weir-mesh/bounds'
import type { Controller } from './controller.ts'

export function runHooks(controller: Controller): Disposable {
  if (process.env.WEIR_ASSERT !== '1') return { [Symbol.dispose]() {} }
  const report = () => {
    forceCollection()
    const { heapUsed, arrayBuffers, external, rss } = process.memoryUsage()
    const line = {
      event: 'memory',
      zone: controller.zone,
      heapUsed,
      arrayBuffers,
      external,
      rss,
      accounts: controller.ledger.costBytes,
      objects: controller.replication.status.objects,
    }
    process.stderr.write(`${JSON.stringify(line)}\n`)
  }
  process.on('SIGUSR2', report)
  return { [Symbol.dispose]: () => void process.off('SIGUSR2', report) }
}
