/**
 * Signals for whoever watches memory, only with `WEIR_ASSERT=1`: SIGUSR2 forces a collection and writes one line with
 * what the process holds to standard error. Leak tests use it; in production nothing listens.
 */
import { getHeapSpaceStatistics } from 'node:v8'
import { forceCollection } from 'weir-mesh/bounds'
import type { Controller } from './controller.ts'

/** Where V8 keeps machine code and bytecode with their tables, and nothing that a program makes. */
const CODE_SPACES = /^(code|trusted)_/

export function runHooks(controller: Controller): Disposable {
  if (process.env.WEIR_ASSERT !== '1') return { [Symbol.dispose]() {} }
  const report = () => {
    forceCollection()
    const { heapUsed, arrayBuffers, external, rss } = process.memoryUsage()
    const line = {
      event: 'memory',
      zone: controller.zone,
      heapUsed,
      codeUsed: codeBytes(),
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

function codeBytes(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name: name }) => CODE_SPACES.test(name))
    .reduce((sum, space) => sum + space.space_used_size, 0)
}
