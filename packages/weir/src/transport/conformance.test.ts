import { conformance } from './conformance.ts'
import { memoryTransport } from './load.ts'
import { MemoryNetwork } from './memory-network.ts'

conformance(memoryTransport(new MemoryNetwork()), {
  unreadBytesMax: 64 * 1024,
  ownStreamLimits: false,
})
