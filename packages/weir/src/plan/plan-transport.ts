/** A transport by its name, planned; QUIC without loading more of it than its terms. */
import { transport as quic } from '../quic/index.ts'
import type { PlannedTransport, TransportLimits, TransportName } from '../transport/index.ts'

/** @throws {WeirError} as `loadTransport`. */
export async function planTransport(
  name: TransportName,
  limits?: Partial<TransportLimits>,
): Promise<PlannedTransport> {
  if (name === 'quic') return quic.plan(limits)
  const { loadTransport } = await import('../transport/index.ts')
  return (await loadTransport(name)).plan(limits)
}
