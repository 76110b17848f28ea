import { createSocket } from 'node:dgram'
import { seededRandom } from '../runtime/index.ts'
import { conformance } from '../transport/conformance.ts'
import { parseAddress } from '../transport/index.ts'
import { transport } from './index.ts'

conformance(transport, {
  unreadBytesMax: 512 * 1024,
  ownStreamLimits: false,
  async garbage(address) {
    const { host, port } = parseAddress(address)
    const random = seededRandom(5)
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    for (let each = 0; each < 200; each++) {
      const bytes = random.bytes(1 + random.below(1_400))
      await new Promise((resolve) => socket.send(bytes, port, host, resolve))
    }
    await new Promise<void>((resolve) => socket.close(() => resolve()))
  },
})
