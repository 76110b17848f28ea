import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { takePorts } from './demo-ports.ts'

/** Another process that takes as many from this block on, and says which; it lives until its standard input ends. */
async function another(
  block: number,
): Promise<{ readonly child: ChildProcess; readonly ports: readonly number[] } & Disposable> {
  const program = `
    import { takePorts } from ${JSON.stringify(new URL('demo-ports.ts', import.meta.url).href)}
    console.log(JSON.stringify(await takePorts(3, { block: ${block} })))
    process.stdin.resume()`
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = spawn(
    process.execPath,
    ['--conditions=weir-source', '--input-type=module', '--eval', program],
    { stdio: ['pipe', 'pipe', 'inherit'], env },
  )
  const [text] = (await once(child.stdout, 'data')) as [Buffer]
  return {
    child,
    ports: JSON.parse(`${text}`) as number[],
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}

/** A block that nobody has at the moment. */
async function freeBlock(): Promise<number> {
  for (;;) {
    const block = Math.floor(Math.random() * 500)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(20_000 + 20 * block, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => server.close(resolve))
    return block
  }
}

test('two callers get different ports, although neither listens on one yet', async () => {
  const block = await freeBlock()
  const first = await takePorts(4, { block })
  const lists = await Promise.all([9, 6, 19].map((count) => takePorts(count, { block })))
  const ports = [...first, ...lists.flat()]
  assert.equal(ports.length, 38)
  assert.equal(new Set(ports).size, 38)
  for (const port of ports) assert.ok(port > 20_000 && port < 30_000, `${port}`)
})

test('so do two processes, and what one had is free when it ends, by itself or killed with -9', async () => {
  using first = await another(await freeBlock())
  const block = Math.floor((first.ports[0]! - 20_000) / 20)
  const other = await takePorts(3, { block })
  assert.equal(new Set([...first.ports, ...other]).size, 6)
  first.child.stdin!.end()
  assert.deepEqual(await once(first.child, 'exit'), [0, null])
  using second = await another(block)
  assert.deepEqual(second.ports, first.ports)
  second.child.kill('SIGKILL')
  await once(second.child, 'exit')
  assert.deepEqual(await takePorts(3, { block }), first.ports)
})

test('ports that others listen on are passed over, for TCP and for UDP', async () => {
  const block = await freeBlock()
  const at = 20_000 + 20 * block
  const server = createServer().listen(at + 1, '127.0.0.1')
  await once(server, 'listening')
  const socket = createSocket('udp4').bind(at + 3, '127.0.0.1')
  await once(socket, 'listening')
  try {
    const ports = await takePorts(17, { block, blocks: 1 })
    assert.deepEqual(ports.slice(0, 3), [at + 2, at + 4, at + 5])
    assert.equal(ports.length, 17)
  } finally {
    server.close()
    socket.close()
  }
})

test('a block with too few is left to others, and where no block has enough that is told', async () => {
  const block = await freeBlock()
  const port = 20_000 + 20 * block + 7
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  try {
    await assert.rejects(takePorts(19, { block, blocks: 1 }), {
      code: 'DEMO_NO_PORTS',
      message: /^127\.0\.0\.1 has no 19 free ports .* from 20000 to 29999; end what listens there/,
    })
    assert.equal((await takePorts(18, { block, blocks: 1 })).length, 18)
  } finally {
    server.close()
  }
  await assert.rejects(takePorts(1, { block, blocks: 1 }), { code: 'DEMO_NO_PORTS' })
})
