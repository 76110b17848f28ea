import { createSocket } from 'node:dgram'
import { seededRandom } from 'weir-mesh/runtime'
import { parseAddress, type Transport } from 'weir-mesh/transport'
import { conformance } from '../../weir/src/transport/conformance.ts'
import { transport } from './index.ts'

conformance(transport as Transport, {
  unreadBytesMax: 2 * 1024 * 1024,
  ownStreamLimits: true,
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
