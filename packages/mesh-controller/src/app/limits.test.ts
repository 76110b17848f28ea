import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wireBytesLeast } from 'weir-mesh/plan'
import { parseConfig } from './config.ts'
import { planController } from './limits.ts'

test('the plan of a large mesh has room for a session with each zone', async () => {
  const { limits } = await planOf(63)
  const { frameBytesMax, wireBytesMax } = limits.sync
  assert.ok(wireBytesMax >= wireBytesLeast(frameBytesMax, 63))
})

function planOf(peers: number) {
  const config = {
    zone: 'zone-0',
    keyFile: 'zone-0.key',
    listen: '127.0.0.1:9102',
    networkId: 'limits',
    peers: Array.from({ length: peers }, (_, at) => ({
      zone: `zone-${at + 1}`,
      id: `${at + 1}`.padStart(64, '0'),
      addresses: ['127.0.0.1:9103'],
    })),
    kubernetes: { inCluster: true },
    resources: [{ group: 'demo.weir.example', version: 'v1', kind: 'Widget' }],
    memory: '1Gi',
    status: { listen: '127.0.0.1:8080' },
  }
  return parseConfig(JSON.stringify(config)).then(planController)
}
